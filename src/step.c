/* The public entry points: what goes to which kernel. */
#include "contract.h"
#include "kernels.h"

#include <math.h>

/* How many elements a tensor's gradient has. */
static size_t gradient_length(const rms_tensor *tensor) {
  return tensor->indices ? (size_t)tensor->index_count * tensor->row_length : tensor->length;
}

/* ---- The element types ---- */

#define RMS_TYPE f32
#include "typed_step.h"
#undef RMS_TYPE
#define RMS_TYPE f64
#include "typed_step.h"
#undef RMS_TYPE

/* ---- Entry points ---- */

void rms_sum_squares(const rms_step_options *options, const rms_tensor *tensors, size_t count) {
  assert(tensors != NULL || count == 0);
  check_options(options);
  check_sums(options, tensors, count);
  for (size_t k = 0; k < count; k++) check_arrays(&tensors[k]);
  if (count == 0) return;
  BY_DTYPE(tensors[0].dtype, sum_squares, (options, tensors, count));
}

size_t rms_sum_squares_range(const rms_step_options *options, const rms_tensor *tensors, size_t count, size_t first,
                             size_t last, void *leaves) {
  assert(tensors != NULL || count == 0);
  assert(first <= last);
  check_options(options);
  check_leaves(tensors, count, first < last, leaves);
  for (size_t k = 0; k < count; k++) check_arrays(&tensors[k]);
  if (count == 0) return 0;
  return BY_DTYPE(tensors[0].dtype, sum_squares_range, (options, tensors, count, first, last, leaves));
}

void rms_join_sum_squares(const rms_step_options *options, const rms_tensor *tensors, size_t count, const void *leaves) {
  assert(tensors != NULL || count == 0);
  check_options(options);
  check_sums(options, tensors, count);
  check_leaves(tensors, count, 1, leaves);
  for (size_t k = 0; k < count; k++) check_arrays(&tensors[k]);
  if (count == 0) return;
  BY_DTYPE(tensors[0].dtype, join_sums, (options, tensors, count, leaves));
}

void rms_average(const rms_step_options *options, const rms_tensor *tensors, size_t count) {
  assert(tensors != NULL || count == 0);
  check_options(options);
  for (size_t k = 0; k < count; k++) {
    const rms_tensor *tensor = &tensors[k];
    check_average(tensor);
    if (!tensor->average) continue;
    BY_DTYPE(tensor->dtype, average, (options, tensor, 0, tensor->length));
  }
}

void rms_prepare(const rms_step_options *options, const rms_tensor *tensors, size_t count, void *out) {
  assert(tensors != NULL || count == 0);
  check_options(options);
  check_prepared(tensors, count, out);
  for (size_t k = 0; k < count; k++) check_arrays(&tensors[k]);
  if (count == 0) return;
  BY_DTYPE(tensors[0].dtype, prepare, (options, tensors, count, out));
}

void rms_range(const rms_step_options *options, const rms_tensor *tensors, size_t count, size_t first, size_t last) {
  assert(tensors != NULL || count == 0);
  assert(first <= last);
  check_options(options);
  uint32_t clips = options->flags & RMS_HOLD ? 0 : options->flags & CLIPS_BY_NORM;
  if (clips) check_sums(options, tensors, count);
  double norm = 1;
  if (clips & RMS_CLIP_BY_GLOBAL_NORM && count > 0) {
    size_t gradients = 0;
    for (size_t k = 0; k < count; k++) gradients += tensors[k].gradient != NULL;
    norm = BY_DTYPE(tensors[0].dtype, factor_of_all, (options, gradients));
  }
  size_t with_gradient = 0; /* tensors with a gradient before this one */
  size_t start = 0;         /* number of the tensor's first element */
  for (size_t k = 0; k < count && start < last; k++) {
    const rms_tensor *tensor = &tensors[k];
    check_tensor(options, tensor);
    if (clips & RMS_CLIP_BY_NORM && tensor->gradient) {
      norm = BY_DTYPE(tensor->dtype, norm_of_tensor, (options, with_gradient));
    }
    with_gradient += tensor->gradient != NULL;
    size_t end = start + tensor->length;
    if (end > first) {
      size_t from = first > start ? first - start : 0;
      size_t to = last < end ? last - start : tensor->length;
      BY_DTYPE(tensor->dtype, range, (options, tensor, norm, from, to));
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
    if (!BY_DTYPE(tensors[k].dtype, all_finite, (&tensors[k]))) return 0;
  }
  return 1;
}

size_t rms_merge_rows(uint32_t dtype, void *values, int32_t *indices, int32_t *places, size_t count, size_t row_length) {
  check_rows(dtype, values, indices, places, count, row_length);
  return BY_DTYPE(dtype, merge_rows, (values, indices, places, count, row_length));
}
