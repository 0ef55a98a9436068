/* rms_step against an oracle that shares nothing with it: every rule written out for one element from the frameworks'
 * sources, every operation stored to a volatile, and sums in TensorFlow's order written with plain arrays.
 * Compiled twice: REAL is float or double. */
#include "claims.h"

#include "rmsprop.h"

#include <math.h>
#include <stdlib.h>

/* ---- Oracle ---- */

typedef REAL real;
typedef volatile REAL rounded;

static real multiply(real a, real b) { rounded r = a * b; return r; }
static real add(real a, real b) { rounded r = a + b; return r; }
static real subtract(real a, real b) { rounded r = a - b; return r; }
static real divide(real a, real b) { rounded r = a / b; return r; }
static real root(real a) { rounded r = (real)sqrt((double)a); return r; } /* rounding twice is innocuous for sqrt */

enum { IS_DOUBLE = sizeof(real) == sizeof(double), PACKET = IS_DOUBLE ? 4 : 8, LEAF = 1024 * PACKET };

typedef struct {
  real *value, *gradient, *mean_square, *mean_gradient, *momentum, *average, *accumulator, *update;
} arrays;

static real expected_gradient(const rms_step_options *o, const arrays *t, size_t i) {
  real g = t->gradient[i];
  if (o->flags & RMS_UNSCALE) g = divide(g, (real)o->loss_scale);
  if (t->accumulator) {
    g = add(g, t->accumulator[i]);
    if (!(o->flags & RMS_HOLD)) g = divide(g, (real)o->accumulation_steps);
  }
  real c = (real)o->clip_value;
  if (o->flags & RMS_CLIP_BY_VALUE && !(o->flags & RMS_HOLD)) g = g > c ? c : g < -c ? -c : g;
  return g;
}

static real expected_leaf(const real *squares, size_t n) {
  size_t packets = n / PACKET, blocks = packets / 4;
  real rest = 0, lanes[4][PACKET] = {{0}};
  for (size_t i = packets * PACKET; i < n; i++) rest = add(rest, squares[i]);
  if (packets == 0) return rest;
  for (size_t b = 0; b < blocks; b++)
    for (int j = 0; j < 4; j++)
      for (int i = 0; i < PACKET; i++)
        lanes[j][i] = add(lanes[j][i], squares[(4 * b + (size_t)j) * PACKET + (size_t)i]);
  for (int j = 1; j < 4; j++)
    for (int i = 0; i < PACKET; i++) lanes[0][i] = add(lanes[0][i], lanes[j][i]);
  for (size_t p = blocks * 4; p < packets; p++)
    for (int i = 0; i < PACKET; i++) lanes[0][i] = add(lanes[0][i], squares[PACKET * p + (size_t)i]);
  for (int width = PACKET / 2; width > 0; width /= 2)
    for (int i = 0; i < width; i++) lanes[0][i] = add(lanes[0][i], lanes[0][i + width]);
  return add(rest, lanes[0][0]);
}

static real expected_sum(const real *squares, size_t n) {
  if (n <= LEAF) return expected_leaf(squares, n);
  size_t split = ((n + 1) / 2 + PACKET - 1) / PACKET * PACKET;
  real left = expected_sum(squares, split), right = expected_sum(squares + split, n - split);
  return add(left, right);
}

static real expected_sum_squares(const rms_step_options *o, const arrays *t, size_t n) {
  real *squares = malloc(n * sizeof *squares + 1);
  for (size_t i = 0; i < n; i++) {
    real g = expected_gradient(o, t, i);
    squares[i] = multiply(g, g);
  }
  real sum = expected_sum(squares, n);
  free(squares);
  return sum;
}

/* What the rules do with a gradient. Returns what is subtracted from the value. */
static real expected_rule(const rms_step_options *o, arrays *t, size_t i, real g) {
  real lr = (real)o->learning_rate, rho = (real)o->rho, mu = (real)o->momentum, epsilon = (real)o->epsilon;
  real omrd = (real)(1 - o->rho), omrf = subtract(1, rho);
  real *v = &t->mean_square[i], *mg = t->mean_gradient ? &t->mean_gradient[i] : NULL;
  real *m = t->momentum ? &t->momentum[i] : NULL;
  real c = o->flags & RMS_CORRECT_BIAS ? (real)o->bias_correction : 1;
  real square = multiply(g, g), variance = 0, den, inc;
  switch (o->rule) {
    case RMS_RULE_TF1:
      *v = add(*v, multiply(subtract(square, *v), omrf));
      if (mg) *mg = add(*mg, multiply(subtract(g, *mg), omrf));
      break;
    case RMS_RULE_LEGACY:
      *v = add(multiply(*v, rho), multiply(square, omrf));
      if (mg) *mg = add(multiply(*mg, rho), multiply(g, omrf));
      break;
    case RMS_RULE_TORCH:
      *v = add(multiply(*v, rho), multiply(multiply(omrd, g), g));
      if (mg) {
        real difference = subtract(g, *mg);
        *mg = fabs((double)omrd) < 0.5 ? add(*mg, multiply(omrd, difference))
                               : subtract(g, multiply(difference, subtract(1, omrd)));
      }
      break;
    default:
      *v = add(multiply(rho, *v), multiply(omrd, square));
      if (mg) *mg = add(multiply(rho, *mg), multiply(omrd, g));
  }
  real v_hat = multiply(*v, c), mg_hat = mg ? multiply(*mg, c) : 0;
  int outside = o->rule == RMS_RULE_LEGACY || o->rule == RMS_RULE_TORCH || o->rule == RMS_RULE_OPTAX_OUTSIDE;
  if (outside) {
    variance = mg ? subtract(v_hat, multiply(mg_hat, mg_hat)) : v_hat;
    if (mg && variance <= 0) variance = 0;
    den = add(root(variance), epsilon);
  } else {
    if (mg) variance = add(subtract(v_hat, multiply(mg_hat, mg_hat)), epsilon);
    else variance = add(v_hat, epsilon);
    if (mg && variance <= 0) variance = epsilon;
    den = root(variance);
  }
  switch (o->rule) {
    case RMS_RULE_KERAS_2_11: inc = multiply(multiply(lr, g), divide(1, den)); break;
    case RMS_RULE_OPTAX:
    case RMS_RULE_OPTAX_OUTSIDE: inc = multiply(lr, multiply(divide(1, den), g)); break;
    case RMS_RULE_TORCH: inc = m ? divide(g, den) : divide(multiply(lr, g), den); break;
    default: inc = divide(multiply(lr, g), den);
  }
  real step = inc;
  if (m) {
    *m = add(multiply(mu, *m), inc);
    step = o->flags & RMS_NESTEROV ? add(multiply(mu, *m), inc) : *m;
    if (o->rule == RMS_RULE_TORCH) step = multiply(lr, step);
  }
  return o->rule == RMS_RULE_OPTAX || o->rule == RMS_RULE_OPTAX_OUTSIDE ? -step : step;
}

static void expected_step(const rms_step_options *o, arrays *t, size_t n, int keeps_weights, real all_squares) {
  real lr = (real)o->learning_rate, c = (real)o->clip_norm, wd = (real)o->weight_decay, k = (real)o->ema_momentum;
  real ema_rest = o->rule == RMS_RULE_KERAS_2_11 ? (real)(1 - o->ema_momentum) : subtract(1, k);
  real own = t->gradient && o->flags & RMS_CLIP_BY_NORM ? root(expected_sum_squares(o, t, n)) : 0;
  real all = root(all_squares);
  for (size_t i = 0; i < n; i++) {
    real x = t->value[i];
    if (t->gradient) {
      real g = expected_gradient(o, t, i);
      if (o->flags & RMS_HOLD) {
        t->accumulator[i] = g;
      } else {
        if (t->accumulator) t->accumulator[i] = 0;
        if (o->flags & RMS_CLIP_BY_NORM) g = divide(multiply(g, c), own > c || own != own ? own : c);
        if (o->flags & RMS_CLIP_BY_GLOBAL_NORM) {
          real inverse = divide(1, all), limit = (real)(1 / o->clip_norm);
          g = multiply(g, add(multiply(c, inverse < limit ? inverse : limit), subtract(all, all)));
        }
        if (o->flags & RMS_MAXIMIZE) g = -g;
        if (o->flags & RMS_DECAY_GRADIENTS && !keeps_weights) g = add(g, multiply(wd, x));
        else if (o->flags & RMS_DECAY_WEIGHTS && !keeps_weights) x = subtract(x, multiply(multiply(x, wd), lr));
        real step = expected_rule(o, t, i, g);
        if (t->update) {
          t->update[i] = -step;
          continue;
        }
        x = subtract(x, step);
      }
    }
    if (!t->gradient && t->accumulator && !(o->flags & RMS_HOLD)) t->accumulator[i] = 0;
    if (t->average && (t->gradient || o->rule != RMS_RULE_KERAS_2_11)) {
      t->average[i] = add(multiply(k, t->average[i]), multiply(ema_rest, x));
      if (o->flags & RMS_OVERWRITE) x = t->average[i];
    }
    t->value[i] = x;
  }
}

static int same(real a, real b) { return (a != a && b != b) || memcmp(&a, &b, sizeof a) == 0; }

/* ---- Data ---- */

static uint32_t seed = 20260101;

static uint32_t next(void) { /* xorshift32 */
  seed ^= seed << 13;
  seed ^= seed >> 17;
  seed ^= seed << 5;
  return seed;
}

/* In [-1, 1) times a power of ten from 1e-4 to 1e2. */
static real number(void) {
  static const real scales[] = {1e-4f, 1e-3f, 1e-2f, 1e-1f, 1, 10, 100};
  return ((real)(next() >> 8) / 8388608 - 1) * scales[next() % 7];
}

static const real specials[] = {0.0f, -0.0f, 1e-40f, -1e-45f, INFINITY, -INFINITY, NAN, 3e38f, 1e-30f, 1.0f};

enum { GUARD = 4, SLOTS = 8 };
static const real guard = 12345.5;

/* One tensor twice: what the kernel sees, `offset` elements off an aligned block, and what the oracle sees. */
typedef struct {
  real *block[SLOTS];
  size_t length, offset;
  arrays actual, expected;
} twin;

static real **field(arrays *a, int slot) {
  real **fields[SLOTS] = {&a->value,    &a->gradient, &a->mean_square, &a->mean_gradient,
                           &a->momentum, &a->average,  &a->accumulator, &a->update};
  return fields[slot];
}

static twin make_twin(size_t length, size_t offset, const int present[SLOTS], int special) {
  twin t = {.length = length, .offset = offset};
  for (int slot = 0; slot < SLOTS; slot++) {
    *field(&t.actual, slot) = *field(&t.expected, slot) = NULL;
    if (!present[slot]) continue;
    size_t room = length + offset + 2 * GUARD;
    real *actual = t.block[slot] = malloc(room * sizeof(real));
    real *expected = malloc((length + 1) * sizeof(real));
    for (size_t i = 0; i < room; i++) actual[i] = guard;
    for (size_t i = 0; i < length; i++) {
      real x = special && next() % 2 ? specials[next() % 10] : number();
      if (slot == 2) x = (real)fabs((double)x); /* a mean of squares */
      actual[GUARD + offset + i] = expected[i] = x;
    }
    *field(&t.actual, slot) = actual + GUARD + offset;
    *field(&t.expected, slot) = expected;
  }
  return t;
}

static void compare_twin(twin *t, const char *sentence, const char *detail) {
  static const char *names[SLOTS] = {"value",    "gradient", "mean square", "mean gradient",
                                     "momentum", "average",  "accumulator", "update"};
  char where[200];
  for (int slot = 0; slot < SLOTS; slot++) {
    if (!t->block[slot]) continue;
    const real *actual = *field(&t->actual, slot), *expected = *field(&t->expected, slot);
    size_t wrong = t->length;
    for (size_t i = 0; i < t->length && wrong == t->length; i++)
      if (!same(actual[i], expected[i])) wrong = i;
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
                       .update = t->actual.update,
                       .length = t->length,
                       .dtype = IS_DOUBLE ? RMS_FLOAT64 : RMS_FLOAT32,
                       .flags = flags};
  return tensor;
}

/* ---- Claims ---- */

/* Three tensors, of which the second keeps its weights and the third has no gradient, three steps. */
static void compare_model(uint32_t rule, size_t length, size_t offset, unsigned slots, uint32_t flags, int special) {
  char detail[120];
  snprintf(detail, sizeof detail, "rule %u slots %x flags %x special %d", (unsigned)rule, slots, (unsigned)flags, special);
  int present[SLOTS] = {1, 1, 1, slots & 1, (slots & 2) != 0, (slots & 4) != 0, (slots & 8) != 0, (slots & 16) != 0};
  if (rule == RMS_RULE_KERAS_2_11) present[6] = 0;
  if (!present[6] || present[7]) flags &= ~(uint32_t)RMS_HOLD;
  twin twins[3];
  size_t lengths[3] = {length, length / 2 + 1, 5};
  for (int k = 0; k < 3; k++) {
    present[1] = k < 2;
    twins[k] = make_twin(lengths[k], offset, present, special);
  }
  for (int step = 0; step < 3; step++) {
    real sums[3];
    rms_step_options o = {.learning_rate = 0.0123, .rho = step < 2 ? 0.9 : 0.4, .momentum = 0.7,
                          .epsilon = step ? 1e-3 : 1e-7, .weight_decay = 0.3, .loss_scale = 3, .accumulation_steps = 3,
                          .clip_value = 0.75, .clip_norm = 0.75, .bias_correction = 1.25, .ema_momentum = step ? 0.99 : 0,
                          .sum_squares = sums, .rule = rule, .flags = step == 1 ? flags & ~(uint32_t)RMS_HOLD : flags};
    rms_tensor tensors[3];
    for (int k = 0; k < 3; k++) tensors[k] = tensor_of(&twins[k], k == 1 ? RMS_KEEP_WEIGHTS : 0);
    real all = 0;
    if (flags & RMS_CLIP_BY_GLOBAL_NORM)
      for (int k = 0; k < 2; k++) all = add(all, expected_sum_squares(&o, &twins[k].expected, lengths[k]));
    for (int k = 0; k < 3; k++) expected_step(&o, &twins[k].expected, lengths[k], k == 1, all);
    if (step == 2) { /* in ranges that cut through the tensors */
      size_t total = lengths[0] + lengths[1] + lengths[2];
      if (flags & (RMS_CLIP_BY_NORM | RMS_CLIP_BY_GLOBAL_NORM) && !(o.flags & RMS_HOLD)) rms_sum_squares(&o, tensors, 3);
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
  static const uint32_t clips[] = {0, RMS_CLIP_BY_VALUE, RMS_CLIP_BY_NORM, RMS_CLIP_BY_GLOBAL_NORM,
                                   RMS_CLIP_BY_VALUE | RMS_CLIP_BY_NORM};
  static const uint32_t others[] = {RMS_UNSCALE, RMS_HOLD, RMS_DECAY_WEIGHTS, RMS_DECAY_GRADIENTS, RMS_OVERWRITE,
                                    RMS_MAXIMIZE, RMS_NESTEROV, RMS_CORRECT_BIAS};
  enum { OTHERS = sizeof others / sizeof *others };
  for (uint32_t rule = RMS_RULE_KERAS; rule < RMS_RULE_COUNT; rule++) {
    for (unsigned slots = 0; slots < 32; slots++) {
      for (size_t length = 0; length <= 67; length++) compare_model(rule, length, length % 4, slots, 0, length % 5 == 0);
      for (size_t c = 0; c < sizeof clips / sizeof *clips; c++) {
        for (int round = 0; round < 24; round++) {
          uint32_t flags = clips[c];
          for (int k = 0; k < OTHERS; k++)
            if (round < OTHERS ? round == k : next() % 3 == 0) flags |= others[k];
          compare_model(rule, next() % 68, next() % 4, slots, flags, round % 5 == 0);
        }
      }
    }
  }
}

/* Preparing and then stepping is stepping. */
static void preparing_comes_first(void) {
  for (size_t length = 0; length <= 67; length++) {
    int present[SLOTS] = {1, 1, 1, 0, 1, 0, (int)(length % 2), 0};
    twin twins[2] = {make_twin(length, length % 4, present, 0), make_twin(5, 0, present, 0)};
    real sums[2], out[67 + 5];
    rms_step_options o = {.learning_rate = 0.1, .rho = 0.9, .momentum = 0.5, .epsilon = 1e-3, .loss_scale = 3,
                          .accumulation_steps = 3, .clip_norm = 0.5, .clip_value = 0.2, .sum_squares = sums,
                          .flags = RMS_UNSCALE | RMS_CLIP_BY_NORM | RMS_CLIP_BY_VALUE};
    rms_tensor tensors[2] = {tensor_of(&twins[0], 0), tensor_of(&twins[1], 0)};
    for (int k = 0; k < 2; k++) expected_step(&o, &twins[k].expected, twins[k].length, 0, 0);
    rms_prepare(&o, tensors, 2, out);
    tensors[0].gradient = out;
    tensors[1].gradient = out + length;
    o.flags |= RMS_PREPARED;
    rms_step(&o, tensors, 2);
    for (int k = 0; k < 2; k++) {
      compare_twin(&twins[k], "preparing and then stepping is stepping", "prepared");
      free_twin(&twins[k]);
    }
  }
}

/* A sparse gradient is the dense one of its rows, and merging is summing in list order. */
static void rows_are_small_tensors(void) {
  enum { ROWS = 9, COUNT = 6 };
  for (size_t width = 1; width <= 19; width++) {
    int32_t indices[COUNT] = {4, 0, 4, 8, 0, 4}, places[ROWS];
    real values[COUNT * 19], value[ROWS * 19], mean_square[ROWS * 19], momentum[ROWS * 19], mean_gradient[ROWS * 19], whole[4][ROWS * 19];
    for (size_t i = 0; i < ROWS * width; i++) {
      whole[0][i] = value[i] = number();
      whole[1][i] = mean_square[i] = (real)fabs((double)number());
      whole[2][i] = momentum[i] = number();
      whole[3][i] = mean_gradient[i] = number();
    }
    for (size_t i = 0; i < COUNT * width; i++) values[i] = number();
    real sums[3 * 19];
    for (size_t i = 0; i < width; i++) {
      sums[i] = add(add(add(0, values[i]), values[2 * width + i]), values[5 * width + i]);
      sums[width + i] = add(add(0, values[width + i]), values[4 * width + i]);
      sums[2 * width + i] = add(0, values[3 * width + i]);
    }
    uint32_t dtype = IS_DOUBLE ? RMS_FLOAT64 : RMS_FLOAT32;
    size_t unique = rms_merge_rows(dtype, values, indices, places, COUNT, width);
    claim(unique == 3 && indices[0] == 4 && indices[1] == 0 && indices[2] == 8, "rows merge in the order of first occurrence", "");
    claim(memcmp(values, sums, 3 * width * sizeof(real)) == 0, "merged rows are sums in list order", "");
    rms_step_options o = {.learning_rate = 0.1, .rho = 0.9, .momentum = 0.5, .epsilon = 1e-7, .rule = RMS_RULE_TF1};
    rms_tensor tensor = {.value = value, .gradient = values, .mean_square = mean_square, .momentum = momentum,
                         .mean_gradient = width % 2 ? mean_gradient : NULL, .indices = indices, .length = ROWS * width,
                         .index_count = 3, .row_length = (uint32_t)width, .dtype = dtype};
    rms_range(&o, &tensor, 1, 0, 4 * width + 1); /* cuts through row 4 */
    rms_range(&o, &tensor, 1, 4 * width + 1, ROWS * width);
    real lr = (real)0.1, rho = (real)0.9, omr = subtract(1, rho), mu = (real)0.5, epsilon = (real)1e-7;
    for (size_t k = 0; k < 3; k++) {
      for (size_t i = 0; i < width; i++) {
        size_t at = (size_t)indices[k] * width + i;
        real g = values[k * width + i];
        real v = whole[1][at] = add(multiply(whole[1][at], rho), multiply(multiply(g, g), omr));
        real d = add(v, epsilon);
        if (width % 2) {
          real mg = whole[3][at] = add(multiply(whole[3][at], rho), multiply(g, omr));
          d = subtract(d, multiply(mg, mg));
          if (d <= 0) d = epsilon;
        }
        real m = whole[2][at] = add(multiply(whole[2][at], mu), multiply(multiply(divide(1, root(d)), lr), g));
        whole[0][at] = subtract(whole[0][at], m);
      }
    }
    size_t bytes = ROWS * width * sizeof(real);
    claim(!memcmp(value, whole[0], bytes) && !memcmp(mean_square, whole[1], bytes) && !memcmp(momentum, whole[2], bytes) &&
              !memcmp(mean_gradient, whole[3], bytes),
          "only the named rows move, by TensorFlow's form for rows", "");
  }
}

static void sums_of_long_tensors(void) {
  static const size_t lengths[] = {8191, 8192, 8193, 8200, 16384, 16385, 20001, 65537, 100000};
  for (size_t k = 0; k < sizeof lengths / sizeof *lengths; k++) {
    int present[SLOTS] = {1, 1, 1, 0, 0, 0, (int)(k % 2), 0};
    twin t = make_twin(lengths[k], k % 4, present, 0);
    real sum;
    rms_step_options o = {.accumulation_steps = 3, .clip_norm = 1, .sum_squares = &sum, .flags = RMS_CLIP_BY_NORM};
    rms_tensor tensor = tensor_of(&t, 0);
    rms_sum_squares(&o, &tensor, 1);
    char detail[40];
    snprintf(detail, sizeof detail, "length %zu", lengths[k]);
    claim(same(sum, expected_sum_squares(&o, &t.expected, lengths[k])),
          "a sum of squares runs in TensorFlow's order", detail);
    compare_twin(&t, "a sum reads only", detail);
    free_twin(&t);
  }
}

/* Leaves in any ranges, in any order, and then joined. */
static void leaves_join_to_sums(void) {
  enum { COUNT = 6, ROOM = 64 };
  static const size_t lengths[COUNT] = {0, 7, 100000, 8193, 5, 20001};
  twin twins[COUNT];
  rms_tensor tensors[COUNT];
  for (int k = 0; k < COUNT; k++) {
    int present[SLOTS] = {1, k != 4, 1, 0, 0, 0, k % 2, 0};
    twins[k] = make_twin(lengths[k], (size_t)k % 4, present, 0);
    tensors[k] = tensor_of(&twins[k], 0);
  }
  int32_t indices[2] = {1, 0};
  tensors[1].accumulator = NULL;
  tensors[1].indices = indices;
  tensors[1].index_count = 2;
  tensors[1].row_length = 3; /* six numbers of the seven */
  real sums[COUNT], expected[COUNT], leaves[ROOM + 1];
  rms_step_options o = {.accumulation_steps = 3, .clip_norm = 1, .clip_value = 0.5, .loss_scale = 3,
                        .flags = RMS_CLIP_BY_NORM | RMS_CLIP_BY_VALUE | RMS_UNSCALE, .sum_squares = expected};
  rms_sum_squares(&o, tensors, COUNT);
  o.sum_squares = sums;
  size_t total = rms_sum_squares_range(&o, tensors, COUNT, 0, 0, NULL);
  /* 100 000 is split into 16 leaves of floats and 32 of doubles, 8 193 into 2 and 3, 20 001 into 4 and 8. */
  claim(total == (IS_DOUBLE ? 1 + 1 + 32 + 3 + 8 : 1 + 1 + 16 + 2 + 4), "leaves have at most 1 024 packets", "");
  for (size_t parts = 1; parts <= total; parts++) {
    for (size_t i = 0; i <= ROOM; i++) leaves[i] = guard;
    for (int k = 0; k < COUNT; k++) sums[k] = guard;
    int counts = 1;
    for (size_t part = parts; part-- > 0;)
      counts &= rms_sum_squares_range(&o, tensors, COUNT, total * part / parts, total * (part + 1) / parts, leaves) == total;
    claim(counts && leaves[total] == guard, "each part tells the number of leaves and writes its own", "");
    rms_join_sum_squares(&o, tensors, COUNT, leaves);
    int equal = 1;
    for (int k = 0; k < COUNT - 1; k++) equal &= same(sums[k], expected[k]);
    claim(equal && sums[COUNT - 1] == guard, "joined leaves are the sums of squares, to the bit", "");
  }
  for (int k = 0; k < COUNT; k++) {
    compare_twin(&twins[k], "leaves are read only", "leaves");
    free_twin(&twins[k]);
  }
}

/* rms_average is what a step does for a tensor without gradient, by every rule, and nothing else. */
static void averages_alone(void) {
  for (uint32_t rule = RMS_RULE_KERAS; rule < RMS_RULE_COUNT; rule++) {
    for (size_t length = 0; length <= 67; length++) {
      int present[SLOTS] = {1, 1, 1, 0, 0, 1, rule != RMS_RULE_KERAS_2_11, 0}, none[SLOTS] = {1, 1, 1};
      twin twins[2] = {make_twin(length, length % 4, present, length % 5 == 0), make_twin(3, 0, none, 0)};
      rms_step_options o = {.ema_momentum = 0.99, .rule = rule, .flags = length % 2 ? RMS_OVERWRITE : 0};
      rms_tensor tensors[2] = {tensor_of(&twins[0], 0), tensor_of(&twins[1], 0)};
      arrays *t = &twins[0].expected;
      real k = (real)0.99, rest = rule == RMS_RULE_KERAS_2_11 ? (real)(1 - 0.99) : subtract(1, k);
      for (size_t i = 0; i < length; i++) {
        t->average[i] = add(multiply(k, t->average[i]), multiply(rest, t->value[i]));
        if (o.flags) t->value[i] = t->average[i];
      }
      rms_average(&o, tensors, 2);
      for (int j = 0; j < 2; j++) {
        compare_twin(&twins[j], "the averages alone move", "rms_average");
        free_twin(&twins[j]);
      }
    }
  }
}

static void global_norm_of_many_tensors(void) {
  enum { COUNT = 45 };
  rms_tensor tensors[COUNT];
  twin twins[COUNT];
  real sums[COUNT], squares[COUNT];
  int with_gradient = 0, present[SLOTS] = {1, 1, 1};
  for (int k = 0; k < COUNT; k++) {
    present[1] = k % 11 != 3;
    twins[k] = make_twin((size_t)k + 1, 0, present, 0);
    tensors[k] = tensor_of(&twins[k], 0);
  }
  rms_step_options o = {.learning_rate = 0.1, .rho = 0.9, .epsilon = 1e-7, .clip_norm = 1,
                        .sum_squares = sums, .flags = RMS_CLIP_BY_GLOBAL_NORM};
  for (int k = 0; k < COUNT; k++)
    if (tensors[k].gradient) squares[with_gradient++] = expected_sum_squares(&o, &twins[k].expected, twins[k].length);
  real all = expected_sum(squares, (size_t)with_gradient);
  for (int k = 0; k < COUNT; k++) expected_step(&o, &twins[k].expected, twins[k].length, 0, all);
  rms_step(&o, tensors, COUNT);
  for (int k = 0; k < COUNT; k++) {
    compare_twin(&twins[k], "the global norm sums over the tensors with a gradient, in TensorFlow's order", "45 tensors");
    free_twin(&twins[k]);
  }
}

static void constant_gradient_stays_finite(void) {
  enum { COUNT = 7 };
  real value[COUNT] = {0}, mean_square[COUNT] = {0}, mean_gradient[COUNT] = {0}, momentum[COUNT] = {0};
  const real gradient[COUNT] = {1e-4f, 1e-3f, 1e-2f, 0.1f, 1, 3, 1e3f};
  const rms_tensor tensor = {.value = value, .gradient = gradient, .mean_square = mean_square,
                             .mean_gradient = mean_gradient, .momentum = momentum, .length = COUNT,
                             .dtype = IS_DOUBLE ? RMS_FLOAT64 : RMS_FLOAT32};
  const rms_step_options options = {.learning_rate = 1e-3, .rho = 0.9, .momentum = 0.9, .epsilon = 1e-7};
  for (int step = 0; step < 5000; step++) rms_step(&options, &tensor, 1);
  for (int i = 0; i < COUNT; i++)
    claim(isfinite(value[i]) && isfinite(momentum[i]), "a constant gradient stays finite for 5000 centered steps", "value");
}

static void finiteness_is_seen_anywhere(void) {
  real gradient[67];
  for (size_t length = 0; length <= 67; length++) {
    for (size_t i = 0; i < length; i++) gradient[i] = i % 2 ? (real)3e38 : (real)-0.0;
    const rms_tensor tensors[2] = {{.gradient = NULL, .length = 3},
                                   {.gradient = gradient, .length = length, .dtype = IS_DOUBLE ? RMS_FLOAT64 : RMS_FLOAT32}};
    claim(rms_all_finite(tensors, 2), "finite gradients are finite", "");
    for (size_t i = 0; i < length; i++) {
      static const real bad[] = {INFINITY, -INFINITY, NAN};
      real kept = gradient[i];
      gradient[i] = bad[i % 3];
      claim(!rms_all_finite(tensors, 2), "one infinity or NaN is seen wherever it stands", "");
      gradient[i] = kept;
    }
  }
}

int main(void) {
  printf("seed %u\n", (unsigned)seed);
  compare_everything();
  preparing_comes_first();
  rows_are_small_tensors();
  sums_of_long_tensors();
  leaves_join_to_sums();
  averages_alone();
  global_norm_of_many_tensors();
  constant_gradient_stays_finite();
  finiteness_is_seen_anywhere();
  return report();
}
