/* The contract of rmsprop.h as assertions, stated at the entry: behind it the kernels cannot fail. With NDEBUG, as in the
 * WebAssembly modules, nothing of this file is left. Not asserted, because it would cost more than the work: that the
 * arrays of one tensor do not overlap those of another, and that indices name each row once. */
#ifndef RMS_CONTRACT_H
#define RMS_CONTRACT_H

#include "rmsprop.h"

#include <assert.h>

enum {
  CLIPS_BY_NORM = RMS_CLIP_BY_NORM | RMS_CLIP_BY_GLOBAL_NORM,
  ALL_STEP_FLAGS = 2 * RMS_PREPARED - 1,
  ALL_TENSOR_FLAGS = RMS_KEEP_WEIGHTS | RMS_KEEP_GRADIENT
};

static inline size_t size_of_element(uint32_t dtype) { return dtype == RMS_FLOAT64 ? sizeof(double) : sizeof(float); }

static inline int is_aligned(const void *array, size_t size) { return (uintptr_t)array % size == 0; }

static inline int arrays_are_aligned(const rms_tensor *tensor) {
  size_t size = size_of_element(tensor->dtype);
  return is_aligned(tensor->value, size) && is_aligned(tensor->gradient, size) && is_aligned(tensor->mean_square, size) &&
         is_aligned(tensor->mean_gradient, size) && is_aligned(tensor->momentum, size) &&
         is_aligned(tensor->average, size) && is_aligned(tensor->accumulator, size) &&
         is_aligned(tensor->update, size) && is_aligned(tensor->indices, sizeof(int32_t));
}

static inline int are_apart(const void *a, size_t a_bytes, const void *b, size_t b_bytes) {
  return (uintptr_t)a + a_bytes <= (uintptr_t)b || (uintptr_t)b + b_bytes <= (uintptr_t)a;
}

/* Whether no array that is written overlaps another of the same tensor, but that the gradient may be the value. */
static inline int arrays_are_apart(const rms_tensor *tensor) {
  const void *arrays[] = {tensor->value,    tensor->mean_square, tensor->mean_gradient, tensor->momentum,
                          tensor->average,  tensor->accumulator, tensor->update};
  size_t size = size_of_element(tensor->dtype), bytes = tensor->length * size;
  size_t gradient_bytes = tensor->indices ? (size_t)tensor->index_count * tensor->row_length * size : bytes;
  for (size_t i = 0; i < sizeof arrays / sizeof *arrays; i++) {
    if (!arrays[i]) continue;
    for (size_t k = 0; k < i; k++)
      if (arrays[k] && !are_apart(arrays[i], bytes, arrays[k], bytes)) return 0;
    int is_value = i == 0 && tensor->gradient == tensor->value && !tensor->indices;
    if (tensor->gradient && !is_value && !are_apart(arrays[i], bytes, tensor->gradient, gradient_bytes)) return 0;
  }
  return 1;
}

static inline int rows_lie_inside(const rms_tensor *tensor) {
  if (tensor->row_length == 0) return 1;
  for (size_t k = 0; k < tensor->index_count; k++) {
    if (tensor->indices[k] < 0 || (size_t)tensor->indices[k] >= tensor->length / tensor->row_length) return 0;
  }
  return 1;
}

static inline int have_one_dtype(const rms_tensor *tensors, size_t count) {
  for (size_t k = 1; k < count; k++)
    if (tensors[k].dtype != tensors[0].dtype) return 0;
  return 1;
}

/* Every function of this kind uses its arguments where NDEBUG removes the assertions, too. */
static inline void check_options(const rms_step_options *options) {
  assert(options != NULL);
  assert(options->rule < RMS_RULE_COUNT);
  assert(options->flags <= ALL_STEP_FLAGS);
  assert((options->flags & CLIPS_BY_NORM) != CLIPS_BY_NORM);
  assert(!(options->flags & RMS_HOLD && options->flags & RMS_PREPARED));
  assert(options->reserved == 0);
  (void)options;
}

/* What every entry point asks of a tensor. */
static inline void check_arrays(const rms_tensor *tensor) {
  assert(tensor->dtype <= RMS_FLOAT64);
  assert(tensor->flags <= ALL_TENSOR_FLAGS);
  assert(arrays_are_aligned(tensor));
  assert(arrays_are_apart(tensor));
  assert(tensor->indices == NULL || (tensor->accumulator == NULL && tensor->average == NULL));
  assert(tensor->indices == NULL || rows_lie_inside(tensor));
  (void)tensor;
}

/* What a step asks of a tensor besides. */
static inline void check_tensor(const rms_step_options *options, const rms_tensor *tensor) {
  check_arrays(tensor);
  assert(tensor->value != NULL || tensor->length == 0 || (tensor->gradient == NULL && tensor->average == NULL));
  assert(tensor->gradient == NULL || tensor->mean_square != NULL || tensor->length == 0 || options->flags & RMS_HOLD);
  assert(!(options->flags & RMS_HOLD) || tensor->gradient == NULL || tensor->accumulator != NULL || tensor->length == 0);
  assert(options->rule != RMS_RULE_KERAS_2_11 || tensor->accumulator == NULL);
  (void)options;
  (void)tensor;
}

/* And an average alone. */
static inline void check_average(const rms_tensor *tensor) {
  check_arrays(tensor);
  assert(tensor->average == NULL || tensor->value != NULL || tensor->length == 0);
}

/* What the sums of the norm clips ask of the list. */
static inline void check_sums(const rms_step_options *options, const rms_tensor *tensors, size_t count) {
  assert(options->sum_squares != NULL || count == 0);
  assert(count == 0 || is_aligned(options->sum_squares, size_of_element(tensors[0].dtype)));
  assert(have_one_dtype(tensors, count));
  (void)options;
  (void)tensors;
  (void)count;
}

/* What rms_sum_squares_range asks of the list, and of the leaves where any of them is used. */
static inline void check_leaves(const rms_tensor *tensors, size_t count, int uses_leaves, const void *leaves) {
  assert(have_one_dtype(tensors, count));
  assert(count == 0 || !uses_leaves || leaves != NULL);
  assert(count == 0 || is_aligned(leaves, size_of_element(tensors[0].dtype)));
  (void)tensors;
  (void)count;
  (void)uses_leaves;
  (void)leaves;
}

static inline void check_prepared(const rms_tensor *tensors, size_t count, const void *out) {
  assert(have_one_dtype(tensors, count));
  for (size_t k = 0; k < count; k++) assert(tensors[k].indices == NULL && (out != NULL || tensors[k].length == 0));
  assert(count == 0 || is_aligned(out, size_of_element(tensors[0].dtype)));
  (void)tensors;
  (void)out;
}

static inline void check_rows(uint32_t dtype, const void *values, const int32_t *indices, const int32_t *places,
                              size_t count, size_t row_length) {
  assert(dtype <= RMS_FLOAT64);
  assert(count == 0 || (indices != NULL && places != NULL && (values != NULL || row_length == 0)));
  assert(is_aligned(values, size_of_element(dtype)));
  assert(count <= INT32_MAX);
  for (size_t k = 0; k < count; k++) assert(indices[k] >= 0);
  (void)dtype;
  (void)values;
  (void)indices;
  (void)places;
  (void)count;
  (void)row_length;
}

#endif
