/* The matrix product over whole vectors of columns. */
#define RMS_TYPE f32
#define RMS_LANES 4
#include "product_body.h"

size_t rms_product_f32x4(float *output, float *panel, const float *left, const float *right, const float *bias,
                         size_t rows, size_t depth, size_t columns, size_t first_column, int flags) {
  return product(output, panel, left, right, bias, rows, depth, columns, first_column, flags);
}

size_t rms_mask_and_sum_f32x4(float *sums, float *gradient, const float *output,
                              size_t rows, size_t columns, size_t first_column) {
  return mask_and_sum(sums, gradient, output, rows, columns, first_column);
}
