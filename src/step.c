/* The public entry points: what goes to which kernel. */
#include "contract.h"
#include "kernels.h"

#include <math.h>

/* How many elements a tensor's gradient has. */
static size_t gradient_length(const rms_tensor *tensor) {
  return tensor->indices ? (size_t)tensor->index_count * tensor->row_length : tensor->length;
}

/* ---- The element types ---- */

#define ELEMENT float
#define TYPED(name) name##_f32
#define NARROW(name) name##_f32x1
#define ROOT sqrtf
#ifdef RMS_F32X8
#define WIDE(name) name##_f32x8
#define LANES 8
#else
#define WIDE(name) name##_f32x1
#define LANES 1
#endif
#include "typed_step.h"
#undef ELEMENT
#undef TYPED
#undef NARROW
#undef ROOT
#undef WIDE
#undef LANES

#define ELEMENT double
#define TYPED(name) name##_f64
#define NARROW(name) name##_f64x1
#define ROOT sqrt
#ifdef __wasm_simd128__
#define WIDE(name) name##_f64x2
#define LANES 2
#else
#define WIDE(name) name##_f64x1
#define LANES 1
#endif
#include "typed_step.h"

/* ---- Entry points ---- */

void rms_sum_squares(const rms_step_options *options, const rms_tensor *tensors, size_t count) {
  assert(tensors != NULL || count == 0);
  check_options(options);
  check_sums(options, tensors, count);
  for (size_t k = 0; k < count; k++) check_arrays(&tensors[k]);
  if (count == 0) return;
  if (tensors[0].dtype == RMS_FLOAT64) sum_squares_f64(options, tensors, count);
  else sum_squares_f32(options, tensors, count);
}

size_t rms_sum_squares_range(const rms_step_options *options, const rms_tensor *tensors, size_t count, size_t first,
                             size_t last, void *leaves) {
  assert(tensors != NULL || count == 0);
  assert(first <= last);
  check_options(options);
  check_leaves(tensors, count, first < last, leaves);
  for (size_t k = 0; k < count; k++) check_arrays(&tensors[k]);
  if (count == 0) return 0;
  if (tensors[0].dtype == RMS_FLOAT64) return sum_squares_range_f64(options, tensors, count, first, last, leaves);
  return sum_squares_range_f32(options, tensors, count, first, last, leaves);
}

void rms_join_sum_squares(const rms_step_options *options, const rms_tensor *tensors, size_t count, const void *leaves) {
  assert(tensors != NULL || count == 0);
  check_options(options);
  check_sums(options, tensors, count);
  check_leaves(tensors, count, 1, leaves);
  for (size_t k = 0; k < count; k++) check_arrays(&tensors[k]);
  if (count == 0) return;
  if (tensors[0].dtype == RMS_FLOAT64) join_sums_f64(options, tensors, count, leaves);
  else join_sums_f32(options, tensors, count, leaves);
}

void rms_average(const rms_step_options *options, const rms_tensor *tensors, size_t count) {
  assert(tensors != NULL || count == 0);
  check_options(options);
  for (size_t k = 0; k < count; k++) {
    const rms_tensor *tensor = &tensors[k];
    check_average(tensor);
    if (!tensor->average) continue;
    if (tensor->dtype == RMS_FLOAT64) average_f64(options, tensor, 0, tensor->length);
    else average_f32(options, tensor, 0, tensor->length);
  }
}

void rms_prepare(const rms_step_options *options, const rms_tensor *tensors, size_t count, void *out) {
  assert(tensors != NULL || count == 0);
  check_options(options);
  check_prepared(tensors, count, out);
  for (size_t k = 0; k < count; k++) check_arrays(&tensors[k]);
  if (count == 0) return;
  if (tensors[0].dtype == RMS_FLOAT64) prepare_f64(options, tensors, count, out);
  else prepare_f32(options, tensors, count, out);
}

void rms_range(const rms_step_options *options, const rms_tensor *tensors, size_t count, size_t first, size_t last) {
  assert(tensors != NULL || count == 0);
  assert(first <= last);
  check_options(options);
  uint32_t clips = options->flags & RMS_HOLD ? 0 : options->flags & CLIPS_BY_NORM;
  if (clips) check_sums(options, tensors, count);
  double norm = 1; /* holds a float as it is */
  if (clips & RMS_CLIP_BY_GLOBAL_NORM && count > 0) {
    size_t gradients = 0;
    for (size_t k = 0; k < count; k++) gradients += tensors[k].gradient != NULL;
    norm = tensors[0].dtype == RMS_FLOAT64 ? factor_of_all_f64(options, gradients)
                                           : (double)factor_of_all_f32(options, gradients);
  }
  size_t with_gradient = 0; /* tensors with a gradient before this one */
  size_t start = 0;         /* number of the tensor's first element */
  for (size_t k = 0; k < count && start < last; k++) {
    const rms_tensor *tensor = &tensors[k];
    int is_float64 = tensor->dtype == RMS_FLOAT64;
    check_tensor(options, tensor);
    if (clips & RMS_CLIP_BY_NORM && tensor->gradient) {
      const void *sums = options->sum_squares;
      norm = is_float64 ? norm_of_tensor_f64(((const double *)sums)[with_gradient], options->clip_norm)
                        : (double)norm_of_tensor_f32(((const float *)sums)[with_gradient], (float)options->clip_norm);
    }
    with_gradient += tensor->gradient != NULL;
    size_t end = start + tensor->length;
    if (end > first) {
      size_t from = first > start ? first - start : 0;
      size_t to = last < end ? last - start : tensor->length;
      if (is_float64) range_f64(options, tensor, norm, from, to);
      else range_f32(options, tensor, (float)norm, from, to);
    }
    start = end;
  }
}

void rms_step(const rms_step_options *options, const rms_tensor *tensors, size_t count) {
  check_options(options);
  if (options->flags & CLIPS_BY_NORM && !(options->flags & RMS_HOLD)) rms_sum_squares(options, tensors, count);
  rms_range(options, tensors, count, 0, SIZE_MAX);
}

int rms_all_finite(const rms_tensor *tensors, size_t count) {
  assert(tensors != NULL || count == 0);
  for (size_t k = 0; k < count; k++) {
    check_arrays(&tensors[k]);
    if (!tensors[k].gradient) continue;
    if (!(tensors[k].dtype == RMS_FLOAT64 ? all_finite_f64(&tensors[k]) : all_finite_f32(&tensors[k]))) return 0;
  }
  return 1;
}

size_t rms_merge_rows(uint32_t dtype, void *values, int32_t *indices, int32_t *places, size_t count, size_t row_length) {
  check_rows(dtype, values, indices, places, count, row_length);
  if (dtype == RMS_FLOAT64) return merge_rows_f64(values, indices, places, count, row_length);
  return merge_rows_f32(values, indices, places, count, row_length);
}
