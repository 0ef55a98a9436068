#include "dense.h"

#include <assert.h>

#include "product.h"

/* A float and the integer that has its bits. */
typedef union {
  float number;
  uint32_t bits;
} float_bits;

static float from_bits(uint32_t bits) {
  float_bits both;
  both.bits = bits;
  return both.number;
}

static uint32_t to_bits(float number) {
  float_bits both;
  both.number = number;
  return both.bits;
}

/* 2^exponent for an exponent in [-126, 127]. */
static float power_of_two(int32_t exponent) { return from_bits((uint32_t)(exponent + 127) << 23); }

/* log 2 as a sum: the high part has 15 bits, so that its product with any binary exponent is exact; the low part is what
 * it leaves, rounded. */
static const float log2_high = 0x1.62e4p-1f;
static const float log2_low = 0x1.7f7d1cp-20f;

/* exp(x) = 2^n · exp(r), with n the integer nearest to x / log 2 and r = x - n · log 2, |r| <= 0.35. */
float rms_exp(float x) {
  if (!(x <= 89)) return x * from_bits(0x7f800000); /* Inf from here on; NaN stays */
  if (x < -104) return 0;                           /* below half of the smallest float */
  /* Adding 1.5 · 2^23 leaves no bit behind the point: the sum is rounded to an integer, which stands in its low bits. */
  const float shifted = x * 0x1.715476p+0f + 0x1.8p+23f;
  const float n = shifted - 0x1.8p+23f;
  const int32_t exponent = (int32_t)n;
  const float r = (x - n * log2_high) - n * log2_low;
  /* Taylor's series; what is left out is below r^8 / 8! < 2^-27 · 0.7. */
  float tail = 1.0f / 5040;
  tail = tail * r + 1.0f / 720;
  tail = tail * r + 1.0f / 120;
  tail = tail * r + 1.0f / 24;
  tail = tail * r + 1.0f / 6;
  tail = tail * r + 1.0f / 2;
  const float result = 1 + (r + r * r * tail);
  /* In two steps, because 2^n itself may be out of range where the result is not. */
  const int32_t half = exponent / 2;
  return result * power_of_two(half) * power_of_two(exponent - half);
}

/* log(2^n · m) = n · log 2 + log m, with m in [0.7, 1.42) and f = m - 1 exact. With s = f / (2 + f), log m is the series
 * 2 s + 2/3 s^3 + 2/5 s^5 + …; written as f - (f^2/2 - s (f^2/2 + 2/3 s^2 + 2/5 s^4 + …)) its leading term has no error. */
float rms_log(float x) {
  if (!(x > 0)) return x == 0 ? -from_bits(0x7f800000) : from_bits(0x7fc00000);
  if (!(x < from_bits(0x7f800000))) return x;
  int32_t exponent = 0;
  if (x < 0x1p-126f) { /* a subnormal number has no exponent of its own */
    x *= 0x1p+23f;
    exponent = -23;
  }
  /* The exponent of x / sqrt(1/2), so that m lies around 1. */
  const uint32_t offset = to_bits(x) - 0x3f3504f3;
  const int32_t shift = (int32_t)offset >> 23;
  const float f = from_bits(to_bits(x) - ((uint32_t)shift << 23)) - 1;
  const float n = (float)(exponent + shift);
  const float s = f / (2 + f);
  const float z = s * s;
  /* What is left out of the series is below s^10 / 11 < 2^-28 of log m. */
  float tail = 2.0f / 9;
  tail = tail * z + 2.0f / 7;
  tail = tail * z + 2.0f / 5;
  tail = tail * z + 2.0f / 3;
  const float half_square = 0.5f * f * f;
  return n * log2_high - ((half_square - (s * (half_square + z * tail) + n * log2_low)) - f);
}

/* The whole product: whole vectors of columns first, then what they leave. */
static void matrix_product(float *output, float *panel, const float *left, const float *right, const float *bias,
                           size_t rows, size_t depth, size_t columns, int flags) {
  size_t done = 0;
#ifdef __wasm_simd128__
  done = rms_product_f32x4(output, panel, left, right, bias, rows, depth, columns, done, flags);
#endif
  rms_product_f32x1(output, panel, left, right, bias, rows, depth, columns, done, flags);
}

static void mask_and_sum(float *sums, float *gradient, const float *output, size_t rows, size_t columns) {
  size_t done = 0;
#ifdef __wasm_simd128__
  done = rms_mask_and_sum_f32x4(sums, gradient, output, rows, columns, done);
#endif
  rms_mask_and_sum_f32x1(sums, gradient, output, rows, columns, done);
}

static size_t larger(size_t a, size_t b) { return a > b ? a : b; }

size_t rms_dense_scratch_length(size_t batch, size_t inputs, size_t outputs) {
  /* The three products of a layer run over the inputs, the batch and the outputs. */
  return PANEL_COLUMNS * larger(batch, larger(inputs, outputs));
}

void rms_dense_forward(float *output, float *scratch, const float *input, const float *kernel, const float *bias,
                       size_t batch, size_t inputs, size_t outputs, int relu) {
  assert(output && scratch && input && kernel && bias);
  assert(batch > 0 && inputs > 0 && outputs > 0);
  matrix_product(output, scratch, input, kernel, bias, batch, inputs, outputs, relu ? RELU : 0);
}

void rms_dense_backward(float *kernel_gradient, float *bias_gradient, float *input_gradient, float *output_gradient,
                        float *scratch, const float *input, const float *kernel, const float *output,
                        size_t batch, size_t inputs, size_t outputs) {
  assert(kernel_gradient && bias_gradient && output_gradient && scratch && input);
  assert(kernel || !input_gradient);
  assert(batch > 0 && inputs > 0 && outputs > 0);
  mask_and_sum(bias_gradient, output_gradient, output, batch, outputs);
  matrix_product(kernel_gradient, scratch, input, output_gradient, NULL, inputs, batch, outputs, LEFT_TRANSPOSED);
  if (input_gradient) {
    matrix_product(input_gradient, scratch, output_gradient, kernel, NULL, batch, outputs, inputs, RIGHT_TRANSPOSED);
  }
}

/* row[classes] becomes exp(row - maximum). Returns the sum. */
static float exponentials(float *row, size_t classes, float maximum) {
  float sum = 0;
  for (size_t class = 0; class < classes; class++) {
    row[class] = rms_exp(row[class] - maximum);
    sum += row[class];
  }
  return sum;
}

static float maximum_of(const float *row, size_t classes) {
  float maximum = row[0];
  for (size_t class = 1; class < classes; class++) maximum = row[class] > maximum ? row[class] : maximum;
  return maximum;
}

void rms_softmax(float *values, size_t batch, size_t classes) {
  assert(values && batch > 0 && classes > 0);
  for (size_t example = 0; example < batch; example++) {
    float *row = values + example * classes;
    const float sum = exponentials(row, classes, maximum_of(row, classes));
    for (size_t class = 0; class < classes; class++) row[class] /= sum;
  }
}

float rms_softmax_cross_entropy(float *values, const uint8_t *labels, size_t batch, size_t classes) {
  assert(values && labels && batch > 0 && classes > 0);
  const float count = (float)batch;
  float loss = 0;
  for (size_t example = 0; example < batch; example++) {
    float *row = values + example * classes;
    const size_t label = labels[example];
    assert(label < classes);
    const float maximum = maximum_of(row, classes);
    const float distance = maximum - row[label];
    const float sum = exponentials(row, classes, maximum);
    /* -log softmax(row)[label] = log(sum(exp(row - maximum))) + (maximum - row[label]) */
    loss += rms_log(sum) + distance;
    for (size_t class = 0; class < classes; class++) {
      const float target = class == label ? 1.0f : 0.0f;
      row[class] = (row[class] / sum - target) / count;
    }
  }
  return loss / count;
}

size_t rms_count_correct(const float *values, const uint8_t *labels, size_t batch, size_t classes) {
  assert(values && labels && batch > 0 && classes > 0);
  size_t correct = 0;
  for (size_t example = 0; example < batch; example++) {
    const float *row = values + example * classes;
    const size_t label = labels[example];
    assert(label < classes);
    int largest = 1;
    for (size_t class = 0; class < classes; class++) {
      largest &= class < label ? row[class] < row[label] : row[class] <= row[label];
    }
    correct += (size_t)largest;
  }
  return correct;
}
