/* The public entry points: what goes to which kernel. No arithmetic on elements here but that of the norms. */
#include "kernels.h"

#include <assert.h>
#include <math.h>

/* ---- Whole vectors and what is left behind them ---- */

#ifdef __wasm_simd128__
enum { LANES = 4 };
#define WIDE(name) name##_f32x4
#else
enum { LANES = 1 };
#define WIDE(name) name##_f32x1
#endif

/* Where the whole vectors of [first, last) end. */
static size_t end_of_vectors(size_t first, size_t last) { return last - (last - first) % LANES; }

static void update(const rms_step_options *options, const rms_tensor *tensor, float norm, size_t first, size_t last) {
  size_t end = end_of_vectors(first, last);
  WIDE(rms_update)(options, tensor, norm, first, end);
  if (end < last) rms_update_f32x1(options, tensor, norm, end, last);
}

static void keep(const rms_step_options *options, const rms_tensor *tensor, size_t first, size_t last) {
  size_t end = end_of_vectors(first, last);
  WIDE(rms_keep)(options, tensor, first, end);
  if (end < last) rms_keep_f32x1(options, tensor, end, last);
}

/* ---- Sums in TensorFlow's order ---- */

enum {
  PACKET = 8,   /* elements: TensorFlow's vectors of float32 */
  LEAF = 8192   /* elements: longer sums are split at half, rounded up to whole packets */
};

/* The sum of the squares of `count` prepared gradients; with options NULL the sum of `count` values. */
static float sum(const rms_step_options *options, const float *values, const float *accumulator, size_t count) {
  if (count > LEAF) {
    size_t half = (count + 1) / 2;
    size_t split = (half + PACKET - 1) / PACKET * PACKET;
    return sum(options, values, accumulator, split) +
           sum(options, values + split, accumulator ? accumulator + split : accumulator, count - split);
  }
  size_t packets = count / PACKET * PACKET;
  float rest = rms_sum_in_order_f32x1(options, values + packets, accumulator ? accumulator + packets : accumulator,
                                      count - packets);
  return packets ? rest + WIDE(rms_sum_packets)(options, values, accumulator, packets) : rest;
}

/* What a norm clip needs to know of one tensor: by norm max(n, c), by global norm the factor of every gradient. */
static float norm_of_tensor(float sum_squares, float limit) {
  float norm = sqrtf(sum_squares);
  return limit > norm ? limit : norm; /* a NaN stays */
}

static float factor_of_all(const rms_step_options *options, size_t gradients) {
  float norm = sqrtf(sum(NULL, options->sum_squares, NULL, gradients));
  float by_norm = 1 / norm;
  float by_limit = (float)(1 / options->clip_limit);
  /* (n - n) makes the factor NaN where the norm is not finite */
  return (float)options->clip_limit * (by_norm < by_limit ? by_norm : by_limit) + (norm - norm);
}

/* ---- Contract ---- */

static int clips_by_norm(const rms_step_options *options) {
  return options->clip == RMS_CLIP_BY_NORM || options->clip == RMS_CLIP_BY_GLOBAL_NORM;
}

/* Every argument is used where NDEBUG removes the assertions, too. */
static void check(const rms_step_options *options, const rms_tensor *tensor) {
  assert(options->rule == RMS_RULE_KERAS);
  assert(options->clip <= RMS_CLIP_BY_GLOBAL_NORM);
  assert(options->clip == RMS_CLIP_NONE || options->clip_limit > 0);
  assert(tensor->dtype == RMS_FLOAT32);
  assert(tensor->value != NULL || tensor->length == 0);
  assert(tensor->gradient == NULL || tensor->mean_square != NULL || tensor->length == 0);
  assert(!(options->flags & RMS_HOLD) || tensor->gradient == NULL || tensor->accumulator != NULL);
  (void)options;
  (void)tensor;
}

/* ---- Entry points ---- */

void rms_sum_squares(const rms_step_options *options, const rms_tensor *tensors, size_t count) {
  float *sums = options->sum_squares;
  assert(sums != NULL);
  for (size_t k = 0; k < count; k++) {
    check(options, &tensors[k]);
    if (tensors[k].gradient) *sums++ = sum(options, tensors[k].gradient, tensors[k].accumulator, tensors[k].length);
  }
}

void rms_range(const rms_step_options *options, const rms_tensor *tensors, size_t count, size_t first, size_t last) {
  int holds = (options->flags & RMS_HOLD) != 0;
  int by_norm = !holds && options->clip == RMS_CLIP_BY_NORM;
  float norm = 1;
  if (!holds && options->clip == RMS_CLIP_BY_GLOBAL_NORM) {
    size_t gradients = 0;
    for (size_t k = 0; k < count; k++) gradients += tensors[k].gradient != NULL;
    norm = factor_of_all(options, gradients);
  }
  const float *sums = options->sum_squares;
  size_t start = 0; /* number of the tensor's first element */
  for (size_t k = 0; k < count && start < last; k++) {
    const rms_tensor *tensor = &tensors[k];
    check(options, tensor);
    if (by_norm && tensor->gradient) norm = norm_of_tensor(*sums++, (float)options->clip_limit);
    size_t end = start + tensor->length;
    if (end > first) {
      size_t from = first > start ? first - start : 0;
      size_t to = last < end ? last - start : tensor->length;
      if (tensor->gradient && !holds) update(options, tensor, norm, from, to);
      else if (tensor->accumulator || tensor->average) keep(options, tensor, from, to);
    }
    start = end;
  }
}

void rms_step(const rms_step_options *options, const rms_tensor *tensors, size_t count) {
  if (clips_by_norm(options) && !(options->flags & RMS_HOLD)) rms_sum_squares(options, tensors, count);
  rms_range(options, tensors, count, 0, SIZE_MAX);
}

int rms_all_finite(const rms_tensor *tensors, size_t count) {
  for (size_t k = 0; k < count; k++) {
    const float *gradient = tensors[k].gradient;
    if (!gradient) continue;
    size_t length = tensors[k].length, end = end_of_vectors(0, length);
    float zero = WIDE(rms_zero_if_finite)(gradient, 0, end) + rms_zero_if_finite_f32x1(gradient, end, length);
    if (zero != 0) return 0; /* true for a NaN */
  }
  return 1;
}
