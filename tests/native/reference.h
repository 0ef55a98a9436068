/* What rmsprop.h says, done plainly: one element after the other, all operands in double, each result rounded to the
 * element type. For float32 that is the float operation itself: a sum, product or root of floats is exact in double or far
 * enough from where floats round, and a quotient of floats is never close enough to such a place to be rounded twice.
 * It shares the header with src/ and nothing else. Fused or reordered operations would spoil it: compile it with
 * -ffp-contract=off and without vectorizers. */
#ifndef REFERENCE_H
#define REFERENCE_H

#include "rmsprop.h"

/* A tensor whose arrays are double whatever its dtype; NULL and flags mean what they mean in rms_tensor. */
typedef struct {
  double *value, *mean_square, *mean_gradient, *momentum, *average, *accumulator, *update;
  const double *gradient;
  const int32_t *indices;
  size_t length, index_count, row_length;
  uint32_t dtype, flags;
} reference_tensor;

/* As rms_range after rms_sum_squares, sums (one a gradient) being what that wrote, in double. With first 0 and last
 * SIZE_MAX it is rms_step. */
void reference_range(const rms_step_options *options, const double *sums, const reference_tensor *tensors, size_t count,
                     size_t first, size_t last);

void reference_sum_squares(const rms_step_options *options, double *sums, const reference_tensor *tensors, size_t count);

/* How many leaves rms_sum_squares_range has. */
size_t reference_leaves(const reference_tensor *tensors, size_t count);

void reference_average(const rms_step_options *options, const reference_tensor *tensors, size_t count);

void reference_prepare(const rms_step_options *options, const reference_tensor *tensors, size_t count, double *out);

size_t reference_merge_rows(uint32_t dtype, double *values, int32_t *indices, size_t count, size_t row_length);

int reference_all_finite(const reference_tensor *tensors, size_t count);

#endif
