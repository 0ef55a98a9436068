/* rmsprop.h - RMSprop for a whole model in one call
 *
 * What is said here of arguments is asserted at the entry (src/contract.h), unless NDEBUG is defined.
 *
 * The library is stateless: it allocates nothing, keeps nothing, imports nothing. All it needs is in two structs that
 * the caller writes: a list of tensors (pointers) and one step (numbers). The same text is the native library, the
 * kernels of a C program compiled by Emscripten, and the WebAssembly module that the JavaScript package embeds.
 *
 * The rule, for each element, in this order. Every operation is rounded on its own, in the element type; no operation
 * is fused with another. x value, g gradient, v mean square, mg mean gradient, m momentum, a average:
 *
 *   g  <- g / loss_scale                            with RMS_UNSCALE
 *   g  <- (g + accumulator) / accumulation_steps    with an accumulator, which becomes 0; with RMS_HOLD instead
 *                                                   accumulator <- g + accumulator, and the average comes next
 *   g  <- clipped                                   with one of RMS_CLIP_...
 *   g  <- -g                                        with RMS_MAXIMIZE
 *   g  <- g + weight_decay * x                      with RMS_DECAY_GRADIENTS      } unless the tensor says
 *   x  <- x - (x * weight_decay) * learning_rate    with RMS_DECAY_WEIGHTS        } RMS_KEEP_WEIGHTS
 *   v  <- rho * v + (1 - rho) * (g * g)
 *   mg <- rho * mg + (1 - rho) * g                  with a mean gradient ("centered")
 *   d  <- v + epsilon, centered (v - mg * mg) + epsilon
 *   m  <- momentum * m + (learning_rate * g) / sqrt(d),  x <- x - m      with a momentum
 *   x  <- x - (learning_rate * g) / sqrt(d)                              without
 *   a  <- ema_momentum * a + (1 - ema_momentum) * x with an average
 *   x  <- a                                         with an average and RMS_OVERWRITE
 *
 * That is the rule of Keras 3 (keras/src/optimizers/base_optimizer.py and rmsprop.py of 3.15): equal bits on its NumPy and
 * eager TensorFlow backends. The other rules move terms of v, mg, d and m; src/rules.h is the table of what each moves,
 * and src/kernel.h has every form in one place.
 *
 * One difference from all frameworks, by design: where rounding makes what stands under a centered root zero or negative,
 * and they become infinite or NaN, the variance counts as zero. NaN and infinity in a gradient propagate.
 */
#ifndef RMSPROP_H
#define RMSPROP_H

#include <stddef.h>
#include <stdint.h>

/* Of this header, as the package's: those of one minor version go together. */
#define RMSPROP_VERSION_MAJOR 0
#define RMSPROP_VERSION_MINOR 1
#define RMSPROP_VERSION_PATCH 0
#define RMSPROP_VERSION "0.1.0"

#ifdef __cplusplus
extern "C" {
#endif

/* The element type of a tensor: of its value, its gradient and all its slots. */
enum rms_dtype {
  RMS_FLOAT32 = 0,
  RMS_FLOAT64 = 1
};

/* Whose arithmetic. */
enum rms_rule {
  RMS_RULE_KERAS = 0,         /* Keras 3, TensorFlow.js */
  RMS_RULE_KERAS_2_11 = 1,    /* tf.keras.optimizers.RMSprop of 2.11 to 2.15, which has no accumulators */
  RMS_RULE_TF1 = 2,           /* the fused kernels of TensorFlow: 1.x, and tf.keras OptimizerV2 with momentum; they round
                                 rows named by indices differently, and so does this rule */
  RMS_RULE_LEGACY = 3,        /* tf.keras OptimizerV2 without momentum */
  RMS_RULE_TORCH = 4,         /* PyTorch */
  RMS_RULE_OPTAX = 5,         /* optax with eps_in_sqrt; learning_rate is passed with its minus sign */
  RMS_RULE_OPTAX_OUTSIDE = 6, /* optax without */
  RMS_RULE_COUNT              /* how many rules there are; itself none */
};

/* rms_step_options.flags. The norm clips exclude one another; a clip by value comes before them. n is the norm of one
 * tensor's gradient, or over all tensors that have one; c is clip_norm. A gradient below the limit still goes through the
 * operations of a clip and may move by its last bit, as in TensorFlow. */
enum rms_step_flags {
  RMS_UNSCALE = 1,               /* divide every gradient by loss_scale */
  RMS_HOLD = 2,                  /* only add to the accumulators, which every tensor with a gradient must have: no update;
                                    not with RMS_PREPARED */
  RMS_DECAY_WEIGHTS = 4,         /* decoupled weight decay */
  RMS_DECAY_GRADIENTS = 8,       /* L2: weight decay added to the gradient */
  RMS_OVERWRITE = 16,            /* after averaging, copy the averages into the values */
  RMS_CLIP_BY_VALUE = 32,        /* min(max(g, -clip_value), clip_value) */
  RMS_CLIP_BY_NORM = 64,         /* (g * c) / max(n, c) */
  RMS_CLIP_BY_GLOBAL_NORM = 128, /* g * (c * min(1 / n, 1 / c)); a norm that is not finite makes every gradient NaN */
  RMS_MAXIMIZE = 256,            /* climb instead */
  RMS_NESTEROV = 512,            /* with a momentum: step by momentum * m + increment, m being the new one */
  RMS_CORRECT_BIAS = 1024,       /* use bias_correction * v and bias_correction * mg in d; the state stays as it is */
  RMS_PREPARED = 2048            /* gradients are what rms_prepare wrote: not to be unscaled or accumulated again */
};

/* rms_tensor.flags */
enum rms_tensor_flags {
  RMS_KEEP_WEIGHTS = 1, /* exclude this tensor from weight decay */
  RMS_KEEP_GRADIENT = 2 /* and from clipping: its gradient is clipped already */
};

/* One tensor of the model. Each array holds `length` elements of `dtype`, 0 or more, of any kind (NaN,
 * infinite, subnormal), and is aligned as one element at least; no two arrays of a call overlap, but that gradients are
 * only read: one may be another's, or the value itself. A NULL pointer switches its part of the rule off. */
typedef struct rms_tensor {
  void *value;          /* in/out: the weights; not NULL where gradient or average is not */
  const void *gradient; /* in: NULL if there is none in this step; then only average and overwrite are done (by the rule of
                           Keras 2.11 neither), and an accumulator becomes 0 as those of the updated tensors do */
  void *mean_square;    /* in/out: starts at 0 */
  void *mean_gradient;  /* in/out: starts at 0; NULL: not centered */
  void *momentum;       /* in/out: starts at 0; NULL: no momentum */
  void *average;        /* in/out: exponential moving average of the weights; NULL: none */
  void *accumulator;    /* in/out: starts at 0; NULL: gradients are used at once */
  void *update;         /* out: what would be added to the value, which then stays as it is, and the average too; NULL:
                           add it */
  const int32_t *indices; /* in: the rows of the value, each once, that the rows of the gradient belong to: only these are
                             updated; then no average and no accumulator. NULL: the gradient has the value's length */
  size_t length;
  uint32_t index_count; /* rows of a sparse gradient */
  uint32_t row_length;  /* elements of each */
  uint32_t dtype;       /* enum rms_dtype */
  uint32_t flags;       /* enum rms_tensor_flags */
} rms_tensor;

/* The numbers of one step. They are rounded to the element type first, but for 1 / clip_norm, which is taken
 * in double, and for 1 - rho and 1 - ema_momentum where src/rules.h says so. All zero but the rule's own four is a plain step. */
typedef struct rms_step_options {
  double learning_rate;
  double rho;                /* decay of the mean square and the mean gradient */
  double momentum;
  double epsilon;            /* added under the square root */
  double weight_decay;       /* read with RMS_DECAY_WEIGHTS */
  double loss_scale;         /* read with RMS_UNSCALE */
  double accumulation_steps; /* read where a tensor has an accumulator: what the sum is divided by */
  double clip_value;         /* read with RMS_CLIP_BY_VALUE */
  double clip_norm;          /* read with the norm clips */
  double bias_correction;    /* read with RMS_CORRECT_BIAS: 1 / (1 - rho^step), rounded as the framework rounds it */
  double ema_momentum;       /* read where a tensor has an average; 0 makes the average a copy, as in Keras's first step */
  void *sum_squares;         /* scratch of the norm clips: one element for each tensor that has a gradient; else NULL */
  uint32_t rule;             /* enum rms_rule */
  uint32_t flags;            /* enum rms_step_flags */
  uint32_t reserved;         /* 0 */
} rms_step_options;

/* rms_step - one step of the whole model
 *
 * Reads every gradient once more before the update when clipping by norm; otherwise it is one pass over memory.
 * Precondition: with a norm clip, all tensors have one dtype and options->sum_squares is set. */
void rms_step(const rms_step_options *options, const rms_tensor *tensors, size_t count);

/* rms_range - a part of one step, for callers that divide it among threads
 *
 * The elements of all tensors are numbered through in list order; those from `first` up to, not including, `last` are
 * updated. Ranges that cover every element once give the bits of rms_step, whatever the order and the cuts.
 * Preconditions: first <= last; with a norm clip, rms_sum_squares has been called with the same arguments, or what stands for it. */
void rms_range(const rms_step_options *options, const rms_tensor *tensors, size_t count, size_t first, size_t last);

/* rms_prepare - gradients unscaled and accumulated, for callers that change them before the step
 *
 * Writes one array after the other, in list order, into out: for each tensor that has a gradient what it is before any
 * clip; the elements of the others are left as they are. An accumulator is read only; the step that follows, with
 * RMS_PREPARED and with gradients pointing into out, sets it to 0. Part k of out may be the gradient of tensor k itself.
 * Precondition: all tensors have one dtype, and no sparse gradient. */
void rms_prepare(const rms_step_options *options, const rms_tensor *tensors, size_t count, void *out);

/* rms_sum_squares - what the norm clips read
 *
 * Writes into options->sum_squares, for each tensor that has a gradient, the sum of the squares of that gradient as it
 * stands before the clip: unscaled, and joined with the accumulator, which is left as it is.
 * The sums run in the order of TensorFlow's reductions, so that norms equal TensorFlow's to the bit, with any number of
 * lanes: four accumulators of 8 elements, a fixed tree above 8 192 elements (src/kernel.h and src/step.c). */
void rms_sum_squares(const rms_step_options *options, const rms_tensor *tensors, size_t count);

/* rms_sum_squares_range - a part of rms_sum_squares, for callers that divide it among threads
 *
 * The sum of each gradient is a tree, whose leaves are the sums of at most 8 192 elements (4 096 of double). The leaves of
 * all gradients are numbered through in list order; those from `first` up to, not including, `last` are summed, each into
 * leaves[its number], of the element type. Returns how many leaves there are; with first equal to last nothing is summed
 * and leaves may be NULL. Ranges that cover every leaf once, and then rms_join_sum_squares, give the bits of
 * rms_sum_squares.
 * Preconditions: first <= last; all tensors have one dtype. */
size_t rms_sum_squares_range(const rms_step_options *options, const rms_tensor *tensors, size_t count, size_t first,
                             size_t last, void *leaves);

/* rms_join_sum_squares - joins the leaves of rms_sum_squares_range into options->sum_squares, in the order of the tree
 *
 * Precondition: all leaves have been summed, with the same arguments. */
void rms_join_sum_squares(const rms_step_options *options, const rms_tensor *tensors, size_t count, const void *leaves);

/* rms_average - the averages alone, for weights that something else than rms_step has changed
 *
 * Of each tensor that has an average: a <- ema_momentum * a + (1 - ema_momentum) * x, rounded as by options->rule, and
 * with RMS_OVERWRITE x <- a. Gradients and accumulators are left as they are. */
void rms_average(const rms_step_options *options, const rms_tensor *tensors, size_t count);

/* rms_merge_rows - sums the rows of a sparse gradient that have the same index
 *
 * In place: the first rows of values[count][row_length] and the first of indices[count] become the sums and their
 * indices, in the order of first occurrence; returns how many there are. places is scratch, one for each row that an
 * index can name; no index is negative. Sums start at +0 and run in list order, as TensorFlow's unsorted_segment_sum. */
size_t rms_merge_rows(uint32_t dtype, void *values, int32_t *indices, int32_t *places, size_t count, size_t row_length);

/* rms_all_finite - 1 if no gradient of the list holds an infinity or a NaN, else 0
 *
 * For dynamic loss scaling. Tensors without a gradient are passed over. */
int rms_all_finite(const rms_tensor *tensors, size_t count);

#ifdef __cplusplus
}
#endif

#endif
