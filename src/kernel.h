/* The kernels: the rule, once, for any element type and any number of lanes.
 *
 * A translation unit defines RMS_LANES and includes vector.h and this file; it then holds one copy of each kernel, named
 * by KERNEL. Kernels work on the elements [first, last) of one tensor and leave what is short of a whole vector behind
 * last - RMS_LANES to the one-lane copy: step.c joins the two. */
#ifndef RMS_KERNEL_H
#define RMS_KERNEL_H

#include "kernels.h"
#include "vector.h"

#if RMS_LANES == 1
#define KERNEL(name) name##_f32x1
#else
#define KERNEL(name) name##_f32x4
#endif

/* ---- The gradient before its clip ---- */

/* The scalars that turn a gradient as given into the gradient that counts. */
typedef struct {
  vector loss_scale;
  vector accumulation_steps;
  int unscales;
} preparation;

RMS_INLINE preparation preparation_of(const rms_step_options *options) {
  preparation p;
  p.loss_scale = vector_splat((element)options->loss_scale);
  p.accumulation_steps = vector_splat((element)options->accumulation_steps);
  p.unscales = (options->flags & RMS_UNSCALE) != 0;
  return p;
}

/* g <- g / loss_scale. A division: the product with a reciprocal has other bits. */
RMS_INLINE vector unscaled(preparation p, vector gradient) {
  return p.unscales ? vector_divide(gradient, p.loss_scale) : gradient;
}

/* g <- (g + accumulator) / accumulation_steps; accumulator may be NULL. */
RMS_INLINE vector prepared(preparation p, const element *gradient, const element *accumulator, size_t i) {
  vector g = unscaled(p, vector_load(gradient + i));
  if (accumulator) g = vector_divide(vector_add(g, vector_load(accumulator + i)), p.accumulation_steps);
  return g;
}

/* ---- The average of the weights ---- */

/* a <- ema_momentum * a + (1 - ema_momentum) * x, the complement in the element type. */
RMS_INLINE vector averaged(element ema_momentum, vector average, vector x) {
  return vector_add(vector_multiply(vector_splat(ema_momentum), average),
                    vector_multiply(vector_splat(1 - ema_momentum), x));
}

/* ---- The update ---- */

/* d, what stands under the square root. Where rounding makes the centered one zero or negative, the variance counts as
 * zero; a NaN stays. */
RMS_INLINE vector under_root(vector v, vector mg, vector epsilon, int centered) {
  if (!centered) return vector_add(v, epsilon);
  vector d = vector_add(vector_subtract(v, vector_multiply(mg, mg)), epsilon);
  return vector_positive_or(d, epsilon);
}

/* Updates the whole vectors of [first, last). The last four arguments are constants of each copy:
 *   rule      whose arithmetic
 *   centered  the tensor has a mean gradient
 *   momentum  the tensor has a momentum
 *   extended  anything beyond the rule itself may be asked for (unscale, accumulate, clip, decay, average); the copies
 *             without are the fast path of a plain step
 * `norm` is what clip_norm in step.c made of the norms. */
RMS_INLINE void update_range(const rms_step_options *options, const rms_tensor *tensor, element norm, size_t first,
                             size_t last, enum rms_rule rule, int centered, int momentum, int extended) {
  element *restrict value = tensor->value;
  const element *restrict gradient = tensor->gradient;
  element *restrict mean_square = tensor->mean_square;
  element *restrict mean_gradient = tensor->mean_gradient;
  element *restrict momentums = tensor->momentum;
  element *restrict average = extended ? tensor->average : NULL;
  element *restrict accumulator = extended ? tensor->accumulator : NULL;

  const vector learning_rate = vector_splat((element)options->learning_rate);
  const vector rho = vector_splat((element)options->rho);
  const vector complement = vector_splat((element)(1.0 - options->rho));
  const vector epsilon = vector_splat((element)options->epsilon);
  const vector mu = vector_splat((element)options->momentum);

  const preparation prepare = preparation_of(options);
  const uint32_t clip = options->clip;
  const element limit = (element)options->clip_limit;
  const vector clip_limit = vector_splat(limit);
  const vector clip_norm = vector_splat(norm);
  const vector weight_decay = vector_splat((element)options->weight_decay);
  const int decays = (options->flags & RMS_DECAY_WEIGHTS) && !(tensor->flags & RMS_KEEP_WEIGHTS);
  const element ema_momentum = (element)options->ema_momentum;
  const int overwrites = (options->flags & RMS_OVERWRITE) != 0;
  (void)rule;

  for (size_t i = first; i + RMS_LANES <= last; i += RMS_LANES) {
    vector x = vector_load(value + i);
    vector g = vector_load(gradient + i);
    if (extended) {
      g = prepared(prepare, gradient, accumulator, i);
      if (accumulator) vector_store(accumulator + i, vector_splat(0));
      if (clip == RMS_CLIP_BY_VALUE) g = vector_clamp(g, clip_limit);
      else if (clip == RMS_CLIP_BY_NORM) g = vector_divide(vector_multiply(g, clip_limit), clip_norm);
      else if (clip == RMS_CLIP_BY_GLOBAL_NORM) g = vector_multiply(g, clip_norm);
      /* x <- x - (x * weight_decay) * learning_rate */
      if (decays) x = vector_subtract(x, vector_multiply(vector_multiply(x, weight_decay), learning_rate));
    }

    /* v <- rho * v + (1 - rho) * (g * g) */
    vector v = vector_add(vector_multiply(rho, vector_load(mean_square + i)),
                          vector_multiply(complement, vector_multiply(g, g)));
    vector_store(mean_square + i, v);
    /* mg <- rho * mg + (1 - rho) * g */
    vector mg = g;
    if (centered) {
      mg = vector_add(vector_multiply(rho, vector_load(mean_gradient + i)), vector_multiply(complement, g));
      vector_store(mean_gradient + i, mg);
    }
    vector d = under_root(v, mg, epsilon, centered);
    /* m <- momentum * m + (learning_rate * g) / sqrt(d) */
    vector m = vector_divide(vector_multiply(learning_rate, g), vector_square_root(d));
    if (momentum) {
      m = vector_add(vector_multiply(mu, vector_load(momentums + i)), m);
      vector_store(momentums + i, m);
    }
    /* x <- x - m */
    x = vector_subtract(x, m);

    if (average) {
      vector a = averaged(ema_momentum, vector_load(average + i), x);
      vector_store(average + i, a);
      if (overwrites) x = a;
    }
    vector_store(value + i, x);
  }
}

/* The copies of one rule: one that can do everything, and for a plain step one for each set of slots. In WebAssembly the
 * one-lane kernels, which do the tails of vectors and serve engines without SIMD, are small rather than fast. */
RMS_INLINE void update_rule(const rms_step_options *options, const rms_tensor *tensor, element norm, size_t first,
                            size_t last, enum rms_rule rule) {
  const int centered = tensor->mean_gradient != NULL, momentum = tensor->momentum != NULL;
#if RMS_LANES == 1 && defined(__wasm__)
  const int extended = 1;
#else
  const int extended = options->clip != RMS_CLIP_NONE || (options->flags & (RMS_UNSCALE | RMS_DECAY_WEIGHTS)) ||
                       tensor->average || tensor->accumulator;
#endif
  if (extended) update_range(options, tensor, norm, first, last, rule, centered, momentum, 1);
  else if (centered && momentum) update_range(options, tensor, norm, first, last, rule, 1, 1, 0);
  else if (centered) update_range(options, tensor, norm, first, last, rule, 1, 0, 0);
  else if (momentum) update_range(options, tensor, norm, first, last, rule, 0, 1, 0);
  else update_range(options, tensor, norm, first, last, rule, 0, 0, 0);
}

/* The one place where a rule becomes code: a dialect adds its line. */
void KERNEL(rms_update)(const rms_step_options *options, const rms_tensor *tensor, element norm, size_t first,
                        size_t last) {
  update_rule(options, tensor, norm, first, last, RMS_RULE_KERAS);
}

/* What is left of a step for a tensor that is not updated in it: the accumulator, which grows where the step only holds
 * and is emptied where other tensors are updated, and the average. */
void KERNEL(rms_keep)(const rms_step_options *options, const rms_tensor *tensor, size_t first, size_t last) {
  element *restrict value = tensor->value;
  const element *restrict gradient = tensor->gradient;
  element *restrict average = tensor->average;
  element *restrict accumulator = tensor->accumulator;
  const preparation prepare = preparation_of(options);
  const int holds = (options->flags & RMS_HOLD) != 0;
  const element ema_momentum = (element)options->ema_momentum;
  const int overwrites = (options->flags & RMS_OVERWRITE) != 0;

  for (size_t i = first; i + RMS_LANES <= last; i += RMS_LANES) {
    if (gradient) {
      /* accumulator <- g + accumulator */
      vector g = unscaled(prepare, vector_load(gradient + i));
      vector_store(accumulator + i, vector_add(g, vector_load(accumulator + i)));
    } else if (accumulator && !holds) {
      vector_store(accumulator + i, vector_splat(0));
    }
    if (average) {
      vector a = averaged(ema_momentum, vector_load(average + i), vector_load(value + i));
      vector_store(average + i, a);
      if (overwrites) vector_store(value + i, a);
    }
  }
}

/* ---- Sums ---- */

/* The terms of a sum: of the squares of a prepared gradient, or with options NULL of the values themselves. */
RMS_INLINE vector term(const rms_step_options *options, preparation p, const element *values,
                       const element *accumulator, size_t i) {
  if (!options) return vector_load(values + i);
  vector g = prepared(p, values, accumulator, i);
  return vector_multiply(g, g);
}

RMS_INLINE preparation preparation_or_none(const rms_step_options *options) {
  preparation none = {vector_splat(0), vector_splat(0), 0};
  return options ? preparation_of(options) : none;
}

/* The order of TensorFlow's reductions (Eigen's, with packets of 8): element 8k + i of the terms goes to lane i of the
 * packet sum; packet 4k + j to accumulator j; the accumulators are joined ((a0 + a1) + a2) + a3 and the packets left over
 * added to that; at last the lanes are joined by halves: i and i + 4, then i and i + 2, then the two.
 * The lanes of a packet do not meet before that, so they are summed RMS_LANES at a time, each time with all four
 * accumulators; what is read again lies in the cache, for step.c asks for 8 192 elements at most. */
enum { PACKET = 8 };

/* The packet sum's lanes [lane, lane + RMS_LANES) over `count` terms, a multiple of 8. */
static RMS_NEVER_INLINE vector sum_of_lanes(const rms_step_options *options, const element *values,
                                            const element *accumulator, size_t count, size_t lane) {
  preparation p = preparation_or_none(options);
  vector a0 = vector_splat(0), a1 = a0, a2 = a0, a3 = a0;
  size_t i = lane;
  for (; i + 3 * PACKET < count; i += 4 * PACKET) {
    a0 = vector_add(a0, term(options, p, values, accumulator, i));
    a1 = vector_add(a1, term(options, p, values, accumulator, i + PACKET));
    a2 = vector_add(a2, term(options, p, values, accumulator, i + 2 * PACKET));
    a3 = vector_add(a3, term(options, p, values, accumulator, i + 3 * PACKET));
  }
  a0 = vector_add(vector_add(vector_add(a0, a1), a2), a3);
  for (; i < count; i += PACKET) a0 = vector_add(a0, term(options, p, values, accumulator, i));
  return a0;
}

/* The sum of `count` terms, a multiple of 8. */
element KERNEL(rms_sum_packets)(const rms_step_options *options, const element *values, const element *accumulator,
                                size_t count) {
#define LANES_FROM(lane) sum_of_lanes(options, values, accumulator, count, lane)
#if RMS_LANES == 1
  return ((LANES_FROM(0) + LANES_FROM(4)) + (LANES_FROM(2) + LANES_FROM(6))) +
         ((LANES_FROM(1) + LANES_FROM(5)) + (LANES_FROM(3) + LANES_FROM(7)));
#else
  return vector_sum(vector_add(LANES_FROM(0), LANES_FROM(4)));
#endif
#undef LANES_FROM
}

#if RMS_LANES == 1
/* The sum of `count` terms from left to right: of what is too short for a packet. */
element rms_sum_in_order_f32x1(const rms_step_options *options, const element *values, const element *accumulator,
                               size_t count) {
  preparation p = preparation_or_none(options);
  element sum = 0;
  for (size_t i = 0; i < count; i++) sum += term(options, p, values, accumulator, i);
  return sum;
}
#endif

/* 0 if all whole vectors of [first, last) are finite, else NaN: a finite number times 0 is 0. */
element KERNEL(rms_zero_if_finite)(const element *values, size_t first, size_t last) {
  vector total = vector_splat(0);
  for (size_t i = first; i + RMS_LANES <= last; i += RMS_LANES) {
    total = vector_add(total, vector_multiply(vector_load(values + i), vector_splat(0)));
  }
  return vector_sum(total);
}

#endif
