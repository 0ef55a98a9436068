/* rms_step against an oracle that shares nothing with it: the rule of rmsprop.h written out for one element, every
 * operation stored to a volatile float, and sums in TensorFlow's order written with plain arrays. */
#include "claims.h"

#include "rmsprop.h"

#include <math.h>
#include <stdlib.h>

/* ---- Oracle ---- */

typedef volatile float f32;

static float multiply(float a, float b) { f32 r = a * b; return r; }
static float add(float a, float b) { f32 r = a + b; return r; }
static float subtract(float a, float b) { f32 r = a - b; return r; }
static float divide(float a, float b) { f32 r = a / b; return r; }
static float root(float a) { f32 r = (float)sqrt((double)a); return r; } /* double rounding is innocuous for sqrt */

typedef struct {
  float *value, *gradient, *mean_square, *mean_gradient, *momentum, *average, *accumulator;
} arrays;

static float expected_gradient(const rms_step_options *o, const arrays *t, size_t i) {
  float g = t->gradient[i];
  if (o->flags & RMS_UNSCALE) g = divide(g, (float)o->loss_scale);
  if (t->accumulator) {
    g = add(g, t->accumulator[i]);
    if (!(o->flags & RMS_HOLD)) g = divide(g, (float)o->accumulation_steps);
  }
  return g;
}

static float expected_leaf(const float *squares, size_t n) {
  size_t packets = n / 8, blocks = packets / 4;
  float rest = 0, lanes[4][8] = {{0}};
  for (size_t i = packets * 8; i < n; i++) rest = add(rest, squares[i]);
  if (packets == 0) return rest;
  for (size_t b = 0; b < blocks; b++)
    for (int j = 0; j < 4; j++)
      for (int i = 0; i < 8; i++) lanes[j][i] = add(lanes[j][i], squares[32 * b + 8 * (size_t)j + (size_t)i]);
  for (int j = 1; j < 4; j++)
    for (int i = 0; i < 8; i++) lanes[0][i] = add(lanes[0][i], lanes[j][i]);
  for (size_t p = blocks * 4; p < packets; p++)
    for (int i = 0; i < 8; i++) lanes[0][i] = add(lanes[0][i], squares[8 * p + (size_t)i]);
  for (int width = 4; width > 0; width /= 2)
    for (int i = 0; i < width; i++) lanes[0][i] = add(lanes[0][i], lanes[0][i + width]);
  return add(rest, lanes[0][0]);
}

static float expected_sum(const float *squares, size_t n) {
  if (n <= 8192) return expected_leaf(squares, n);
  size_t split = ((n + 1) / 2 + 7) & ~(size_t)7;
  float left = expected_sum(squares, split), right = expected_sum(squares + split, n - split);
  return add(left, right);
}

static float expected_sum_squares(const rms_step_options *o, const arrays *t, size_t n) {
  float *squares = malloc(n * sizeof *squares + 1);
  for (size_t i = 0; i < n; i++) {
    float g = expected_gradient(o, t, i);
    squares[i] = multiply(g, g);
  }
  float sum = expected_sum(squares, n);
  free(squares);
  return sum;
}

static void expected_step(const rms_step_options *o, arrays *t, size_t n, int keeps_weights, float all_squares) {
  float lr = (float)o->learning_rate, rho = (float)o->rho, omr = (float)(1 - o->rho), mu = (float)o->momentum;
  float epsilon = (float)o->epsilon, c = (float)o->clip_limit, wd = (float)o->weight_decay, k = (float)o->ema_momentum;
  float own = t->gradient && o->clip == RMS_CLIP_BY_NORM ? root(expected_sum_squares(o, t, n)) : 0;
  float all = root(all_squares);
  for (size_t i = 0; i < n; i++) {
    float x = t->value[i];
    if (t->gradient) {
      float g = expected_gradient(o, t, i);
      if (o->flags & RMS_HOLD) {
        t->accumulator[i] = g;
      } else {
        if (t->accumulator) t->accumulator[i] = 0;
        if (o->clip == RMS_CLIP_BY_VALUE) g = g > c ? c : g < -c ? -c : g;
        if (o->clip == RMS_CLIP_BY_NORM) g = divide(multiply(g, c), own > c || own != own ? own : c);
        if (o->clip == RMS_CLIP_BY_GLOBAL_NORM) {
          float inverse = divide(1, all), limit = (float)(1 / o->clip_limit);
          g = multiply(g, add(multiply(c, inverse < limit ? inverse : limit), subtract(all, all)));
        }
        if ((o->flags & RMS_DECAY_WEIGHTS) && !keeps_weights) x = subtract(x, multiply(multiply(x, wd), lr));
        float v = t->mean_square[i] = add(multiply(rho, t->mean_square[i]), multiply(omr, multiply(g, g)));
        float d = add(v, epsilon);
        if (t->mean_gradient) {
          float mg = t->mean_gradient[i] = add(multiply(rho, t->mean_gradient[i]), multiply(omr, g));
          d = add(subtract(v, multiply(mg, mg)), epsilon);
          if (d <= 0) d = epsilon;
        }
        float m = divide(multiply(lr, g), root(d));
        if (t->momentum) m = t->momentum[i] = add(multiply(mu, t->momentum[i]), m);
        x = subtract(x, m);
      }
    }
    if (!t->gradient && t->accumulator && !(o->flags & RMS_HOLD)) t->accumulator[i] = 0;
    if (t->average) {
      t->average[i] = add(multiply(k, t->average[i]), multiply(subtract(1, k), x));
      if (o->flags & RMS_OVERWRITE) x = t->average[i];
    }
    t->value[i] = x;
  }
}

/* ---- Data ---- */

static uint32_t seed = 20260101;

static uint32_t next(void) { /* xorshift32 */
  seed ^= seed << 13;
  seed ^= seed >> 17;
  seed ^= seed << 5;
  return seed;
}

/* In [-1, 1) times a power of ten from 1e-4 to 1e2. */
static float number(void) {
  static const float scales[] = {1e-4f, 1e-3f, 1e-2f, 1e-1f, 1, 10, 100};
  return ((float)(next() >> 8) / 8388608.0f - 1.0f) * scales[next() % 7];
}

static const float specials[] = {0.0f, -0.0f, 1e-40f, -1e-45f, INFINITY, -INFINITY, NAN, 3e38f, 1e-30f, 1.0f};

enum { GUARD = 4, SLOTS = 7 };
static const float guard = 12345.678f;

/* One tensor twice: what the kernel sees, `offset` elements off an aligned block, and what the oracle sees. */
typedef struct {
  float *block[SLOTS];
  size_t length, offset;
  arrays actual, expected;
} twin;

static float **field(arrays *a, int slot) {
  float **fields[SLOTS] = {&a->value,    &a->gradient, &a->mean_square, &a->mean_gradient,
                           &a->momentum, &a->average,  &a->accumulator};
  return fields[slot];
}

static twin make_twin(size_t length, size_t offset, const int present[SLOTS], int special) {
  twin t = {.length = length, .offset = offset};
  for (int slot = 0; slot < SLOTS; slot++) {
    *field(&t.actual, slot) = *field(&t.expected, slot) = NULL;
    if (!present[slot]) continue;
    size_t room = length + offset + 2 * GUARD;
    float *actual = t.block[slot] = malloc(room * sizeof(float));
    float *expected = malloc((length + 1) * sizeof(float));
    for (size_t i = 0; i < room; i++) actual[i] = guard;
    for (size_t i = 0; i < length; i++) {
      float x = special && next() % 2 ? specials[next() % 10] : number();
      if (slot == 2) x = fabsf(x); /* a mean of squares */
      actual[GUARD + offset + i] = expected[i] = x;
    }
    *field(&t.actual, slot) = actual + GUARD + offset;
    *field(&t.expected, slot) = expected;
  }
  return t;
}

static void compare_twin(twin *t, const char *sentence, const char *detail) {
  static const char *names[SLOTS] = {"value",    "gradient", "mean square", "mean gradient",
                                     "momentum", "average",  "accumulator"};
  char where[200];
  for (int slot = 0; slot < SLOTS; slot++) {
    if (!t->block[slot]) continue;
    const float *actual = *field(&t->actual, slot), *expected = *field(&t->expected, slot);
    size_t wrong = t->length;
    for (size_t i = 0; i < t->length && wrong == t->length; i++)
      if (!same_bits(actual[i], expected[i])) wrong = i;
    snprintf(where, sizeof where, "%s, %s[%zu] of %zu, offset %zu", detail, names[slot], wrong, t->length, t->offset);
    claim(wrong == t->length, sentence, where);
    int intact = 1;
    for (size_t i = 0; i < GUARD; i++)
      intact &= t->block[slot][t->offset + i] == guard && actual[t->length + i] == guard;
    claim(intact, "nothing beside an array is touched", where);
  }
}

static void free_twin(twin *t) {
  for (int slot = 0; slot < SLOTS; slot++) {
    free(t->block[slot]);
    free(*field(&t->expected, slot));
  }
}

static rms_tensor tensor_of(const twin *t, uint32_t flags) {
  rms_tensor tensor = {.value = t->actual.value,
                       .gradient = t->actual.gradient,
                       .mean_square = t->actual.mean_square,
                       .mean_gradient = t->actual.mean_gradient,
                       .momentum = t->actual.momentum,
                       .average = t->actual.average,
                       .accumulator = t->actual.accumulator,
                       .length = t->length,
                       .dtype = RMS_FLOAT32,
                       .flags = flags};
  return tensor;
}

/* ---- Claims ---- */

/* Three tensors, of which the second keeps its weights and the third has no gradient, three steps. */
static void compare_model(size_t length, size_t offset, unsigned slots, uint32_t clip, uint32_t flags, int special) {
  char detail[120];
  snprintf(detail, sizeof detail, "slots %x clip %u flags %x special %d", slots, clip, (unsigned)flags, special);
  int present[SLOTS] = {1, 1, 1, slots & 1, (slots & 2) != 0, (slots & 4) != 0, (slots & 8) != 0};
  if (!present[6]) flags &= ~(uint32_t)RMS_HOLD;
  twin twins[3];
  size_t lengths[3] = {length, length / 2 + 1, 5};
  for (int k = 0; k < 3; k++) {
    present[1] = k < 2;
    twins[k] = make_twin(lengths[k], offset, present, special);
  }
  for (int step = 0; step < 3; step++) {
    float sums[3];
    rms_step_options o = {.learning_rate = 0.0123, .rho = 0.9, .momentum = 0.7, .epsilon = step ? 1e-3 : 1e-7,
                          .weight_decay = 0.3, .loss_scale = 3, .accumulation_steps = 3, .clip_limit = 0.75,
                          .ema_momentum = step ? 0.99 : 0, .sum_squares = sums, .rule = RMS_RULE_KERAS, .clip = clip,
                          .flags = step == 1 ? flags & ~(uint32_t)RMS_HOLD : flags};
    rms_tensor tensors[3];
    for (int k = 0; k < 3; k++) tensors[k] = tensor_of(&twins[k], k == 1 ? RMS_KEEP_WEIGHTS : 0);
    float all = 0;
    if (clip == RMS_CLIP_BY_GLOBAL_NORM)
      for (int k = 0; k < 2; k++) all = add(all, expected_sum_squares(&o, &twins[k].expected, lengths[k]));
    for (int k = 0; k < 3; k++) expected_step(&o, &twins[k].expected, lengths[k], k == 1, all);
    if (step == 2) { /* in ranges that cut through the tensors */
      size_t total = lengths[0] + lengths[1] + lengths[2];
      if (clip >= RMS_CLIP_BY_NORM && !(o.flags & RMS_HOLD)) rms_sum_squares(&o, tensors, 3);
      rms_range(&o, tensors, 3, total / 3, total);
      rms_range(&o, tensors, 3, 0, total / 7);
      rms_range(&o, tensors, 3, total / 7, total / 3);
    } else {
      rms_step(&o, tensors, 3);
    }
    for (int k = 0; k < 3; k++) compare_twin(&twins[k], "a step gives the oracle's bits", detail);
  }
  for (int k = 0; k < 3; k++) free_twin(&twins[k]);
}

static void compare_everything(void) {
  for (unsigned slots = 0; slots < 16; slots++)
    for (uint32_t clip = RMS_CLIP_NONE; clip <= RMS_CLIP_BY_GLOBAL_NORM; clip++)
      for (uint32_t flags = 0; flags < 16; flags++)
        for (size_t length = 0; length <= 67; length += 1 + (flags > 0) * (next() % 23))
          compare_model(length, length % 4, slots, clip, flags, (slots + flags + length) % 5 == 0);
}

static void sums_of_long_tensors(void) {
  static const size_t lengths[] = {8191, 8192, 8193, 8200, 16384, 16385, 20001, 65537, 100000};
  for (size_t k = 0; k < sizeof lengths / sizeof *lengths; k++) {
    int present[SLOTS] = {1, 1, 1, 0, 0, 0, (int)(k % 2)};
    twin t = make_twin(lengths[k], k % 4, present, 0);
    float sum;
    rms_step_options o = {.accumulation_steps = 3, .clip = RMS_CLIP_BY_NORM, .clip_limit = 1, .sum_squares = &sum};
    rms_tensor tensor = tensor_of(&t, 0);
    rms_sum_squares(&o, &tensor, 1);
    char detail[40];
    snprintf(detail, sizeof detail, "length %zu", lengths[k]);
    claim(same_bits(sum, expected_sum_squares(&o, &t.expected, lengths[k])),
          "a sum of squares runs in TensorFlow's order", detail);
    compare_twin(&t, "a sum reads only", detail);
    free_twin(&t);
  }
}

static void global_norm_of_many_tensors(void) {
  enum { COUNT = 45 };
  rms_tensor tensors[COUNT];
  twin twins[COUNT];
  float sums[COUNT], squares[COUNT];
  int with_gradient = 0, present[SLOTS] = {1, 1, 1};
  for (int k = 0; k < COUNT; k++) {
    present[1] = k % 11 != 3;
    twins[k] = make_twin((size_t)k + 1, 0, present, 0);
    tensors[k] = tensor_of(&twins[k], 0);
  }
  rms_step_options o = {.learning_rate = 0.1, .rho = 0.9, .epsilon = 1e-7, .clip = RMS_CLIP_BY_GLOBAL_NORM,
                        .clip_limit = 1, .sum_squares = sums};
  for (int k = 0; k < COUNT; k++)
    if (tensors[k].gradient) squares[with_gradient++] = expected_sum_squares(&o, &twins[k].expected, twins[k].length);
  float all = expected_sum(squares, (size_t)with_gradient);
  for (int k = 0; k < COUNT; k++) expected_step(&o, &twins[k].expected, twins[k].length, 0, all);
  rms_step(&o, tensors, COUNT);
  for (int k = 0; k < COUNT; k++) {
    compare_twin(&twins[k], "the global norm sums over the tensors with a gradient, in TensorFlow's order", "45 tensors");
    free_twin(&twins[k]);
  }
}

static void constant_gradient_stays_finite(void) {
  enum { COUNT = 7 };
  float value[COUNT] = {0}, mean_square[COUNT] = {0}, mean_gradient[COUNT] = {0}, momentum[COUNT] = {0};
  const float gradient[COUNT] = {1e-4f, 1e-3f, 1e-2f, 0.1f, 1, 3, 1e3f};
  const rms_tensor tensor = {.value = value, .gradient = gradient, .mean_square = mean_square,
                             .mean_gradient = mean_gradient, .momentum = momentum, .length = COUNT};
  const rms_step_options options = {.learning_rate = 1e-3, .rho = 0.9, .momentum = 0.9, .epsilon = 1e-7};
  for (int step = 0; step < 5000; step++) rms_step(&options, &tensor, 1);
  for (int i = 0; i < COUNT; i++)
    claim(isfinite(value[i]) && isfinite(momentum[i]), "a constant gradient stays finite for 5000 centered steps", "value");
}

static void finiteness_is_seen_anywhere(void) {
  float gradient[67];
  for (size_t length = 0; length <= 67; length++) {
    for (size_t i = 0; i < length; i++) gradient[i] = i % 2 ? 3e38f : -0.0f;
    const rms_tensor tensors[2] = {{.gradient = NULL, .length = 3}, {.gradient = gradient, .length = length}};
    claim(rms_all_finite(tensors, 2), "finite gradients are finite", "");
    for (size_t i = 0; i < length; i++) {
      static const float bad[] = {INFINITY, -INFINITY, NAN};
      float kept = gradient[i];
      gradient[i] = bad[i % 3];
      claim(!rms_all_finite(tensors, 2), "one infinity or NaN is seen wherever it stands", "");
      gradient[i] = kept;
    }
  }
}

int main(void) {
  printf("seed %u\n", (unsigned)seed);
  compare_everything();
  sums_of_long_tensors();
  global_norm_of_many_tensors();
  constant_gradient_stays_finite();
  finiteness_is_seen_anywhere();
  return report();
}
