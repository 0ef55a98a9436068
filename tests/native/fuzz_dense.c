/* The dense layers of web-demo/model against dense.h done plainly, on sizes, numbers and labels that bytes describe; like
 * fuzz_kernels.c, and run by the same programs. rms_exp and rms_log are taken as they are: dense_test.c sweeps them. */
#include "dense.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

typedef struct {
  const uint8_t *data;
  size_t size;
} bytes;

static unsigned next_byte(bytes *b) { /* 0 behind the end */
  if (b->size == 0) return 0;
  b->size--;
  return *b->data++;
}

static size_t next_size(bytes *b) { return 1 + next_byte(b) % 21; }

/* `length` floats of one kind; nothing lies behind them, so that one step too far is an error to the sanitizer. */
static float *next_floats(bytes *b, size_t length) {
  static const float specials[] = {0.0f, -0.0f, 1e-40f, -1e-45f, INFINITY, -INFINITY, NAN, 3e38f, 100, -104, 1, -1};
  unsigned kind = next_byte(b) % 6;
  uint32_t state = next_byte(b);
  float *floats = malloc(length * sizeof *floats);
  for (size_t i = 0; i < length; i++) {
    state = state * 1664525 + 1013904223;
    uint32_t choice = state >> 16;
    float ordinary = (float)(state >> 8) * 0x1p-23f - 1;
    if (kind == 0 || (kind == 1 && choice % 8 == 0)) floats[i] = specials[choice % (sizeof specials / sizeof *specials)];
    else if (kind == 2) floats[i] = ordinary * 1e-38f;
    else if (kind == 3) floats[i] = (float)(choice % 3); /* many equal ones */
    else floats[i] = ordinary * (kind == 4 ? 50.0f : 1.0f);
  }
  return floats;
}

static float *copy_of(const float *floats, size_t length) {
  float *copy = malloc(length * sizeof *copy);
  memcpy(copy, floats, length * sizeof *copy);
  return copy;
}

static void require(int holds, const char *what, size_t index, double got, double expected) {
  if (holds) return;
  fprintf(stderr, "DIFFERENT: %s[%zu] is %.9g and should be %.9g\n", what, index, got, expected);
  abort();
}

static void compare(const float *got, const float *expected, size_t length, const char *what) {
  for (size_t i = 0; i < length; i++) {
    int same = (got[i] != got[i] && expected[i] != expected[i]) || memcmp(&got[i], &expected[i], sizeof(float)) == 0;
    require(same, what, i, (double)got[i], (double)expected[i]);
  }
}

/* The sum of a[i * a_stride] * b[i * b_stride], each rounded: what is volatile cannot be fused or reordered. */
static float sum_of_products(const float *a, size_t a_stride, const float *b, size_t b_stride, size_t count) {
  volatile float sum = 0;
  for (size_t i = 0; i < count; i++) {
    volatile float product = a[i * a_stride] * b[i * b_stride];
    sum = sum + product;
  }
  return sum;
}

static void fuzz_layer(bytes *b) {
  size_t batch = next_size(b), inputs = next_size(b), outputs = next_size(b);
  int relu = next_byte(b) & 1, is_first = next_byte(b) & 1;
  float *input = next_floats(b, batch * inputs), *kernel = next_floats(b, inputs * outputs), *bias = next_floats(b, outputs);
  float *gradient = next_floats(b, batch * outputs), *expected_gradient = copy_of(gradient, batch * outputs);
  float *input_before = copy_of(input, batch * inputs), *kernel_before = copy_of(kernel, inputs * outputs);
  float *bias_before = copy_of(bias, outputs);
  float *output = malloc(batch * outputs * sizeof *output), *expected = malloc(batch * outputs * sizeof *expected);
  float *scratch = malloc(rms_dense_scratch_length(batch, inputs, outputs) * sizeof *scratch);
  for (size_t e = 0; e < batch; e++)
    for (size_t o = 0; o < outputs; o++) {
      float sum = sum_of_products(input + e * inputs, 1, kernel + o, outputs, inputs) + bias[o];
      expected[e * outputs + o] = relu && sum <= 0 ? 0 : sum;
    }
  rms_dense_forward(output, scratch, input, kernel, bias, batch, inputs, outputs, relu);
  compare(output, expected, batch * outputs, "output");

  float *kernel_gradient = malloc(inputs * outputs * sizeof *kernel_gradient);
  float *bias_gradient = malloc(outputs * sizeof *bias_gradient);
  float *input_gradient = is_first ? NULL : malloc(batch * inputs * sizeof *input_gradient);
  rms_dense_backward(kernel_gradient, bias_gradient, input_gradient, gradient, scratch, input, is_first ? NULL : kernel,
                     relu ? output : NULL, batch, inputs, outputs);
  for (size_t i = 0; relu && i < batch * outputs; i++)
    if (!(expected[i] > 0)) expected_gradient[i] = 0;
  compare(gradient, expected_gradient, batch * outputs, "output gradient");
  static const float one[] = {1};
  for (size_t o = 0; o < outputs; o++) {
    float sum = sum_of_products(expected_gradient + o, outputs, one, 0, batch);
    compare(bias_gradient + o, &sum, 1, "bias gradient");
    for (size_t i = 0; i < inputs; i++) {
      sum = sum_of_products(input + i, inputs, expected_gradient + o, outputs, batch);
      compare(kernel_gradient + i * outputs + o, &sum, 1, "kernel gradient");
    }
  }
  for (size_t e = 0; !is_first && e < batch; e++)
    for (size_t i = 0; i < inputs; i++) {
      float sum = sum_of_products(expected_gradient + e * outputs, 1, kernel + i * outputs, 1, outputs);
      compare(input_gradient + e * inputs + i, &sum, 1, "input gradient");
    }
  compare(input, input_before, batch * inputs, "input");
  compare(kernel, kernel_before, inputs * outputs, "kernel");
  compare(bias, bias_before, outputs, "bias");
  compare(output, expected, batch * outputs, "output after the way back");
  float *all[] = {input,   kernel,  bias,     gradient, expected_gradient, input_before,    kernel_before, bias_before,
                  output,  expected, scratch, kernel_gradient, bias_gradient, input_gradient};
  for (size_t i = 0; i < sizeof all / sizeof *all; i++) free(all[i]);
}

/* The losses, and which rows are right. */
static void fuzz_classes(bytes *b) {
  size_t batch = next_size(b), classes = next_size(b), correct = 0;
  float *values = next_floats(b, batch * classes), *expected = copy_of(values, batch * classes);
  float *softmax = copy_of(values, batch * classes), *probabilities = copy_of(values, batch * classes);
  uint8_t *labels = malloc(batch);
  for (size_t e = 0; e < batch; e++) labels[e] = (uint8_t)(next_byte(b) % classes);
  volatile float loss = 0;
  for (size_t e = 0; e < batch; e++) {
    float *row = expected + e * classes, *shares = probabilities + e * classes, maximum = row[0], own = row[labels[e]];
    int is_right = 1;
    for (size_t k = 0; k < classes; k++) {
      if (row[k] > maximum) maximum = row[k];
      if (!(row[k] <= own) || (row[k] == own && k < labels[e])) is_right = 0;
    }
    correct += is_right ? 1 : 0;
    volatile float sum = 0;
    for (size_t k = 0; k < classes; k++) {
      volatile float distance = row[k] - maximum;
      row[k] = rms_exp(distance);
      sum = sum + row[k];
    }
    volatile float distance = maximum - own, term = rms_log(sum);
    term = term + distance;
    loss = loss + term;
    for (size_t k = 0; k < classes; k++) {
      volatile float share = row[k] / sum, error = share - (k == labels[e] ? 1.0f : 0.0f);
      shares[k] = share;
      row[k] = error / (float)batch;
    }
  }
  size_t got = rms_count_correct(values, labels, batch, classes);
  require(got == correct, "number of right rows", 0, (double)got, (double)correct);
  rms_softmax(softmax, batch, classes);
  compare(softmax, probabilities, batch * classes, "softmax");
  float mean = rms_softmax_cross_entropy(values, labels, batch, classes), expected_mean = loss / (float)batch;
  compare(&mean, &expected_mean, 1, "loss");
  compare(values, expected, batch * classes, "gradient of the loss");
  free(values);
  free(expected);
  free(softmax);
  free(probabilities);
  free(labels);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  bytes b = {data, size};
  if (next_byte(&b) & 1) fuzz_layer(&b);
  else fuzz_classes(&b);
  return 0;
}
