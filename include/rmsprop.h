/* rmsprop.h - RMSprop for a whole model in one call
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
 *   g  <- clipped                                   see enum rms_clip
 *   x  <- x - (x * weight_decay) * learning_rate    with RMS_DECAY_WEIGHTS, unless the tensor says RMS_KEEP_WEIGHTS
 *   v  <- rho * v + (1 - rho) * (g * g)
 *   mg <- rho * mg + (1 - rho) * g                  with a mean gradient ("centered")
 *   d  <- v + epsilon, centered (v - mg * mg) + epsilon
 *   m  <- momentum * m + (learning_rate * g) / sqrt(d),  x <- x - m      with a momentum
 *   x  <- x - (learning_rate * g) / sqrt(d)                              without
 *   a  <- ema_momentum * a + (1 - ema_momentum) * x with an average
 *   x  <- a                                         with an average and RMS_OVERWRITE
 *
 * This is the order and the rounding of Keras 3 (keras/src/optimizers/base_optimizer.py and rmsprop.py of 3.15): equal
 * bits on its NumPy and eager TensorFlow backends. One difference, by design: where rounding makes the centered d zero
 * or negative, and Keras therefore infinite or NaN, the variance counts as zero and d is epsilon. NaN and infinity in a
 * gradient propagate.
 *
 * 1 - rho is computed in double and then rounded; 1 - ema_momentum in the element type.
 */
#ifndef RMSPROP_H
#define RMSPROP_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The element type of a tensor: of its value, its gradient and all its slots. */
enum rms_dtype {
  RMS_FLOAT32 = 0
};

/* Whose arithmetic. */
enum rms_rule {
  RMS_RULE_KERAS = 0 /* Keras 3 */
};

/* How gradients are limited, by rms_step_options.clip_limit = c:
 *   by value        min(max(g, -c), c)
 *   by norm         (g * c) / max(n, c), n the norm of this tensor's gradient
 *   by global norm  g * (c * min(1 / n, 1 / c)), n the norm over all tensors that have a gradient; a norm that is not
 *                   finite makes every gradient NaN
 * A gradient below the limit still goes through these operations and may move by its last bit, as in Keras. */
enum rms_clip {
  RMS_CLIP_NONE = 0,
  RMS_CLIP_BY_VALUE = 1,
  RMS_CLIP_BY_NORM = 2,
  RMS_CLIP_BY_GLOBAL_NORM = 3
};

/* rms_step_options.flags */
enum rms_step_flags {
  RMS_UNSCALE = 1,       /* divide every gradient by loss_scale */
  RMS_HOLD = 2,          /* only add to the accumulators, which every tensor with a gradient then must have: no update */
  RMS_DECAY_WEIGHTS = 4, /* decoupled weight decay */
  RMS_OVERWRITE = 8      /* after averaging, copy the averages into the values */
};

/* rms_tensor.flags */
enum rms_tensor_flags {
  RMS_KEEP_WEIGHTS = 1   /* exclude this tensor from weight decay */
};

/* One tensor of the model. Each array holds `length` elements of `dtype` and is aligned as one element at least;
 * no two arrays of a call overlap. A NULL pointer switches its part of the rule off. */
typedef struct rms_tensor {
  void *value;          /* in/out: the weights */
  const void *gradient; /* in: NULL if there is none in this step; then only average and overwrite are done, and an
                           accumulator becomes 0 as those of the updated tensors do */
  void *mean_square;    /* in/out: starts at 0 */
  void *mean_gradient;  /* in/out: starts at 0; NULL: not centered */
  void *momentum;       /* in/out: starts at 0; NULL: no momentum */
  void *average;        /* in/out: exponential moving average of the weights; NULL: none */
  void *accumulator;    /* in/out: starts at 0; NULL: gradients are used at once */
  size_t length;
  uint32_t dtype;       /* enum rms_dtype */
  uint32_t flags;       /* enum rms_tensor_flags */
} rms_tensor;

/* The numbers of one step. They are rounded to the element type first. All zero but the rule's own four is a plain step. */
typedef struct rms_step_options {
  double learning_rate;
  double rho;                /* decay of the mean square and the mean gradient */
  double momentum;
  double epsilon;            /* added under the square root */
  double weight_decay;       /* read with RMS_DECAY_WEIGHTS */
  double loss_scale;         /* read with RMS_UNSCALE */
  double accumulation_steps; /* read where a tensor has an accumulator: what the sum is divided by */
  double clip_limit;         /* read unless RMS_CLIP_NONE; positive */
  double ema_momentum;       /* read where a tensor has an average; 0 makes the average a copy, as in Keras's first step */
  void *sum_squares;         /* scratch of the norm clips: one element for each tensor that has a gradient; else NULL */
  uint32_t rule;             /* enum rms_rule */
  uint32_t clip;             /* enum rms_clip */
  uint32_t flags;            /* enum rms_step_flags */
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
 * Precondition: with a norm clip, rms_sum_squares has been called with the same arguments. */
void rms_range(const rms_step_options *options, const rms_tensor *tensors, size_t count, size_t first, size_t last);

/* rms_sum_squares - what the norm clips read
 *
 * Writes into options->sum_squares, for each tensor that has a gradient, the sum of the squares of that gradient as it
 * stands before the clip: unscaled, and joined with the accumulator, which is left as it is.
 * The sums run in the order of TensorFlow's reductions, so that norms equal TensorFlow's to the bit, with any number of
 * lanes: four accumulators of 8 elements, a fixed tree above 8 192 elements (src/kernel.h and src/step.c). */
void rms_sum_squares(const rms_step_options *options, const rms_tensor *tensors, size_t count);

/* rms_all_finite - 1 if no gradient of the list holds an infinity or a NaN, else 0
 *
 * For dynamic loss scaling. Tensors without a gradient are passed over. */
int rms_all_finite(const rms_tensor *tensors, size_t count);

#ifdef __cplusplus
}
#endif

#endif
