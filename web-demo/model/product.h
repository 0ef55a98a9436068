/* The parts of the dense layers that are worth several lanes, each once for four lanes and once for one: the first takes
 * the columns that fill whole vectors, the second what is left of them, or all where there is no SIMD. */
#ifndef RMS_PRODUCT_H
#define RMS_PRODUCT_H

#include <stddef.h>

/* What surrounds the plain product. */
enum {
  LEFT_TRANSPOSED = 1,  /* left lies as [depth][rows] instead of [rows][depth] */
  RIGHT_TRANSPOSED = 2, /* right lies as [columns][depth] instead of [depth][columns] */
  RELU = 4              /* +0 where a result is not positive; NaN stays */
};

/* The columns that the widest block has; the scratch of a product is that many floats for each step of the depth. */
enum { PANEL_COLUMNS = 8 };

/* output[rows][columns] = left[rows][depth] · right[depth][columns] (+ bias[columns], unless NULL), from first_column on,
 * as far as whole vectors go. Returns the first column that is left over.
 * panel: PANEL_COLUMNS * depth floats of scratch. flags: LEFT_TRANSPOSED, RIGHT_TRANSPOSED, RELU. */
size_t rms_product_f32x4(float *output, float *panel, const float *left, const float *right, const float *bias,
                         size_t rows, size_t depth, size_t columns, size_t first_column, int flags);
size_t rms_product_f32x1(float *output, float *panel, const float *left, const float *right, const float *bias,
                         size_t rows, size_t depth, size_t columns, size_t first_column, int flags);

/* sums[columns] = the sum of the rows of gradient[rows][columns], after gradient has become +0 where output[rows][columns]
 * is not positive (unless output is NULL). From first_column on, as far as whole vectors go; returns the first column
 * that is left over. */
size_t rms_mask_and_sum_f32x4(float *sums, float *gradient, const float *output,
                              size_t rows, size_t columns, size_t first_column);
size_t rms_mask_and_sum_f32x1(float *sums, float *gradient, const float *output,
                              size_t rows, size_t columns, size_t first_column);

#endif
