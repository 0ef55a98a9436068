/* The kernels: the rule, once, for any element type and any number of lanes.
 *
 * A translation unit defines RMS_TYPE and RMS_LANES and includes this file; it then holds one copy of each kernel, named
 * by KERNEL, for the rules of RMS_FAMILY. Kernels work on the elements [first, last) of one tensor and leave what is
 * short of a whole vector behind last - RMS_LANES to the one-lane copy: step.c joins the two. */
#ifndef RMS_KERNEL_H
#define RMS_KERNEL_H

#include <math.h>

#include "kernels.h"
#include "rules.h"
#include "vector.h"

#define KERNEL(name) LANED(name, RMS_LANES)

#ifndef RMS_FAMILY
#define RMS_FAMILY all
#endif

/* ---- The gradient before a norm clip ---- */

/* What turns a gradient as given into the gradient that counts. Instead of asking for each option in each iteration, what
 * changes nothing is done for those that are off: min(g, infinity), g * 1. */
typedef struct {
  int unscales;
  int is_raw;         /* still to be unscaled or joined with an accumulator */
  vector loss_scale;
  vector accumulation_steps;
  vector limit;       /* of a clip by value; infinity without one */
} preparation;

/* `flags` are enum rms_step_flags, those of the options or a part of them; the accumulator may be NULL. */
RMS_INLINE preparation preparation_of(const rms_step_options *options, uint32_t flags, const element *accumulator) {
  preparation p;
  p.unscales = (flags & RMS_UNSCALE) != 0;
  p.is_raw = !(flags & RMS_PREPARED) && (p.unscales || accumulator);
  p.loss_scale = vector_splat((element)options->loss_scale);
  p.accumulation_steps = vector_splat((element)options->accumulation_steps);
  p.limit = vector_splat(flags & RMS_CLIP_BY_VALUE ? (element)options->clip_value : (element)INFINITY);
  return p;
}

/* g <- g / loss_scale. A division: the product with a reciprocal has other bits. */
RMS_INLINE vector unscaled(preparation p, vector gradient) {
  return p.unscales ? vector_divide(gradient, p.loss_scale) : gradient;
}

/* The gradient, unscaled and joined with the accumulator, which may be NULL. */
RMS_INLINE vector accumulated(preparation p, const element *gradient, const element *accumulator, size_t i) {
  vector g = unscaled(p, vector_load(gradient + i));
  return accumulator ? vector_divide(vector_add(g, vector_load(accumulator + i)), p.accumulation_steps) : g;
}

/* The same clipped by value. */
RMS_INLINE vector prepared(preparation p, const element *gradient, const element *accumulator, size_t i) {
  vector g = p.is_raw ? accumulated(p, gradient, accumulator, i) : vector_load(gradient + i);
  return vector_clamp(g, p.limit);
}

void KERNEL(rms_prepare)(const rms_step_options *options, const element *gradient, const element *accumulator,
                         element *out, size_t first, size_t last) {
  const preparation p = preparation_of(options, options->flags, accumulator);
  for (size_t i = first; i + RMS_LANES <= last; i += RMS_LANES) {
    vector_store(out + i, accumulated(p, gradient, accumulator, i));
  }
}

/* ---- The average of the weights ---- */

/* a <- ema_momentum * a + (1 - ema_momentum) * x */
RMS_INLINE vector averaged(vector ema_momentum, vector ema_complement, vector average, vector x) {
  return vector_add(vector_multiply(ema_momentum, average), vector_multiply(ema_complement, x));
}

RMS_INLINE element ema_complement_of(const rms_step_options *options, rule_row rule) {
  return rule.rounds_ema_last ? (element)(1.0 - options->ema_momentum) : 1 - (element)options->ema_momentum;
}

/* ---- The rule ---- */

/* The scalars of a step. */
typedef struct {
  vector rate;
  vector rho;
  vector complement; /* 1 - rho */
  vector epsilon;
} rule_scalars;

RMS_INLINE rule_scalars rule_scalars_of(const rms_step_options *options, rule_row rule) {
  rule_scalars s;
  s.rate = vector_splat((element)options->learning_rate);
  s.rho = vector_splat((element)options->rho);
  s.complement = vector_splat(rule.rounds_rho_first ? 1 - (element)options->rho : (element)(1.0 - options->rho));
  s.epsilon = vector_splat((element)options->epsilon);
  return s;
}

RMS_INLINE vector next_mean_square(rule_row rule, rule_scalars s, vector v, vector g) {
  switch (rule.mean_square) {
    case DIFFERENCE: /* v <- v + (g * g - v) * (1 - rho) */
      return vector_add(v, vector_multiply(vector_subtract(vector_multiply(g, g), v), s.complement));
    case GROUPED: /* v <- rho * v + ((1 - rho) * g) * g */
      return vector_add(vector_multiply(s.rho, v), vector_multiply(vector_multiply(s.complement, g), g));
    default: /* v <- rho * v + (1 - rho) * (g * g) */
      return vector_add(vector_multiply(s.rho, v), vector_multiply(s.complement, vector_multiply(g, g)));
  }
}

RMS_INLINE vector next_mean_gradient(rule_row rule, rule_scalars s, vector mg, vector g, int lerps_from_gradient) {
  switch (rule.mean_gradient) {
    case NUDGED: /* mg <- mg + (g - mg) * (1 - rho) */
      return vector_add(mg, vector_multiply(vector_subtract(g, mg), s.complement));
    case LERPED: /* mg <- mg + w * (g - mg), or g - (g - mg) * (1 - w) */
      if (lerps_from_gradient) {
        vector rest = vector_subtract(vector_splat(1), s.complement);
        return vector_subtract(g, vector_multiply(vector_subtract(g, mg), rest));
      }
      return vector_add(mg, vector_multiply(s.complement, vector_subtract(g, mg)));
    default: /* mg <- rho * mg + (1 - rho) * g */
      return vector_add(vector_multiply(s.rho, mg), vector_multiply(s.complement, g));
  }
}

/* The denominator. Where rounding makes the variance under a centered root zero or negative, epsilon included where it is
 * inside, the variance counts as zero; a NaN stays. */
RMS_INLINE vector denominator(rule_row rule, rule_scalars s, vector v, vector mg, int centered) {
  if (rule.epsilon == OUTSIDE) {
    vector d = centered ? vector_positive_or(vector_subtract(v, vector_multiply(mg, mg)), vector_splat(0)) : v;
    return vector_add(vector_square_root(d), s.epsilon);
  }
  if (!centered) return vector_square_root(vector_add(v, s.epsilon));
  vector square = vector_multiply(mg, mg);
  vector d = rule.epsilon == INSIDE_FIRST ? vector_subtract(vector_add(v, s.epsilon), square)
                                          : vector_add(vector_subtract(v, square), s.epsilon);
  return vector_square_root(vector_positive_or(d, s.epsilon));
}

/* What the gradient adds to the momentum. */
RMS_INLINE vector increment(rule_row rule, rule_scalars s, vector g, vector den, int momentum) {
  if (rule.rate_after_momentum && momentum) return vector_divide(g, den);
  vector reciprocal = vector_splat(1);
  if (rule.quotient != DIVIDED) reciprocal = vector_divide(reciprocal, den);
  switch (rule.quotient) {
    case BY_RECIPROCAL: return vector_multiply(vector_multiply(s.rate, g), reciprocal);
    case RATE_RECIPROCAL: return vector_multiply(vector_multiply(reciprocal, s.rate), g);
    case SCALED: return vector_multiply(s.rate, vector_multiply(reciprocal, g));
    default: return vector_divide(vector_multiply(s.rate, g), den);
  }
}

/* ---- The update ---- */

enum { CLIPS = RMS_CLIP_BY_VALUE | RMS_CLIP_BY_NORM | RMS_CLIP_BY_GLOBAL_NORM };

/* Updates the whole vectors of [first, last); element i of the tensor has the gradient gradient[i]. The last four
 * arguments are constants of each copy, but for the small ones:
 *   rule      whose arithmetic
 *   centered  the tensor has a mean gradient
 *   momentum  the tensor has a momentum
 *   extended  anything beyond the rule itself may be asked for (unscale, accumulate, clip, decay, average, update); the
 *             copies without are the fast path of a plain step
 * `norm` is what step.c made of the norms. */
RMS_INLINE void update_range(const rms_step_options *options, const rms_tensor *tensor, const element *gradient,
                             element norm, size_t first, size_t last, rule_row rule, int centered, int momentum,
                             int extended) {
  element *value = tensor->value; /* the gradient may be the same array */
  element *restrict mean_square = tensor->mean_square;
  element *restrict mean_gradient = tensor->mean_gradient;
  element *restrict momentums = tensor->momentum;
  element *restrict average = extended ? tensor->average : NULL;
  element *restrict accumulator = extended ? tensor->accumulator : NULL;
  element *restrict update = extended ? tensor->update : NULL;

  const rule_scalars s = rule_scalars_of(options, rule);
  const vector mu = vector_splat((element)options->momentum);
  /* PyTorch asks whether the magnitude of the weight is below one half. */
  const element weight = (element)(1.0 - options->rho);
  const int lerps_from_gradient = !(weight * weight < (element)0.25);

  uint32_t flags = options->flags;
  if (tensor->flags & RMS_KEEP_GRADIENT) flags &= ~(uint32_t)CLIPS;
  const preparation prepare = preparation_of(options, flags, accumulator);
  const int clips_by_norm = (flags & RMS_CLIP_BY_NORM) != 0;
  /* The factor of a norm clip, with the sign of the direction. */
  element factor = clips_by_norm ? (element)options->clip_norm : flags & RMS_CLIP_BY_GLOBAL_NORM ? norm : 1;
  const vector signed_factor = vector_splat(flags & RMS_MAXIMIZE ? -factor : factor);
  const vector divisor = vector_splat(norm);
  const uint32_t decay = tensor->flags & RMS_KEEP_WEIGHTS ? 0 : flags & (RMS_DECAY_GRADIENTS | RMS_DECAY_WEIGHTS);
  const vector weight_decay = vector_splat((element)options->weight_decay);
  const vector bias_correction = vector_splat((element)options->bias_correction);
  const vector ema_momentum = vector_splat((element)options->ema_momentum);
  const vector ema_complement = vector_splat(ema_complement_of(options, rule));

  for (size_t i = first; i + RMS_LANES <= last; i += RMS_LANES) {
    vector x = vector_load(value + i);
    vector g;
    if (extended) {
      g = vector_multiply(prepared(prepare, gradient, accumulator, i), signed_factor);
      if (accumulator) vector_store(accumulator + i, vector_splat(0));
      if (clips_by_norm) g = vector_divide(g, divisor);
      if (decay) {
        /* g <- g + weight_decay * x, or x <- x - (x * weight_decay) * learning_rate */
        vector decayed = vector_multiply(x, weight_decay);
        if (decay & RMS_DECAY_GRADIENTS) g = vector_add(g, decayed);
        else x = vector_subtract(x, vector_multiply(decayed, s.rate));
      }
    } else {
      g = vector_load(gradient + i);
    }

    /* Without extensions all loads come first and all stores last, since engines that join neighbouring operations stop at
     * a store between their loads. With them registers are too few for that: slots are loaded and stored on the way. */
    vector v = vector_load(mean_square + i), mg = g, m = g;
    if (!extended) {
      if (centered) mg = vector_load(mean_gradient + i);
      if (momentum) m = vector_load(momentums + i);
      vector_barrier();
    }
    v = next_mean_square(rule, s, v, g);
    if (extended) vector_store(mean_square + i, v);
    if (centered) {
      if (extended) mg = vector_load(mean_gradient + i);
      mg = next_mean_gradient(rule, s, mg, g, lerps_from_gradient);
      if (extended) vector_store(mean_gradient + i, mg);
    }
    vector v_used = v, mg_used = mg;
    if (extended && flags & RMS_CORRECT_BIAS) {
      v_used = vector_multiply(v, bias_correction);
      mg_used = vector_multiply(mg, bias_correction);
    }
    vector step = increment(rule, s, g, denominator(rule, s, v_used, mg_used, centered), momentum);
    if (momentum) {
      /* m <- momentum * m + increment; with Nesterov's look-ahead once more for the step, not for the state */
      if (extended) m = vector_load(momentums + i);
      m = vector_add(vector_multiply(mu, m), step);
      if (extended) vector_store(momentums + i, m);
      step = extended && flags & RMS_NESTEROV ? vector_add(vector_multiply(mu, m), step) : m;
      if (rule.rate_after_momentum) step = vector_multiply(s.rate, step);
    }
    if (!extended) {
      vector_store(mean_square + i, v);
      if (centered) vector_store(mean_gradient + i, mg);
      if (momentum) vector_store(momentums + i, m);
    }
    if (update) {
      vector_store(update + i, rule.adds ? step : vector_negate(step));
      continue;
    }
    x = rule.adds ? vector_add(x, step) : vector_subtract(x, step);
    if (average) {
      vector a = averaged(ema_momentum, ema_complement, vector_load(average + i), x);
      vector_store(average + i, a);
      if (flags & RMS_OVERWRITE) x = a;
    }
    vector_store(value + i, x);
  }
}

/* In WebAssembly, where every byte is downloaded, some kernels are small rather than fast: those of double, and most of
 * all those with one lane where there are vectors, which are left with what is short of one. */
#if defined(__wasm__) && RMS_LANES == 1 && defined(__wasm_simd128__)
#define ONE_COPY
#elif defined(__wasm__) && JOINED(BYTES_, RMS_TYPE) == 8
#define ONE_COPY_A_RULE
#endif

/* The copies of one rule: one that can do everything, and for a plain step one for each set of slots. */
RMS_INLINE void update_rule(const rms_step_options *options, const rms_tensor *tensor, const element *gradient,
                            element norm, size_t first, size_t last, rule_row rule) {
  const int centered = tensor->mean_gradient != NULL, momentum = tensor->momentum != NULL;
#if defined(ONE_COPY) || defined(ONE_COPY_A_RULE)
  const int extended = 1;
#else
  const int extended = options->flags != 0 || tensor->average || tensor->accumulator || tensor->update;
#endif
  if (extended) update_range(options, tensor, gradient, norm, first, last, rule, centered, momentum, 1);
  else if (centered && momentum) update_range(options, tensor, gradient, norm, first, last, rule, 1, 1, 0);
  else if (centered) update_range(options, tensor, gradient, norm, first, last, rule, 1, 0, 0);
  else if (momentum) update_range(options, tensor, gradient, norm, first, last, rule, 0, 1, 0);
  else update_range(options, tensor, gradient, norm, first, last, rule, 0, 0, 0);
}

/* The one place where a row of the table becomes code: those of one family in rules.h. */
void KERNEL(rms_update)(const rms_step_options *options, const rms_tensor *tensor, const element *gradient,
                        element norm, size_t first, size_t last) {
#ifdef ONE_COPY
  rule_row row = {0};
#define RULE(rule, ...) \
  case rule: row = rules[rule]; break;
#else
#define RULE(rule, ...) \
  case rule: update_rule(options, tensor, gradient, norm, first, last, rules[rule]); break;
#endif
  switch (tensor->indices && options->rule == RMS_RULE_TF1 ? TF1_ROWS : (int)options->rule) {
    JOINED(ROWS_, RMS_FAMILY)(RULE)
  }
#undef RULE
#ifdef ONE_COPY
  update_rule(options, tensor, gradient, norm, first, last, row);
#endif
}

/* What is left of a step for a tensor that is not updated in it: first the accumulator, which grows where the step only
 * holds and is emptied where other tensors are updated. */
void KERNEL(rms_accumulate)(const rms_step_options *options, const rms_tensor *tensor, size_t first, size_t last) {
  const element *restrict gradient = tensor->gradient;
  element *restrict accumulator = tensor->accumulator;
  const preparation prepare = preparation_of(options, options->flags, NULL);
  const int holds = (options->flags & RMS_HOLD) != 0;

  for (size_t i = first; i + RMS_LANES <= last; i += RMS_LANES) {
    if (gradient) {
      /* accumulator <- g + accumulator */
      vector g = unscaled(prepare, vector_load(gradient + i));
      vector_store(accumulator + i, vector_add(g, vector_load(accumulator + i)));
    } else if (!holds) {
      vector_store(accumulator + i, vector_splat(0));
    }
  }
}

/* And then the average. */
void KERNEL(rms_average)(const rms_step_options *options, const rms_tensor *tensor, size_t first, size_t last) {
  element *restrict value = tensor->value;
  element *restrict average = tensor->average;
  const rule_row row = options->rule == RMS_RULE_KERAS_2_11 ? rules[RMS_RULE_KERAS_2_11] : rules[RMS_RULE_KERAS];
  const vector ema_momentum = vector_splat((element)options->ema_momentum);
  const vector ema_complement = vector_splat(ema_complement_of(options, row));
  const int overwrites = (options->flags & RMS_OVERWRITE) != 0;

  for (size_t i = first; i + RMS_LANES <= last; i += RMS_LANES) {
    vector a = averaged(ema_momentum, ema_complement, vector_load(average + i), vector_load(value + i));
    vector_store(average + i, a);
    if (overwrites) vector_store(value + i, a);
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

RMS_INLINE preparation preparation_or_none(const rms_step_options *options, const element *accumulator) {
  preparation none = {0, 0, vector_splat(0), vector_splat(0), vector_splat(0)};
  return options ? preparation_of(options, options->flags, accumulator) : none;
}

/* The order of TensorFlow's reductions (Eigen's, with packets of 8 floats or 4 doubles; here for 8): element 8k + i of the terms goes to lane i of the
 * packet sum; packet 4k + j to accumulator j; the accumulators are joined ((a0 + a1) + a2) + a3 and the packets left over
 * added to that; at last the lanes are joined by halves: i and i + 4, then i and i + 2, then the two.
 * The lanes of a packet do not meet before that, so they are summed RMS_LANES at a time, each time with all four
 * accumulators; what is read again lies in the cache, for step.c asks for 8 192 elements at most. */
enum { PACKET = 32 / sizeof(element) };

/* The packet sum's lanes [lane, lane + RMS_LANES) over `count` terms, a multiple of 8. A vector of two registers could
 * only be returned by way of a stack, which there is none of. */
#if RMS_LANES == 8
RMS_INLINE
#else
static RMS_NEVER_INLINE
#endif
vector sum_of_lanes(const rms_step_options *options, const element *values, const element *accumulator, size_t count,
                    size_t lane) {
  preparation p = preparation_or_none(options, accumulator);
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
#if RMS_LANES == 8
  return vector_sum(LANES_FROM(0));
#elif RMS_LANES == 2
  return vector_sum(vector_add(LANES_FROM(0), LANES_FROM(2)));
#elif JOINED(BYTES_, RMS_TYPE) == 8
  return (LANES_FROM(0) + LANES_FROM(2)) + (LANES_FROM(1) + LANES_FROM(3));
#else
  return ((LANES_FROM(0) + LANES_FROM(4)) + (LANES_FROM(2) + LANES_FROM(6))) +
         ((LANES_FROM(1) + LANES_FROM(5)) + (LANES_FROM(3) + LANES_FROM(7)));
#endif
#undef LANES_FROM
}

#if RMS_LANES == 1
/* The sum of `count` terms from left to right: of what is too short for a packet. */
element KERNEL(rms_sum_in_order)(const rms_step_options *options, const element *values, const element *accumulator,
                               size_t count) {
  preparation p = preparation_or_none(options, accumulator);
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
