/* The dense layers, one lane, against references that share nothing with them: for bits, sums of volatile floats in the
 * order that dense.h promises; for truth, the formulas in double; for gradients, finite differences of the loss in double. */
#include "claims.h"

#include "dense.h"

#include <math.h>
#include <stdlib.h>

enum { GUARD = 5 };

static const float guard_value = -12345.678f;

static char detail[160];

/* ---- Random numbers ---- */

static uint32_t random_state = 20240607;

static uint32_t random_bits(void) {
  random_state ^= random_state << 13;
  random_state ^= random_state >> 17;
  random_state ^= random_state << 5;
  return random_state;
}

/* In [-1, 1). */
static float random_float(void) { return (float)(random_bits() >> 8) * 0x1p-23f - 1; }

/* ---- Arrays with guards ---- */

/* `length` random floats between GUARD floats that must stay as they are. */
static float *guarded(size_t length) {
  float *whole = malloc((length + 2 * GUARD) * sizeof *whole);
  for (size_t i = 0; i < length + 2 * GUARD; i++) whole[i] = guard_value;
  for (size_t i = 0; i < length; i++) whole[GUARD + i] = random_float();
  return whole + GUARD;
}

static int guards_untouched(const float *array, size_t length) {
  int untouched = 1;
  for (int i = 0; i < GUARD; i++) {
    untouched &= same_bits(array[i - GUARD], guard_value) && same_bits(array[length + (size_t)i], guard_value);
  }
  return untouched;
}

static void release(float *array) { free(array - GUARD); }

static float *copy_of(const float *array, size_t length) {
  float *copy = guarded(length);
  memcpy(copy, array, length * sizeof *copy);
  return copy;
}

static int all_same_bits(const float *a, const float *b, size_t length) {
  for (size_t i = 0; i < length; i++) {
    if (!same_bits(a[i], b[i])) return 0;
  }
  return 1;
}

/* ---- The oracle ---- */

typedef volatile float f32;

/* The sum over `depth` of a[i * a_stride] * b[i * b_stride]: rounded as dense.h says, and in double with a bound. */
typedef struct {
  float rounded;
  double exact, bound;
} dot_result;

static dot_result dot(const float *a, size_t a_stride, const float *b, size_t b_stride, size_t depth) {
  f32 sum = 0;
  double exact = 0, magnitude = 0;
  for (size_t i = 0; i < depth; i++) {
    f32 product = a[i * a_stride] * b[i * b_stride];
    sum = sum + product;
    double term = (double)a[i * a_stride] * (double)b[i * b_stride];
    exact += term;
    magnitude += fabs(term);
  }
  /* A term is rounded once as product and at most `depth` times as part of a sum, each time by at most 2^-24 of it. */
  return (dot_result){sum, exact, (double)(depth + 1) * 0x1p-24 * magnitude + 1e-40};
}

/* ---- Layers ---- */

typedef struct {
  size_t batch, inputs, outputs;
  int relu;
} layer_sizes;

static const char *describe(layer_sizes s) {
  snprintf(detail, sizeof detail, "batch %zu, %zu -> %zu%s", s.batch, s.inputs, s.outputs, s.relu ? ", ReLU" : "");
  return detail;
}

static void check_forward(layer_sizes s) {
  const size_t scratch_length = rms_dense_scratch_length(s.batch, s.inputs, s.outputs);
  float *input = guarded(s.batch * s.inputs), *kernel = guarded(s.inputs * s.outputs), *bias = guarded(s.outputs);
  float *output = guarded(s.batch * s.outputs), *scratch = guarded(scratch_length);
  float *alone = guarded(s.outputs);
  float *input_before = copy_of(input, s.batch * s.inputs), *kernel_before = copy_of(kernel, s.inputs * s.outputs);

  rms_dense_forward(output, scratch, input, kernel, bias, s.batch, s.inputs, s.outputs, s.relu);

  int bits = 1, close = 1;
  for (size_t b = 0; b < s.batch; b++) {
    for (size_t o = 0; o < s.outputs; o++) {
      dot_result expected = dot(input + b * s.inputs, 1, kernel + o, s.outputs, s.inputs);
      f32 rounded = expected.rounded + bias[o];
      double exact = expected.exact + (double)bias[o];
      if (s.relu && rounded <= 0) rounded = 0;
      if (s.relu && exact <= 0) exact = 0;
      float got = output[b * s.outputs + o];
      bits &= same_bits(got, rounded);
      close &= fabs((double)got - exact) <= expected.bound + 0x1p-24 * (fabs(exact) + expected.bound);
    }
  }
  claim(bits, "forward has the bits of the sum in ascending order", describe(s));
  claim(close, "forward equals the formula in double within the rounding bound", describe(s));

  int independent = 1;
  for (size_t b = 0; b < s.batch; b++) {
    rms_dense_forward(alone, scratch, input + b * s.inputs, kernel, bias, 1, s.inputs, s.outputs, s.relu);
    independent &= all_same_bits(alone, output + b * s.outputs, s.outputs);
  }
  claim(independent, "a row has the same bits alone as in a batch", describe(s));

  claim(guards_untouched(output, s.batch * s.outputs) && guards_untouched(scratch, scratch_length)
        && guards_untouched(alone, s.outputs), "forward writes its output and its scratch only", describe(s));
  claim(all_same_bits(input, input_before, s.batch * s.inputs) && all_same_bits(kernel, kernel_before, s.inputs * s.outputs),
        "forward leaves its inputs alone", describe(s));
  release(input), release(kernel), release(bias), release(output), release(scratch), release(alone);
  release(input_before), release(kernel_before);
}

static void check_backward(layer_sizes s) {
  const size_t scratch_length = rms_dense_scratch_length(s.batch, s.inputs, s.outputs);
  const size_t kernel_length = s.inputs * s.outputs, output_length = s.batch * s.outputs, input_length = s.batch * s.inputs;
  float *input = guarded(input_length), *kernel = guarded(kernel_length), *output = guarded(output_length);
  float *output_gradient = guarded(output_length), *scratch = guarded(scratch_length);
  float *kernel_gradient = guarded(kernel_length), *bias_gradient = guarded(s.outputs), *input_gradient = guarded(input_length);
  for (size_t i = 0; i < output_length; i += 3) output[i] = 0; /* a ReLU's output is often exactly zero */
  float *masked = copy_of(output_gradient, output_length), *again = copy_of(output_gradient, output_length);
  if (s.relu) {
    for (size_t i = 0; i < output_length; i++) masked[i] = output[i] > 0 ? masked[i] : 0;
  }

  rms_dense_backward(kernel_gradient, bias_gradient, input_gradient, output_gradient, scratch, input, kernel,
                     s.relu ? output : NULL, s.batch, s.inputs, s.outputs);

  claim(all_same_bits(output_gradient, masked, output_length),
        "backward stops the gradient where the ReLU was not positive, and nowhere else", describe(s));
  int bits = 1, close = 1;
  for (size_t i = 0; i < s.inputs; i++) {
    for (size_t o = 0; o < s.outputs; o++) {
      dot_result expected = dot(input + i, s.inputs, masked + o, s.outputs, s.batch);
      float got = kernel_gradient[i * s.outputs + o];
      bits &= same_bits(got, expected.rounded);
      close &= fabs((double)got - expected.exact) <= expected.bound;
    }
  }
  claim(bits, "the kernel's gradient has the bits of the sum in ascending order", describe(s));
  claim(close, "the kernel's gradient equals the formula in double within the rounding bound", describe(s));

  bits = close = 1;
  const float one = 1;
  for (size_t o = 0; o < s.outputs; o++) {
    dot_result expected = dot(&one, 0, masked + o, s.outputs, s.batch);
    bits &= same_bits(bias_gradient[o], expected.rounded);
    close &= fabs((double)bias_gradient[o] - expected.exact) <= expected.bound;
  }
  claim(bits, "the bias's gradient has the bits of the sum in ascending order", describe(s));
  claim(close, "the bias's gradient equals the formula in double within the rounding bound", describe(s));

  bits = close = 1;
  for (size_t b = 0; b < s.batch; b++) {
    for (size_t i = 0; i < s.inputs; i++) {
      dot_result expected = dot(masked + b * s.outputs, 1, kernel + i * s.outputs, 1, s.outputs);
      float got = input_gradient[b * s.inputs + i];
      bits &= same_bits(got, expected.rounded);
      close &= fabs((double)got - expected.exact) <= expected.bound;
    }
  }
  claim(bits, "the input's gradient has the bits of the sum in ascending order", describe(s));
  claim(close, "the input's gradient equals the formula in double within the rounding bound", describe(s));
  claim(guards_untouched(output_gradient, output_length) && guards_untouched(scratch, scratch_length)
        && guards_untouched(kernel_gradient, kernel_length) && guards_untouched(bias_gradient, s.outputs)
        && guards_untouched(input_gradient, input_length), "backward writes its outputs and its scratch only", describe(s));

  float *kernel_gradient_again = guarded(kernel_length), *bias_gradient_again = guarded(s.outputs);
  rms_dense_backward(kernel_gradient_again, bias_gradient_again, NULL, again, scratch, input, NULL,
                     s.relu ? output : NULL, s.batch, s.inputs, s.outputs);
  claim(all_same_bits(kernel_gradient, kernel_gradient_again, kernel_length)
        && all_same_bits(bias_gradient, bias_gradient_again, s.outputs),
        "without an input gradient the other gradients are the same", describe(s));
  release(input), release(kernel), release(output), release(output_gradient), release(scratch);
  release(kernel_gradient), release(bias_gradient), release(input_gradient), release(masked), release(again);
  release(kernel_gradient_again), release(bias_gradient_again);
}

static void check_layers(void) {
  /* Every size up to 67 stands in each of the three places, against sizes that leave different remainders. */
  for (size_t size = 1; size <= 67; size++) {
    for (int relu = 0; relu <= 1; relu++) {
      const size_t other = (size * 13) % 19 + 1, third = (size * 7) % 11 + 1;
      const layer_sizes sizes[] = {{size, other, third, relu}, {third, size, other, relu}, {other, third, size, relu}};
      for (size_t i = 0; i < 3; i++) {
        check_forward(sizes[i]);
        check_backward(sizes[i]);
      }
    }
  }
  const layer_sizes special[] = {{1, 1, 1, 1}, {1, 67, 67, 1}, {67, 67, 1, 0}, {64, 33, 10, 0}, {5, 300, 129, 1}};
  for (size_t i = 0; i < sizeof special / sizeof *special; i++) {
    check_forward(special[i]);
    check_backward(special[i]);
  }
}

static void check_nan(void) {
  const float input[2] = {NAN, 1}, kernel[1] = {1}, bias[1] = {0};
  float output[2], scratch[16];
  rms_dense_forward(output, scratch, input, kernel, bias, 2, 1, 1, 1);
  claim(output[0] != output[0], "NaN passes through the ReLU", "forward");
  claim(same_bits(output[1], 1), "NaN stays in its row", "forward");
}

/* ---- Loss ---- */

static void check_loss(size_t batch, size_t classes, float scale) {
  snprintf(detail, sizeof detail, "batch %zu, %zu classes, logits up to %g", batch, classes, (double)scale);
  float *values = guarded(batch * classes);
  uint8_t *labels = malloc(batch);
  for (size_t i = 0; i < batch * classes; i++) values[i] *= scale;
  for (size_t b = 0; b < batch; b++) labels[b] = (uint8_t)(random_bits() % classes);
  float *probabilities = copy_of(values, batch * classes), *logits = copy_of(values, batch * classes);

  const float loss = rms_softmax_cross_entropy(values, labels, batch, classes);
  rms_softmax(probabilities, batch, classes);

  double expected_loss = 0, loss_magnitude = 0;
  int close = 1, softmax_close = 1;
  for (size_t b = 0; b < batch; b++) {
    const float *row = logits + b * classes;
    double maximum = (double)row[0], sum = 0;
    for (size_t c = 0; c < classes; c++) maximum = fmax(maximum, (double)row[c]);
    for (size_t c = 0; c < classes; c++) sum += exp((double)row[c] - maximum);
    const double distance = maximum - (double)row[labels[b]];
    expected_loss += (log(sum) + distance) / (double)batch;
    loss_magnitude += (log(sum) + distance + 1) / (double)batch;
    for (size_t c = 0; c < classes; c++) {
      const double argument = maximum - (double)row[c], probability = exp(-argument) / sum;
      /* In units of 2^-24: rounding the argument of exp moves its result by the argument; exp is off by less than 3; the
       * sum by that and a rounding for each class; division, subtraction and scaling by 1 each. Results may be subnormal. */
      const double relative = (argument + 3 + (3 + (double)classes) + 3) * 0x1p-24;
      const double target = labels[b] == c ? 1 : 0;
      softmax_close &= fabs((double)probabilities[b * classes + c] - probability) <= relative * probability + 0x1p-148;
      close &= fabs((double)values[b * classes + c] - (probability - target) / (double)batch)
               <= (relative * probability + 3 * 0x1p-24) / (double)batch + 0x1p-148;
    }
  }
  claim(softmax_close, "softmax equals the formula in double within the rounding bound", detail);
  claim(close, "the loss's gradient equals the formula in double within the rounding bound", detail);
  /* A row's loss has the sum's relative error and a few roundings; the mean adds one rounding a row. */
  claim(fabs((double)loss - expected_loss) <= ((double)(5 * classes + batch) + 16) * 0x1p-24 * loss_magnitude,
        "the loss equals the formula in double within the rounding bound", detail);
  claim(guards_untouched(values, batch * classes) && guards_untouched(probabilities, batch * classes),
        "the loss writes its values only", detail);
  release(values), release(probabilities), release(logits), free(labels);
}

static void check_losses(void) {
  for (size_t classes = 1; classes <= 67; classes++) check_loss((classes * 5) % 13 + 1, classes, 4);
  for (size_t batch = 1; batch <= 67; batch++) check_loss(batch, 10, 30);
  check_loss(9, 256, 1);
  check_loss(9, 10, 1e4f);
  check_loss(9, 10, 1e37f);

  float one_class[3] = {-7, 0, 7};
  const uint8_t zeros[3] = {0, 0, 0};
  claim(rms_softmax_cross_entropy(one_class, zeros, 3, 1) == 0.0f && one_class[0] == 0.0f && one_class[2] == 0.0f,
        "a single class is certain: no loss, no gradient", "3 rows");
  float diverged[4] = {NAN, 1, 0, 1};
  const float loss = rms_softmax_cross_entropy(diverged, zeros, 2, 2);
  claim(loss != loss, "a NaN in one row makes the mean loss NaN", "2 rows");
}

static void check_count(void) {
  const float values[] = {1, 2, 3, /**/ 3, 3, 1, /**/ 3, 3, 1, /**/ 0, NAN, 1, /**/ 0, NAN, 1, /**/ -1, -3, -2};
  const uint8_t labels[] = {2, 0, 1, 2, 1, 0};
  const int expected[] = {1, 1, 0, 0, 0, 1};
  size_t total = 0;
  for (size_t row = 0; row < 6; row++) {
    snprintf(detail, sizeof detail, "row %zu", row);
    claim(rms_count_correct(values + 3 * row, labels + row, 1, 3) == (size_t)expected[row],
          "the first of the largest values decides, and NaN never", detail);
    total += (size_t)expected[row];
  }
  claim(rms_count_correct(values, labels, 6, 3) == total, "the count is the sum over the rows", "6 rows");
}

/* ---- The gradient of a whole network ---- */

enum { BATCH = 5, INPUTS = 6, HIDDEN = 7, CLASSES = 4 };
enum { KERNEL_1 = 0, BIAS_1 = KERNEL_1 + INPUTS * HIDDEN, KERNEL_2 = BIAS_1 + HIDDEN, BIAS_2 = KERNEL_2 + HIDDEN * CLASSES,
       PARAMETERS = BIAS_2 + CLASSES };

static double network_loss(const double *parameters, const float *input, const uint8_t *labels) {
  double loss = 0;
  for (int b = 0; b < BATCH; b++) {
    double hidden[HIDDEN], logits[CLASSES], sum = 0;
    for (int h = 0; h < HIDDEN; h++) {
      hidden[h] = parameters[BIAS_1 + h];
      for (int i = 0; i < INPUTS; i++) hidden[h] += (double)input[b * INPUTS + i] * parameters[KERNEL_1 + i * HIDDEN + h];
      hidden[h] = fmax(hidden[h], 0);
    }
    for (int c = 0; c < CLASSES; c++) {
      logits[c] = parameters[BIAS_2 + c];
      for (int h = 0; h < HIDDEN; h++) logits[c] += hidden[h] * parameters[KERNEL_2 + h * CLASSES + c];
      sum += exp(logits[c]);
    }
    loss += (log(sum) - logits[labels[b]]) / BATCH;
  }
  return loss;
}

static void check_network_gradient(void) {
  float parameters[PARAMETERS], gradients[PARAMETERS], input[BATCH * INPUTS];
  float hidden[BATCH * HIDDEN], hidden_gradient[BATCH * HIDDEN], logits[BATCH * CLASSES], scratch[8 * HIDDEN];
  const uint8_t labels[BATCH] = {0, 3, 1, 2, 3};
  double exact[PARAMETERS];
  for (int i = 0; i < PARAMETERS; i++) exact[i] = (double)(parameters[i] = random_float());
  for (int i = 0; i < BATCH * INPUTS; i++) input[i] = random_float();

  rms_dense_forward(hidden, scratch, input, parameters + KERNEL_1, parameters + BIAS_1, BATCH, INPUTS, HIDDEN, 1);
  rms_dense_forward(logits, scratch, hidden, parameters + KERNEL_2, parameters + BIAS_2, BATCH, HIDDEN, CLASSES, 0);
  const float loss = rms_softmax_cross_entropy(logits, labels, BATCH, CLASSES);
  rms_dense_backward(gradients + KERNEL_2, gradients + BIAS_2, hidden_gradient, logits, scratch, hidden,
                     parameters + KERNEL_2, NULL, BATCH, HIDDEN, CLASSES);
  rms_dense_backward(gradients + KERNEL_1, gradients + BIAS_1, NULL, hidden_gradient, scratch, input,
                     parameters + KERNEL_1, hidden, BATCH, INPUTS, HIDDEN);

  claim(fabs((double)loss - network_loss(exact, input, labels)) < 1e-6, "the network's loss equals the formula in double", "loss");
  for (int i = 0; i < PARAMETERS; i++) {
    /* The central difference is off by h^2/6 times the third derivative (about 1e-12) and by the rounding of the loss
     * divided by h (about 1e-10); the float gradient by some 2^-24 of terms of the size of 1. */
    const double h = 1e-6, middle = exact[i];
    exact[i] = middle + h;
    const double above = network_loss(exact, input, labels);
    exact[i] = middle - h;
    const double below = network_loss(exact, input, labels);
    exact[i] = middle;
    snprintf(detail, sizeof detail, "parameter %d of %d", i, PARAMETERS);
    claim(fabs((double)gradients[i] - (above - below) / (2 * h)) < 1e-6,
          "the network's gradient equals the finite difference of its loss", detail);
  }
}

/* ---- exp and log ---- */

static float float_of(uint32_t bits) {
  float number;
  memcpy(&number, &bits, sizeof number);
  return number;
}

/* The distance between neighbouring floats around x. */
static double ulp(double x) {
  int exponent;
  frexp(x, &exponent);
  return ldexp(1, (exponent < -125 ? -125 : exponent) - 24);
}

static void check_exp_and_log(void) {
  double worst_exp = 0, worst_log = 0;
  /* Every 499th float of both signs; 499 is prime, so that all low bits occur with all exponents. */
  for (uint64_t bits = 0; bits <= UINT32_MAX; bits += 499) {
    const float x = float_of((uint32_t)bits);
    if (x != x) continue;
    const double exact_exp = exp((double)x);
    if (exact_exp < 0x1.ffffffp+127 && (double)rms_exp(x) != exact_exp) {
      worst_exp = fmax(worst_exp, fabs((double)rms_exp(x) - exact_exp) / ulp(exact_exp));
    }
    const double exact_log = log((double)x);
    if (x > 0 && isfinite(x) && (double)rms_log(x) != exact_log) {
      worst_log = fmax(worst_log, fabs((double)rms_log(x) - exact_log) / ulp(exact_log));
    }
  }
  /* Where softmax lives, and around the zero of log. */
  for (uint32_t i = 0; i < 4000000; i++) {
    const float x = (float)i * -0x1p-17f, y = float_of(0x3f800000 - 2000000 + i);
    worst_exp = fmax(worst_exp, fabs((double)rms_exp(x) - exp((double)x)) / ulp(exp((double)x)));
    const double exact_log = log((double)y);
    if (exact_log != 0) worst_log = fmax(worst_log, fabs((double)rms_log(y) - exact_log) / ulp(exact_log));
  }
  printf("exp is within %.3f ulp, log within %.3f ulp\n", worst_exp, worst_log);
  claim(worst_exp <= 1.1, "exp is within 1.1 ulp of the true value", "sweep");
  claim(worst_log <= 0.8, "log is within 0.8 ulp of the true value", "sweep");

  claim(same_bits(rms_exp(0), 1) && same_bits(rms_exp(-0.0f), 1), "exp of zero is one", "0 and -0");
  claim(same_bits(rms_log(1), 0), "log of one is zero", "1");
  claim(same_bits(rms_exp(-INFINITY), 0) && same_bits(rms_exp(-104.5f), 0), "exp goes to zero", "-Inf and -104.5");
  claim(same_bits(rms_exp(INFINITY), INFINITY) && same_bits(rms_exp(88.75f), INFINITY), "exp goes to infinity", "Inf and 88.75");
  claim(rms_exp(NAN) != rms_exp(NAN) && rms_log(NAN) != rms_log(NAN), "exp and log of NaN are NaN", "NaN");
  claim(same_bits(rms_log(0), -INFINITY) && same_bits(rms_log(-0.0f), -INFINITY), "log of zero is minus infinity", "0 and -0");
  claim(same_bits(rms_log(INFINITY), INFINITY), "log of infinity is infinity", "Inf");
  claim(rms_log(-1) != rms_log(-1) && rms_log(-INFINITY) != rms_log(-INFINITY), "log of a negative number is NaN", "-1 and -Inf");
}

int main(void) {
  printf("seed %u\n", (unsigned)random_state);
  check_layers();
  check_nan();
  check_losses();
  check_count();
  check_network_gradient();
  check_exp_and_log();
  return report();
}
