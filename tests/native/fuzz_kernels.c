/* The entry points of rmsprop.h against reference.c, on calls that bytes describe: any list of tensors, slots, lengths,
 * offsets, options, flags and numbers that the contract allows. All that a call may write must have the reference's bits,
 * and all else what it had. A fuzzer looks for bytes that make a difference: libFuzzer (npm run fuzz), or without it the
 * random bytes of fuzz_random.c. A new entry point is one function and its line in `entries`. */
#include "reference.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* ---- Bytes ---- */

typedef struct {
  const uint8_t *data;
  size_t size;
} bytes;

static unsigned next_byte(bytes *b) { /* 0 behind the end */
  if (b->size == 0) return 0;
  b->size--;
  return *b->data++;
}

static unsigned next_below(bytes *b, unsigned limit) { return next_byte(b) % limit; }

static uint32_t next_word(bytes *b) {
  uint32_t low = next_byte(b);
  return low | next_byte(b) << 8;
}

/* ---- Numbers ---- */

/* Of an array's elements the bytes say only the kind and a seed: a mutation of one byte changes one thing. */
typedef struct {
  uint32_t state;
  unsigned kind;
} numbers;

static uint32_t random_word(numbers *n) {
  n->state = n->state * 1664525 + 1013904223;
  uint32_t x = n->state ^ n->state >> 15;
  return x * 2654435761u;
}

static double next_number(numbers *n, uint32_t dtype) {
  static const double specials[] = {0.0, -0.0, 1e-40, -1e-45, INFINITY, -INFINITY, NAN, FLT_MAX, -FLT_MAX, FLT_MIN, 1, -1,
                                    DBL_MAX, DBL_MIN, 5e-324, 1e-30, 1e19, 0.5};
  double ordinary = ((double)(random_word(n) >> 8) / 8388608 - 1) * pow(10, (int)(random_word(n) >> 8) % 7 - 4);
  double x = ordinary;
  switch (n->kind) {
    case 1: x = specials[(random_word(n) >> 8) % (sizeof specials / sizeof *specials)]; break;
    case 2: if ((random_word(n) >> 8) % 16 == 0) x = specials[(random_word(n) >> 8) % 9]; break;
    case 3: x = ordinary * (dtype == RMS_FLOAT64 ? 1e-308 : 1e-38); break;
    case 4: x = ordinary * (dtype == RMS_FLOAT64 ? 1e305 : 1e36); break;
    case 5: { /* any bits */
      uint64_t wide = (uint64_t)random_word(n) << 32;
      wide |= random_word(n);
      memcpy(&x, &wide, sizeof x);
      break;
    }
    case 6: x = 0.0625; break; /* equal ones, where a centered variance is lost */
    default: break;
  }
  return dtype == RMS_FLOAT64 ? x : (double)(float)x;
}

static double next_option(bytes *b) {
  static const double common[] = {0.0123, 0.9, 0.0, 1e-7, 1, 0.5, 3, 0.75, -0.0, -1, 1e-3, 0.4, 1e30, 1e-320, INFINITY, NAN};
  unsigned choice = next_byte(b);
  if (choice < 240) return common[choice % 16];
  double x = 0;
  for (size_t i = 0; i < sizeof x; i++) ((uint8_t *)&x)[i] = (uint8_t)next_byte(b);
  return x;
}

/* ---- Arrays, twice: as the kernels see them and as the reference does ---- */

enum { GUARD = 0xA5 };

typedef struct {
  uint8_t *block;  /* `offset` bytes that must stay as they are, then the elements; nothing behind, so that one step too
                      far is an error to the sanitizer */
  size_t offset, length;
  uint32_t dtype;
  double *expected;
} array;

static size_t size_of(uint32_t dtype) { return dtype == RMS_FLOAT64 ? 8 : 4; }

static void *elements(const array *a) { return a->block ? a->block + a->offset : NULL; }

static double element_at(const array *a, size_t i) {
  double wide;
  float narrow;
  const uint8_t *at = a->block + a->offset + i * size_of(a->dtype);
  if (a->dtype == RMS_FLOAT64) return memcpy(&wide, at, sizeof wide), wide;
  return memcpy(&narrow, at, sizeof narrow), (double)narrow;
}

static void set_element(const array *a, size_t i, double x) {
  float narrow = (float)x;
  uint8_t *at = a->block + a->offset + i * size_of(a->dtype);
  if (a->dtype == RMS_FLOAT64) memcpy(at, &x, sizeof x);
  else memcpy(at, &narrow, sizeof narrow);
}

static array make_array(bytes *b, uint32_t dtype, size_t length) {
  array a = {.offset = next_below(b, 4) * size_of(dtype), .length = length, .dtype = dtype};
  numbers n = {.kind = next_below(b, 8), .state = next_word(b)};
  a.block = malloc(a.offset + length * size_of(dtype) + (length == 0));
  memset(a.block, GUARD, a.offset);
  a.expected = malloc((length + 1) * sizeof *a.expected);
  for (size_t i = 0; i < length; i++) {
    a.expected[i] = next_number(&n, dtype);
    set_element(&a, i, a.expected[i]);
  }
  return a;
}

static void free_array(array *a) {
  free(a->block);
  free(a->expected);
}

static int same(double a, double b) { return (a != a && b != b) || memcmp(&a, &b, sizeof a) == 0; }

static void require(int holds, const char *what, size_t tensor, size_t index, double got, double expected) {
  if (holds) return;
  fprintf(stderr, "DIFFERENT: %s[%zu] of tensor %zu is %.17g and should be %.17g\n", what, index, tensor, got, expected);
  abort();
}

static void compare_array(const array *a, const char *what, size_t tensor) {
  if (!a->block) return;
  for (size_t i = 0; i < a->length; i++) {
    double got = element_at(a, i);
    require(same(got, a->expected[i]), what, tensor, i, got, a->expected[i]);
  }
  for (size_t i = 0; i < a->offset; i++)
    require(a->block[i] == GUARD, "a byte before", tensor, i, a->block[i], GUARD);
}

/* ---- Calls ---- */

enum { VALUE, GRADIENT, MEAN_SQUARE, MEAN_GRADIENT, MOMENTUM, AVERAGE, ACCUMULATOR, UPDATE, ARRAYS };
static const char *const names[ARRAYS] = {"value",    "gradient", "mean square", "mean gradient",
                                          "momentum", "average",  "accumulator", "update"};
enum { MOST = 48 };

typedef struct {
  rms_step_options options;
  size_t count;
  array arrays[MOST][ARRAYS];
  int32_t *indices[MOST], *indices_before[MOST];
  rms_tensor actual[MOST];
  reference_tensor expected[MOST];
  array sums; /* of the type of the first tensor */
} call;

static size_t next_length(bytes *b, int many) {
  static const size_t lengths[] = {64, 127, 128, 129, 255, 4095, 4096, 4097, 8191, 8192, 8193, 12289, 16385};
  unsigned choice = next_byte(b);
  if (many) return choice % 4;
  return choice < 240 ? choice % 70 : lengths[choice % (sizeof lengths / sizeof *lengths)];
}

/* Different rows of the value. */
static void choose_rows(bytes *b, call *c, size_t k) {
  rms_tensor *t = &c->actual[k];
  t->row_length = 1 + next_below(b, 20);
  size_t rows = t->length / t->row_length;
  t->index_count = rows ? (uint32_t)(next_byte(b) % (rows + 1)) : 0;
  numbers n = {.state = next_word(b)};
  int32_t *all = malloc((rows + 1) * sizeof *all);
  for (size_t i = 0; i < rows; i++) all[i] = (int32_t)i;
  for (size_t i = 0; i < t->index_count; i++) {
    size_t other = i + random_word(&n) % (rows - i);
    int32_t row = all[other];
    all[other] = all[i];
    all[i] = row;
  }
  size_t size = t->index_count * sizeof *all;
  c->indices[k] = malloc(size + (size == 0));
  c->indices_before[k] = malloc(size + (size == 0));
  memcpy(c->indices[k], all, size);
  memcpy(c->indices_before[k], all, size);
  free(all);
  t->indices = c->indices[k];
}

/* What the call asks of its tensors. */
typedef struct {
  int one_dtype, dense, holds, rule;
} demands;

static void make_tensor(bytes *b, call *c, size_t k, demands d, int many) {
  rms_tensor *t = &c->actual[k];
  array *a = c->arrays[k];
  *t = (rms_tensor){.dtype = next_below(b, 2), .flags = next_below(b, 4), .length = next_length(b, many)};
  if (d.one_dtype && k > 0) t->dtype = c->actual[0].dtype;
  unsigned slots = next_byte(b), shape = next_byte(b);
  int has_gradient = slots & 128 ? 0 : 1, may_accumulate = d.rule != RMS_RULE_KERAS_2_11;
  if (d.holds && !may_accumulate) has_gradient = 0;
  int sparse = has_gradient && !d.dense && !d.holds && shape % 5 == 4;
  int present[ARRAYS] = {0};
  present[GRADIENT] = has_gradient;
  present[MEAN_SQUARE] = (has_gradient && !d.holds) || slots & 1;
  present[MEAN_GRADIENT] = (slots & 2) != 0;
  present[MOMENTUM] = (slots & 4) != 0;
  present[AVERAGE] = slots & 8 && !sparse;
  present[ACCUMULATOR] = may_accumulate && !sparse && (slots & 16 || (d.holds && has_gradient));
  present[UPDATE] = (slots & 32) != 0;
  present[VALUE] = has_gradient || present[AVERAGE] || slots & 64;
  if (sparse) choose_rows(b, c, k);
  for (int which = 0; which < ARRAYS; which++) {
    if (!present[which]) continue;
    a[which] = make_array(b, t->dtype,
                          which == GRADIENT && sparse ? (size_t)t->index_count * t->row_length : t->length);
  }
  if (t->length == 0 && shape & 64) { /* an empty array may be no array */
    free_array(&a[VALUE]);
    a[VALUE] = (array){0};
  }
  t->value = elements(&a[VALUE]);
  t->gradient = elements(&a[GRADIENT]);
  t->mean_square = elements(&a[MEAN_SQUARE]);
  t->mean_gradient = elements(&a[MEAN_GRADIENT]);
  t->momentum = elements(&a[MOMENTUM]);
  t->average = elements(&a[AVERAGE]);
  t->accumulator = elements(&a[ACCUMULATOR]);
  t->update = elements(&a[UPDATE]);
  reference_tensor *r = &c->expected[k];
  *r = (reference_tensor){.value = a[VALUE].expected,
                          .gradient = a[GRADIENT].expected,
                          .mean_square = a[MEAN_SQUARE].expected,
                          .mean_gradient = a[MEAN_GRADIENT].expected,
                          .momentum = a[MOMENTUM].expected,
                          .average = a[AVERAGE].expected,
                          .accumulator = a[ACCUMULATOR].expected,
                          .update = a[UPDATE].expected,
                          .indices = t->indices,
                          .length = t->length,
                          .index_count = t->index_count,
                          .row_length = t->row_length,
                          .dtype = t->dtype,
                          .flags = t->flags};
  if (!has_gradient || sparse) return;
  if (shape % 16 == 1) { /* the gradient is the value itself */
    t->gradient = t->value;
    r->gradient = r->value;
  } else if (shape % 16 == 2 && k > 0 && c->actual[k - 1].dtype == t->dtype && c->actual[k - 1].length == t->length &&
             !c->actual[k - 1].indices && c->arrays[k - 1][GRADIENT].block) { /* or another's */
    t->gradient = elements(&c->arrays[k - 1][GRADIENT]);
    r->gradient = c->arrays[k - 1][GRADIENT].expected;
  }
}

enum { NORM_CLIPS = RMS_CLIP_BY_NORM | RMS_CLIP_BY_GLOBAL_NORM };

/* dense: the entry point takes no sparse gradients; one_dtype: nor two types. */
static void make_call(bytes *b, call *c, int one_dtype, int dense) {
  memset(c, 0, sizeof *c);
  rms_step_options *o = &c->options;
  o->rule = next_below(b, RMS_RULE_COUNT);
  o->flags = next_word(b) % (2 * RMS_PREPARED);
  if (next_byte(b) & 1) o->flags &= 0; /* often a plain step, which has kernels of its own */
  if ((o->flags & NORM_CLIPS) == NORM_CLIPS) o->flags &= ~(uint32_t)RMS_CLIP_BY_NORM;
  if (o->flags & RMS_HOLD) o->flags &= ~(uint32_t)RMS_PREPARED;
  double *doubles[] = {&o->learning_rate, &o->rho,        &o->momentum,  &o->epsilon,         &o->weight_decay, &o->loss_scale,
                       &o->accumulation_steps, &o->clip_value, &o->clip_norm, &o->bias_correction, &o->ema_momentum};
  for (size_t i = 0; i < sizeof doubles / sizeof *doubles; i++) *doubles[i] = next_option(b);
  unsigned size = next_byte(b);
  int many = size >= 250;
  c->count = many ? MOST : size % 6;
  demands d = {.one_dtype = one_dtype || (o->flags & NORM_CLIPS && !(o->flags & RMS_HOLD)), .dense = dense,
               .holds = (o->flags & RMS_HOLD) != 0, .rule = (int)o->rule};
  for (size_t k = 0; k < c->count; k++) make_tensor(b, c, k, d, many);
  c->sums = make_array(b, c->count ? c->actual[0].dtype : RMS_FLOAT32, c->count);
  o->sum_squares = elements(&c->sums);
}

static void compare_call(const call *c) {
  for (size_t k = 0; k < c->count; k++) {
    for (int which = 0; which < ARRAYS; which++) compare_array(&c->arrays[k][which], names[which], k);
    for (size_t i = 0; c->indices[k] && i < c->actual[k].index_count; i++)
      require(c->indices[k][i] == c->indices_before[k][i], "index", k, i, c->indices[k][i], c->indices_before[k][i]);
  }
  compare_array(&c->sums, "sum of squares", 0);
}

static void free_call(call *c) {
  for (size_t k = 0; k < c->count; k++) {
    for (int which = 0; which < ARRAYS; which++) free_array(&c->arrays[k][which]);
    free(c->indices[k]);
    free(c->indices_before[k]);
  }
  free_array(&c->sums);
}

static int clips_by_norm(const call *c) { return c->options.flags & NORM_CLIPS && !(c->options.flags & RMS_HOLD); }

static void expect_step(call *c) {
  if (clips_by_norm(c)) reference_sum_squares(&c->options, c->sums.expected, c->expected, c->count);
  reference_range(&c->options, c->sums.expected, c->expected, c->count, 0, SIZE_MAX);
}

/* ---- Entry points ---- */

static void fuzz_step(bytes *b) {
  call c;
  make_call(b, &c, 0, 0);
  for (unsigned steps = 1 + next_below(b, 3); steps > 0; steps--) {
    expect_step(&c);
    rms_step(&c.options, c.actual, c.count);
    compare_call(&c);
  }
  free_call(&c);
}

enum { PARTS = 4 };

/* Cuts [0, total] into PARTS ranges, some of them empty. */
static void next_cuts(bytes *b, size_t total, size_t cuts[PARTS + 1]) {
  cuts[0] = 0;
  for (int i = 1; i < PARTS; i++) cuts[i] = next_word(b) % (total + 1);
  cuts[PARTS] = total;
  for (int i = 1; i < PARTS; i++)
    for (int k = i; k > 1 && cuts[k - 1] > cuts[k]; k--) {
      size_t larger = cuts[k - 1];
      cuts[k - 1] = cuts[k];
      cuts[k] = larger;
    }
}

/* Ranges that cover all elements once, in any order, are a step; one alone is a part of it. */
static void fuzz_range(bytes *b) {
  call c;
  make_call(b, &c, 0, 0);
  if (clips_by_norm(&c)) {
    reference_sum_squares(&c.options, c.sums.expected, c.expected, c.count);
    rms_sum_squares(&c.options, c.actual, c.count);
  }
  size_t total = 0, cuts[PARTS + 1];
  for (size_t k = 0; k < c.count; k++) total += c.actual[k].length;
  next_cuts(b, total, cuts);
  if (next_byte(b) & 1) cuts[PARTS] = SIZE_MAX;
  unsigned start = next_byte(b), parts = 1 + next_below(b, PARTS);
  for (unsigned i = 0; i < parts; i++) {
    unsigned part = (start + i) % PARTS;
    reference_range(&c.options, c.sums.expected, c.expected, c.count, cuts[part], cuts[part + 1]);
    rms_range(&c.options, c.actual, c.count, cuts[part], cuts[part + 1]);
    compare_call(&c);
  }
  free_call(&c);
}

static void fuzz_sum_squares(bytes *b) {
  call c;
  make_call(b, &c, 1, 0);
  reference_sum_squares(&c.options, c.sums.expected, c.expected, c.count);
  rms_sum_squares(&c.options, c.actual, c.count);
  compare_call(&c);
  free_call(&c);
}

/* The same sums by way of their leaves, in parts and in any order. */
static void fuzz_sum_squares_range(bytes *b) {
  call c;
  make_call(b, &c, 1, 0);
  size_t total = reference_leaves(c.expected, c.count), cuts[PARTS + 1];
  size_t got = rms_sum_squares_range(&c.options, c.actual, c.count, 0, 0, NULL);
  require(got == total, "number of leaves", 0, 0, (double)got, (double)total);
  size_t bytes_of_leaf = size_of(c.sums.dtype);
  uint8_t *leaves = malloc(total * bytes_of_leaf + (total == 0)), *before = malloc(total * bytes_of_leaf + (total == 0));
  memset(leaves, GUARD, total * bytes_of_leaf);
  next_cuts(b, total, cuts);
  unsigned start = next_byte(b);
  for (unsigned i = 0; i < PARTS; i++) {
    unsigned part = (start + i) % PARTS;
    size_t first = cuts[part] * bytes_of_leaf, last = cuts[part + 1] * bytes_of_leaf;
    memcpy(before, leaves, total * bytes_of_leaf);
    memset(leaves, 0, first); /* what another thread may be writing */
    memset(leaves + last, 0, total * bytes_of_leaf - last);
    got = rms_sum_squares_range(&c.options, c.actual, c.count, cuts[part], cuts[part + 1], leaves);
    require(got == total, "number of leaves", 0, part, (double)got, (double)total);
    for (size_t k = 0; k < total * bytes_of_leaf; k++)
      require((k >= first && k < last) || leaves[k] == 0, "a leaf of another range", 0, k / bytes_of_leaf, leaves[k], 0);
    memcpy(leaves, before, first);
    memcpy(leaves + last, before + last, total * bytes_of_leaf - last);
  }
  free(before);
  compare_call(&c);
  reference_sum_squares(&c.options, c.sums.expected, c.expected, c.count);
  rms_join_sum_squares(&c.options, c.actual, c.count, leaves);
  compare_call(&c);
  free(leaves);
  free_call(&c);
}

static void fuzz_average(bytes *b) {
  call c;
  make_call(b, &c, 0, 0);
  reference_average(&c.options, c.expected, c.count);
  rms_average(&c.options, c.actual, c.count);
  compare_call(&c);
  free_call(&c);
}

/* Into an array of its own or onto the gradients, and then a step with what it wrote. */
static void fuzz_prepare(bytes *b) {
  call c;
  make_call(b, &c, 1, 1);
  size_t total = 0;
  for (size_t k = 0; k < c.count; k++) total += c.actual[k].length;
  uint32_t dtype = c.count ? c.actual[0].dtype : RMS_FLOAT32;
  array out = make_array(b, dtype, total);
  int in_place = next_byte(b) & 1;
  char *parts = elements(&out);
  for (size_t k = 0, at = 0; in_place && k < c.count; at += c.actual[k++].length) {
    if (!c.actual[k].gradient) continue;
    for (size_t i = 0; i < c.actual[k].length; i++) {
      out.expected[at + i] = c.expected[k].gradient[i];
      set_element(&out, at + i, out.expected[at + i]);
    }
    c.actual[k].gradient = parts + at * size_of(dtype);
  }
  reference_prepare(&c.options, c.expected, c.count, out.expected);
  rms_prepare(&c.options, c.actual, c.count, parts);
  compare_array(&out, "prepared gradient", 0);
  compare_call(&c);
  if (!(c.options.flags & RMS_HOLD)) {
    /* The reference steps from the original gradients, where the prepared ones are not used twice. */
    int is_plain = !(c.options.flags & RMS_PREPARED);
    for (size_t k = 0, at = 0; k < c.count; at += c.actual[k++].length) {
      if (!c.actual[k].gradient) continue;
      c.actual[k].gradient = parts + at * size_of(dtype);
      if (!is_plain) c.expected[k].gradient = out.expected + at;
    }
    expect_step(&c);
    c.options.flags |= RMS_PREPARED;
    rms_step(&c.options, c.actual, c.count);
    compare_array(&out, "prepared gradient", 0);
    compare_call(&c);
  }
  free_array(&out);
  free_call(&c);
}

static void fuzz_all_finite(bytes *b) {
  call c;
  make_call(b, &c, 0, 0);
  int expected = reference_all_finite(c.expected, c.count), got = rms_all_finite(c.actual, c.count);
  require(got == expected, "finite", 0, 0, got, expected);
  compare_call(&c);
  free_call(&c);
}

static void fuzz_merge_rows(bytes *b) {
  uint32_t dtype = next_below(b, 2);
  size_t count = next_below(b, 40), row_length = next_below(b, 20), rows = 1 + next_below(b, 30);
  array values = make_array(b, dtype, count * row_length);
  int32_t *places = malloc(rows * sizeof *places);
  int32_t *indices = malloc(count * sizeof *indices + 1), *expected = malloc(count * sizeof *expected + 1);
  for (size_t k = 0; k < count; k++) indices[k] = expected[k] = (int32_t)(next_byte(b) % rows);
  size_t unique = reference_merge_rows(dtype, values.expected, expected, count, row_length);
  size_t got = rms_merge_rows(dtype, elements(&values), indices, places, count, row_length);
  require(got == unique, "number of rows", 0, 0, (double)got, (double)unique);
  for (size_t k = 0; k < unique; k++)
    require(indices[k] == expected[k], "merged index", 0, k, indices[k], expected[k]);
  array merged = values; /* what lies behind the merged rows is not defined */
  merged.length = unique * row_length;
  compare_array(&merged, "merged value", 0);
  free(places);
  free(indices);
  free(expected);
  free_array(&values);
}

static void (*const entries[])(bytes *) = {
  fuzz_step,    fuzz_range,      fuzz_sum_squares, fuzz_sum_squares_range,
  fuzz_average, fuzz_prepare,    fuzz_all_finite,  fuzz_merge_rows,
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  bytes b = {data, size};
  entries[next_below(&b, sizeof entries / sizeof *entries)](&b);
  return 0;
}
