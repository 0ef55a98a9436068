#include "reference.h"

#include <math.h>
#include <stdlib.h>

/* A number as an element of this type holds it. */
static double rounded(uint32_t dtype, double x) { return dtype == RMS_FLOAT64 ? x : (double)(float)x; }

#define R(x) rounded(t->dtype, (x))

static size_t elements_of_gradient(const reference_tensor *t) {
  return t->indices ? t->index_count * t->row_length : t->length;
}

/* Unscaled and accumulated. */
static double prepared_gradient(const rms_step_options *o, const reference_tensor *t, size_t i) {
  double g = t->gradient[i];
  if (o->flags & RMS_UNSCALE) g = R(g / R(o->loss_scale));
  if (t->accumulator) g = R(R(g + t->accumulator[i]) / R(o->accumulation_steps));
  return g;
}

/* Before a clip by norm. */
static double gradient_before_norm(const rms_step_options *o, const reference_tensor *t, size_t i, int clips) {
  double g = o->flags & RMS_PREPARED ? t->gradient[i] : prepared_gradient(o, t, i);
  if (clips && o->flags & RMS_CLIP_BY_VALUE) {
    double c = R(o->clip_value);
    /* min(max(g, -c), c) in the order that shows for a negative c, and NaN stays */
    if (g > c) g = c;
    if (g < -c) g = -c;
  }
  return g;
}

/* ---- Sums in TensorFlow's order ---- */

static double sum_of(uint32_t dtype, const double *terms, size_t count) {
  size_t packet = dtype == RMS_FLOAT64 ? 4 : 8;
  if (count > 1024 * packet) {
    size_t half = count - count / 2;
    size_t left = half % packet ? half + packet - half % packet : half;
    double a = sum_of(dtype, terms, left), b = sum_of(dtype, terms + left, count - left);
    return rounded(dtype, a + b);
  }
  double tail = 0, accumulators[4][8] = {{0}};
  size_t whole = count - count % packet, rounds = whole / packet / 4 * 4;
  for (size_t i = whole; i < count; i++) tail = rounded(dtype, tail + terms[i]);
  if (whole == 0) return tail;
  for (size_t p = 0; p < whole / packet; p++) {
    if (p == rounds) break;
    for (size_t lane = 0; lane < packet; lane++)
      accumulators[p % 4][lane] = rounded(dtype, accumulators[p % 4][lane] + terms[p * packet + lane]);
  }
  double *lanes = accumulators[0];
  for (size_t lane = 0; lane < packet; lane++) {
    lanes[lane] = rounded(dtype, lanes[lane] + accumulators[1][lane]);
    lanes[lane] = rounded(dtype, lanes[lane] + accumulators[2][lane]);
    lanes[lane] = rounded(dtype, lanes[lane] + accumulators[3][lane]);
    for (size_t p = rounds; p < whole / packet; p++) lanes[lane] = rounded(dtype, lanes[lane] + terms[p * packet + lane]);
  }
  if (packet == 8)
    for (int i = 0; i < 4; i++) lanes[i] = rounded(dtype, lanes[i] + lanes[i + 4]);
  double even = rounded(dtype, lanes[0] + lanes[2]), odd = rounded(dtype, lanes[1] + lanes[3]);
  return rounded(dtype, tail + rounded(dtype, even + odd));
}

void reference_sum_squares(const rms_step_options *o, double *sums, const reference_tensor *tensors, size_t count) {
  for (size_t k = 0; k < count; k++) {
    const reference_tensor *t = &tensors[k];
    if (!t->gradient) continue;
    size_t length = elements_of_gradient(t);
    double *squares = malloc((length + 1) * sizeof *squares);
    for (size_t i = 0; i < length; i++) {
      double g = gradient_before_norm(o, t, i, 1);
      squares[i] = R(g * g);
    }
    *sums++ = sum_of(t->dtype, squares, length);
    free(squares);
  }
}

static size_t leaves_of(size_t packet, size_t count) {
  if (count <= 1024 * packet) return 1;
  size_t left = (count + 1) / 2;
  while (left % packet != 0) left++;
  return leaves_of(packet, left) + leaves_of(packet, count - left);
}

size_t reference_leaves(const reference_tensor *tensors, size_t count) {
  size_t leaves = 0;
  for (size_t k = 0; k < count; k++)
    if (tensors[k].gradient) leaves += leaves_of(tensors[k].dtype == RMS_FLOAT64 ? 4 : 8, elements_of_gradient(&tensors[k]));
  return leaves;
}

/* ---- The rule ---- */

/* The element `at` of the tensor by the gradient g, which stands before a clip by norm; `norm` is the own norm of the
 * gradient or that of all. */
static void update_element(const rms_step_options *o, const reference_tensor *t, size_t at, double g, double norm) {
  const int keeps_gradient = (t->flags & RMS_KEEP_GRADIENT) != 0, keeps_weights = (t->flags & RMS_KEEP_WEIGHTS) != 0;
  const int sparse_tf1 = t->indices && o->rule == RMS_RULE_TF1;
  const double lr = R(o->learning_rate), rho = R(o->rho), epsilon = R(o->epsilon), c = R(o->clip_norm);
  /* TensorFlow's C++ and tf.keras subtract the rounded rho; the others subtract in Python's double. */
  const int first = o->rule == RMS_RULE_TF1 || o->rule == RMS_RULE_LEGACY;
  const double rest = first ? R(1 - rho) : R(1 - o->rho);
  double x = t->value[at];

  if (o->flags & RMS_CLIP_BY_NORM && !keeps_gradient) {
    double divisor = norm <= c ? c : norm;
    g = R(R(g * c) / divisor);
  }
  if (o->flags & RMS_CLIP_BY_GLOBAL_NORM && !keeps_gradient) {
    double inverse = R(1 / norm), limit = R(1 / o->clip_norm);
    double factor = isfinite(norm) ? R(R(c * (inverse < limit ? inverse : limit)) + 0) : (double)NAN;
    g = R(g * factor);
  }
  if (o->flags & RMS_MAXIMIZE) g = -g;
  double decay = R(x * R(o->weight_decay));
  if (!keeps_weights && o->flags & RMS_DECAY_GRADIENTS) g = R(g + decay);
  else if (!keeps_weights && o->flags & RMS_DECAY_WEIGHTS) x = R(x - R(decay * lr));

  double v = t->mean_square[at], mg = t->mean_gradient ? t->mean_gradient[at] : 0, square = R(g * g);
  if (o->rule == RMS_RULE_TF1 && !sparse_tf1) v = R(v + R(R(square - v) * rest));
  else if (o->rule == RMS_RULE_TORCH) v = R(R(rho * v) + R(R(rest * g) * g));
  else v = R(R(rho * v) + R(rest * square));
  t->mean_square[at] = v;
  if (t->mean_gradient) {
    double difference = R(g - mg);
    if (o->rule == RMS_RULE_TF1 && !sparse_tf1) mg = R(mg + R(difference * rest));
    else if (o->rule == RMS_RULE_TORCH) mg = fabs(rest) < 0.5 ? R(mg + R(rest * difference)) : R(g - R(difference * R(1 - rest)));
    else mg = R(R(rho * mg) + R(rest * g));
    t->mean_gradient[at] = mg;
  }

  if (o->flags & RMS_CORRECT_BIAS) {
    v = R(v * R(o->bias_correction));
    mg = R(mg * R(o->bias_correction));
  }
  double d, denominator;
  const int outside = o->rule == RMS_RULE_LEGACY || o->rule == RMS_RULE_TORCH || o->rule == RMS_RULE_OPTAX_OUTSIDE;
  if (outside) {
    d = t->mean_gradient ? R(v - R(mg * mg)) : v;
    if (t->mean_gradient && d <= 0) d = 0;
    denominator = R(R(sqrt(d)) + epsilon);
  } else {
    if (!t->mean_gradient) d = R(v + epsilon);
    else if (sparse_tf1) d = R(R(v + epsilon) - R(mg * mg));
    else d = R(R(v - R(mg * mg)) + epsilon);
    if (t->mean_gradient && d <= 0) d = epsilon;
    denominator = R(sqrt(d));
  }

  double increment, step;
  const int optax = o->rule == RMS_RULE_OPTAX || o->rule == RMS_RULE_OPTAX_OUTSIDE;
  if (o->rule == RMS_RULE_TORCH && t->momentum) increment = R(g / denominator);
  else if (sparse_tf1) increment = R(R(R(1 / denominator) * lr) * g);
  else if (o->rule == RMS_RULE_KERAS_2_11) increment = R(R(lr * g) * R(1 / denominator));
  else if (optax) increment = R(lr * R(R(1 / denominator) * g));
  else increment = R(R(lr * g) / denominator);
  step = increment;
  if (t->momentum) {
    double mu = R(o->momentum), m = R(R(mu * t->momentum[at]) + increment);
    t->momentum[at] = m;
    step = o->flags & RMS_NESTEROV ? R(R(mu * m) + increment) : m;
    if (o->rule == RMS_RULE_TORCH) step = R(lr * step);
  }
  if (t->update) {
    t->update[at] = optax ? step : -step;
    return;
  }
  t->value[at] = optax ? R(x + step) : R(x - step);
}

static void average_element(const rms_step_options *o, const reference_tensor *t, size_t i) {
  double k = R(o->ema_momentum);
  double rest = o->rule == RMS_RULE_KERAS_2_11 ? R(1 - o->ema_momentum) : R(1 - k);
  t->average[i] = R(R(k * t->average[i]) + R(rest * t->value[i]));
  if (o->flags & RMS_OVERWRITE) t->value[i] = t->average[i];
}

void reference_average(const rms_step_options *o, const reference_tensor *tensors, size_t count) {
  for (size_t k = 0; k < count; k++)
    for (size_t i = 0; tensors[k].average && i < tensors[k].length; i++) average_element(o, &tensors[k], i);
}

/* The element i of a tensor whose gradient, if any, is as long. */
static void dense_element(const rms_step_options *o, const reference_tensor *t, size_t i, double norm) {
  if (!t->gradient) {
    if (t->accumulator && !(o->flags & RMS_HOLD)) t->accumulator[i] = 0;
    if (t->average && o->rule != RMS_RULE_KERAS_2_11) average_element(o, t, i);
  } else if (o->flags & RMS_HOLD) {
    double g = t->gradient[i];
    if (o->flags & RMS_UNSCALE) g = R(g / R(o->loss_scale));
    t->accumulator[i] = R(g + t->accumulator[i]);
    if (t->average && o->rule != RMS_RULE_KERAS_2_11) average_element(o, t, i);
  } else {
    double g = gradient_before_norm(o, t, i, !(t->flags & RMS_KEEP_GRADIENT));
    if (t->accumulator) t->accumulator[i] = 0;
    update_element(o, t, i, g, norm);
    if (t->average && !t->update) average_element(o, t, i);
  }
}

void reference_range(const rms_step_options *o, const double *sums, const reference_tensor *tensors, size_t count,
                     size_t first, size_t last) {
  size_t start = 0, gradients = 0;
  double all = 0;
  if (o->flags & RMS_CLIP_BY_GLOBAL_NORM && count > 0) {
    size_t total = 0;
    for (size_t k = 0; k < count; k++) total += tensors[k].gradient != NULL;
    all = rounded(tensors[0].dtype, sqrt(sum_of(tensors[0].dtype, sums, total)));
  }
  for (size_t k = 0; k < count; k++) {
    const reference_tensor *t = &tensors[k];
    double norm = o->flags & RMS_CLIP_BY_NORM && t->gradient ? R(sqrt(sums[gradients])) : all;
    if (t->gradient) gradients++;
    if (t->gradient && t->indices) {
      for (size_t j = 0; j < t->index_count * t->row_length; j++) {
        size_t at = (size_t)t->indices[j / t->row_length] * t->row_length + j % t->row_length;
        if (start + at < first || start + at >= last) continue;
        update_element(o, t, at, gradient_before_norm(o, t, j, !(t->flags & RMS_KEEP_GRADIENT)), norm);
      }
    } else {
      for (size_t i = 0; i < t->length; i++)
        if (start + i >= first && start + i < last) dense_element(o, t, i, norm);
    }
    start += t->length;
  }
}

void reference_prepare(const rms_step_options *o, const reference_tensor *tensors, size_t count, double *out) {
  for (size_t k = 0; k < count; k++) {
    const reference_tensor *t = &tensors[k];
    for (size_t i = 0; i < t->length; i++, out++)
      if (t->gradient) *out = prepared_gradient(o, t, i);
  }
}

size_t reference_merge_rows(uint32_t dtype, double *values, int32_t *indices, size_t count, size_t row_length) {
  double *sums = calloc(count * row_length + 1, sizeof *sums);
  int32_t *found = malloc((count + 1) * sizeof *found);
  size_t unique = 0;
  for (size_t k = 0; k < count; k++) {
    size_t place = 0;
    while (place < unique && found[place] != indices[k]) place++;
    if (place == unique) found[unique++] = indices[k];
    for (size_t i = 0; i < row_length; i++) {
      double *sum = &sums[place * row_length + i];
      *sum = rounded(dtype, *sum + values[k * row_length + i]);
    }
  }
  for (size_t k = 0; k < unique; k++) indices[k] = found[k];
  for (size_t i = 0; i < unique * row_length; i++) values[i] = sums[i];
  free(sums);
  free(found);
  return unique;
}

int reference_all_finite(const reference_tensor *tensors, size_t count) {
  for (size_t k = 0; k < count; k++) {
    for (size_t i = 0; tensors[k].gradient && i < elements_of_gradient(&tensors[k]); i++)
      if (!isfinite(tensors[k].gradient[i])) return 0;
  }
  return 1;
}
