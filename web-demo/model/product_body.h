/* What product.h declares, written once for any number of lanes. The including file defines RMS_LANES first.
 *
 * Every element of a result is one sum over the depth, ascending from +0, so it has the same bits whatever the block it
 * is computed in and whatever the number of lanes. */
#ifndef RMS_PRODUCT_BODY_H
#define RMS_PRODUCT_BODY_H

#include "product.h"
#include "vector.h"

/* Rows and vectors of columns that are summed at a time: eight sums, two vectors of the right side and one broadcast
 * element of the left side fit into the 15 registers that an engine has on x86, and eight sums hide the adder's latency. */
enum { BLOCK_ROWS = 4, BLOCK_VECTORS = 2 };

/* One block: row_count rows (at most BLOCK_ROWS) by vector_count vectors (at most BLOCK_VECTORS) of columns. Both counts
 * are constants where this is called, so the sums live in registers.
 * Element (row, step) of the left side is left[row * left_row + step * left_step]; a row of the right side has right_step
 * floats, a row of the output output_row. */
RMS_INLINE void product_block(element *output, const element *left, const element *right, size_t depth, size_t left_row,
                              size_t left_step, size_t right_step, size_t output_row, size_t row_count, size_t vector_count) {
  vector sum[BLOCK_ROWS][BLOCK_VECTORS];
  for (size_t row = 0; row < row_count; row++) {
    for (size_t v = 0; v < vector_count; v++) sum[row][v] = vector_splat(0);
  }
  size_t step = 0;
  do { /* depth is at least 1 */
    vector factor[BLOCK_VECTORS];
    for (size_t v = 0; v < vector_count; v++) factor[v] = vector_load(right + v * RMS_LANES);
    for (size_t row = 0; row < row_count; row++) {
      const vector spread = vector_splat(left[row * left_row]);
      for (size_t v = 0; v < vector_count; v++) sum[row][v] = vector_add(sum[row][v], vector_multiply(spread, factor[v]));
    }
    left += left_step;
    right += right_step;
  } while (++step < depth);
  for (size_t row = 0; row < row_count; row++) {
    for (size_t v = 0; v < vector_count; v++) vector_store(output + row * output_row + v * RMS_LANES, sum[row][v]);
  }
}

/* Lays vector_count vectors of columns close together: panel[depth][vector_count * RMS_LANES].
 * Element (step, column) of what is packed is from[step * from_step + column * from_column]. */
RMS_INLINE void pack_panel(element *panel, const element *from, size_t depth, size_t from_step, size_t from_column,
                           size_t vector_count) {
  const size_t width = vector_count * RMS_LANES;
  for (size_t step = 0; step < depth; step++) {
    for (size_t column = 0; column < width; column++) panel[column] = from[column * from_column];
    panel += width;
    from += from_step;
  }
}

/* Adds the bias to vector_count vectors of columns, which output and bias begin at; with the ReLU if relu is not 0. */
RMS_INLINE void add_bias(element *output, const element *bias, size_t rows, size_t columns, int relu, size_t vector_count) {
  for (size_t row = 0; row < rows; row++) {
    for (size_t v = 0; v < vector_count; v++) {
      vector sum = vector_add(vector_load(output + v * RMS_LANES), vector_load(bias + v * RMS_LANES));
      if (relu) sum = vector_positive_or(sum, vector_splat(0));
      vector_store(output + v * RMS_LANES, sum);
    }
    output += columns;
  }
}

/* As many panels of vector_count vectors of columns as there are from first_column on. Returns what is left over. */
RMS_INLINE size_t product_panels(element *output, element *panel, const element *left, const element *right,
                                 const element *bias, size_t rows, size_t depth, size_t columns, size_t first_column,
                                 int flags, size_t vector_count) {
  const size_t width = vector_count * RMS_LANES;
  const size_t left_row = flags & LEFT_TRANSPOSED ? 1 : depth;
  const size_t left_step = flags & LEFT_TRANSPOSED ? rows : 1;
  size_t column = first_column;
  for (; column + width <= columns; column += width) {
    const element *factors = right + column;
    size_t right_step = columns;
    /* Every block of rows reads the panel once, so from the second one on it pays to have it close together. */
    if (flags & RIGHT_TRANSPOSED) {
      pack_panel(panel, right + column * depth, depth, 1, depth, vector_count);
      factors = panel;
      right_step = width;
    } else if (rows > BLOCK_ROWS) {
      pack_panel(panel, factors, depth, columns, 1, vector_count);
      factors = panel;
      right_step = width;
    }
    size_t row = 0;
    for (; row + BLOCK_ROWS <= rows; row += BLOCK_ROWS) {
      product_block(output + row * columns + column, left + row * left_row, factors,
                    depth, left_row, left_step, right_step, columns, BLOCK_ROWS, vector_count);
    }
    for (; row < rows; row++) {
      product_block(output + row * columns + column, left + row * left_row, factors,
                    depth, left_row, left_step, right_step, columns, 1, vector_count);
    }
    if (bias) add_bias(output + column, bias + column, rows, columns, flags & RELU, vector_count);
  }
  return column;
}

RMS_INLINE size_t product(element *output, element *panel, const element *left, const element *right, const element *bias,
                          size_t rows, size_t depth, size_t columns, size_t first_column, int flags) {
  size_t column = product_panels(output, panel, left, right, bias, rows, depth, columns, first_column, flags, BLOCK_VECTORS);
  return product_panels(output, panel, left, right, bias, rows, depth, columns, column, flags, 1);
}

RMS_INLINE size_t mask_and_sum(element *sums, element *gradient, const element *output,
                               size_t rows, size_t columns, size_t first_column) {
  size_t column = first_column;
  for (; column + RMS_LANES <= columns; column += RMS_LANES) {
    vector sum = vector_splat(0);
    size_t row = 0;
    do { /* if rows could be 0, the compiler would call memset for the sums of nothing */
      const size_t at = row * columns + column;
      vector masked = vector_load(gradient + at);
      if (output) {
        masked = vector_where_positive(vector_load(output + at), masked);
        vector_store(gradient + at, masked);
      }
      sum = vector_add(sum, masked);
    } while (++row < rows);
    vector_store(sums + column, sum);
  }
  return column;
}

#endif
