/* Every precondition of rmsprop.h that a caller can break ends the program at the entry, with the assertion that says what
 * was broken. Each breach runs in a process of its own, which must be ended by abort. POSIX only. */
#include "claims.h"

#include "rmsprop.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

enum { LENGTH = 6, ROOM = LENGTH + 6, COUNT = 2, ARRAYS = 8, GRADIENT = 1 };

/* A call that keeps the contract; a breach changes one thing of it. */
typedef struct {
  rms_step_options options;
  rms_tensor tensors[COUNT];
  float arrays[COUNT][ARRAYS][ROOM];
  float sums[COUNT];
  int32_t indices[2], places[3];
} call;

static void sound_call(call *c) {
  memset(c, 0, sizeof *c);
  c->options = (rms_step_options){.learning_rate = 0.1, .rho = 0.9, .epsilon = 1e-7, .accumulation_steps = 1, .loss_scale = 1,
                                  .clip_norm = 1, .sum_squares = c->sums};
  for (int k = 0; k < COUNT; k++) {
    float(*a)[ROOM] = c->arrays[k];
    c->tensors[k] = (rms_tensor){.value = a[0], .gradient = a[1], .mean_square = a[2], .mean_gradient = a[3],
                                 .momentum = a[4], .average = a[5], .accumulator = a[6], .length = LENGTH};
  }
  c->indices[1] = 2;
}

static void make_sparse(call *c) {
  rms_tensor *t = &c->tensors[0];
  t->accumulator = t->average = NULL;
  t->indices = c->indices;
  t->index_count = t->row_length = 2;
}

static char *misaligned(float *array) { return (char *)array + 1; }

/* The arrays of a tensor by number, in the order of rms_tensor; `which` and `other` are those that a breach is about. */
static int which, other;

static void set_array(rms_tensor *t, int number, void *array) {
  switch (number) {
    case 0: t->value = array; break;
    case GRADIENT: t->gradient = array; break;
    case 2: t->mean_square = array; break;
    case 3: t->mean_gradient = array; break;
    case 4: t->momentum = array; break;
    case 5: t->average = array; break;
    case 6: t->accumulator = array; break;
    default: t->update = array;
  }
}

static void step(call *c) { rms_step(&c->options, c->tensors, COUNT); }
static void range(call *c) { rms_range(&c->options, c->tensors, COUNT, 0, LENGTH); }
static void sum_squares(call *c) { rms_sum_squares(&c->options, c->tensors, COUNT); }
static void sum_range(call *c) { (void)rms_sum_squares_range(&c->options, c->tensors, COUNT, 0, COUNT, c->arrays[1][7]); }
static void join(call *c) { rms_join_sum_squares(&c->options, c->tensors, COUNT, c->arrays[1][7]); }
static void average(call *c) { rms_average(&c->options, c->tensors, COUNT); }
static void prepare(call *c) { rms_prepare(&c->options, c->tensors, COUNT, c->arrays[0][7]); }
static void all_finite(call *c) { (void)rms_all_finite(c->tensors, COUNT); }
static void merge_rows(call *c) { (void)rms_merge_rows(RMS_FLOAT32, c->arrays[0][0], c->indices, c->places, 2, 3); }

#define BREACH(name, text) static void name(call *c) { (void)c; text; }
BREACH(unknown_rule, c->options.rule = RMS_RULE_COUNT; step(c))
BREACH(unknown_flag, c->options.flags = 2 * RMS_PREPARED; step(c))
BREACH(two_norm_clips, c->options.flags = RMS_CLIP_BY_NORM | RMS_CLIP_BY_GLOBAL_NORM; step(c))
BREACH(held_and_prepared, c->options.flags = RMS_HOLD | RMS_PREPARED; step(c))
BREACH(reserved_used, c->options.reserved = 1; range(c))
BREACH(no_options, rms_step(NULL, c->tensors, COUNT))
BREACH(no_tensors, rms_step(&c->options, NULL, COUNT))
BREACH(no_tensors_to_sum, rms_sum_squares(&c->options, NULL, COUNT))
BREACH(no_tensors_to_prepare, rms_prepare(&c->options, NULL, COUNT, c->sums))
BREACH(no_tensors_to_look_at, (void)rms_all_finite(NULL, COUNT))
BREACH(backward_range, rms_range(&c->options, c->tensors, COUNT, 2, 1))
BREACH(unknown_dtype, c->tensors[1].dtype = RMS_FLOAT64 + 1; step(c))
BREACH(unknown_dtype_to_look_at, c->tensors[1].dtype = RMS_FLOAT64 + 1; all_finite(c))
BREACH(unknown_tensor_flag, c->tensors[1].flags = 4; step(c))
BREACH(no_value, c->tensors[0].value = NULL; step(c))
BREACH(no_value_for_average, c->tensors[0].value = NULL; c->tensors[0].gradient = NULL; step(c))
BREACH(no_mean_square, c->tensors[0].mean_square = NULL; step(c))
BREACH(no_accumulator_to_hold, c->tensors[1].accumulator = NULL; c->options.flags = RMS_HOLD; step(c))
BREACH(accumulator_in_keras_2_11, c->options.rule = RMS_RULE_KERAS_2_11; step(c))
BREACH(sparse_average, make_sparse(c); c->tensors[0].average = c->arrays[0][5]; step(c))
BREACH(sparse_accumulator, make_sparse(c); c->tensors[0].accumulator = c->arrays[0][6]; step(c))
BREACH(negative_row, make_sparse(c); c->indices[0] = -1; step(c))
BREACH(row_beyond, make_sparse(c); c->indices[1] = 3; step(c))
BREACH(misaligned_array, c->tensors[0].length = 1; set_array(&c->tensors[0], which, misaligned(c->arrays[0][which])); step(c))
BREACH(misaligned_float64, c->tensors[0].dtype = RMS_FLOAT64; c->tensors[0].length = 1;
       set_array(&c->tensors[0], which, c->arrays[0][which] + ((uintptr_t)c->arrays[0][which] % 8 == 0)); step(c))
BREACH(misaligned_gradient, c->tensors[1].gradient = misaligned(c->arrays[1][1]); c->tensors[1].length = 1; all_finite(c))
BREACH(misaligned_indices, make_sparse(c); c->tensors[0].indices = (int32_t *)(void *)((char *)c->indices + 1);
       c->tensors[0].index_count = 1; step(c))
BREACH(overlap_from_below, set_array(&c->tensors[0], which, c->arrays[0][other] - 1); step(c))
BREACH(overlap_from_above, set_array(&c->tensors[0], which, c->arrays[0][other] + LENGTH - 1); step(c))
BREACH(sparse_gradient_in_the_value, make_sparse(c); c->tensors[0].gradient = c->arrays[0][0]; step(c))
BREACH(sparse_gradient_in_a_slot, make_sparse(c); c->tensors[0].gradient = c->arrays[0][2] - 3; step(c))
BREACH(no_sums, c->options.flags = RMS_CLIP_BY_NORM; c->options.sum_squares = NULL; step(c))
BREACH(no_sums_in_range, c->options.flags = RMS_CLIP_BY_NORM; c->options.sum_squares = NULL; range(c))
BREACH(no_sums_to_write, c->options.sum_squares = NULL; sum_squares(c))
BREACH(misaligned_sums, c->options.sum_squares = misaligned(c->sums); sum_squares(c))
BREACH(two_dtypes_to_sum, c->tensors[1].dtype = RMS_FLOAT64; c->tensors[1].length = 2; sum_squares(c))
BREACH(two_dtypes_to_clip, c->options.flags = RMS_CLIP_BY_GLOBAL_NORM; c->tensors[1].dtype = RMS_FLOAT64;
       c->tensors[1].length = 2; range(c))
BREACH(backward_leaves, (void)rms_sum_squares_range(&c->options, c->tensors, COUNT, 1, 0, c->arrays[1][7]))
BREACH(no_leaves, (void)rms_sum_squares_range(&c->options, c->tensors, COUNT, 0, 1, NULL))
BREACH(misaligned_leaves, (void)rms_sum_squares_range(&c->options, c->tensors, COUNT, 0, 1, misaligned(c->arrays[1][7])))
BREACH(two_dtypes_of_leaves, c->tensors[1].dtype = RMS_FLOAT64; c->tensors[1].length = 2; sum_range(c))
BREACH(no_tensors_for_leaves, (void)rms_sum_squares_range(&c->options, NULL, COUNT, 0, 0, NULL))
BREACH(sparse_leaves, make_sparse(c); c->indices[1] = 3; sum_range(c))
BREACH(no_leaves_to_join, rms_join_sum_squares(&c->options, c->tensors, COUNT, NULL))
BREACH(no_sums_to_join, c->options.sum_squares = NULL; join(c))
BREACH(no_tensors_to_join, rms_join_sum_squares(&c->options, NULL, COUNT, c->sums))
BREACH(sparse_join, make_sparse(c); c->indices[1] = 3; join(c))
BREACH(no_value_to_average, c->tensors[0].value = NULL; average(c))
BREACH(no_tensors_to_average, rms_average(&c->options, NULL, COUNT))
BREACH(rule_to_average, c->options.rule = RMS_RULE_COUNT; average(c))
BREACH(rule_of_leaves, c->options.rule = RMS_RULE_COUNT; sum_range(c))
BREACH(rule_to_join, c->options.rule = RMS_RULE_COUNT; join(c))
BREACH(rule_to_sum, c->options.rule = RMS_RULE_COUNT; sum_squares(c))
BREACH(rule_to_prepare, c->options.rule = RMS_RULE_COUNT; prepare(c))
BREACH(rule_of_a_range, c->options.rule = RMS_RULE_COUNT; range(c))
BREACH(sparse_sum, make_sparse(c); c->indices[1] = 3; sum_squares(c))
BREACH(flag_to_prepare, c->tensors[1].flags = 4; prepare(c))
BREACH(two_dtypes_to_prepare, c->tensors[1].dtype = RMS_FLOAT64; c->tensors[1].length = 2; prepare(c))
BREACH(sparse_to_prepare, make_sparse(c); prepare(c))
BREACH(nowhere_to_prepare, rms_prepare(&c->options, c->tensors, COUNT, NULL))
BREACH(misaligned_to_prepare, rms_prepare(&c->options, c->tensors, COUNT, misaligned(c->sums)))
BREACH(merged_dtype, (void)rms_merge_rows(2, c->arrays[0][0], c->indices, c->places, 2, 3))
BREACH(merged_nothing, (void)rms_merge_rows(RMS_FLOAT32, NULL, c->indices, c->places, 2, 3))
BREACH(merged_without_indices, (void)rms_merge_rows(RMS_FLOAT32, c->arrays[0][0], NULL, c->places, 2, 3))
BREACH(merged_without_places, (void)rms_merge_rows(RMS_FLOAT32, c->arrays[0][0], c->indices, NULL, 2, 3))
BREACH(merged_negative, c->indices[1] = -1; merge_rows(c))
BREACH(merged_misaligned, (void)rms_merge_rows(RMS_FLOAT32, misaligned(c->arrays[0][0]), c->indices, c->places, 1, 1))
BREACH(merged_too_many, (void)rms_merge_rows(RMS_FLOAT32, c->arrays[0][0], c->indices, c->places, (size_t)INT32_MAX + 1, 0))

static const struct {
  const char *sentence, *assertion; /* a part of what the assertion says */
  void (*breach)(call *);
} breaches[] = {
  {"an unknown rule", "options->rule <", unknown_rule},
  {"an unknown flag", "options->flags <=", unknown_flag},
  {"two clips by norm", "CLIPS_BY_NORM) != CLIPS_BY_NORM", two_norm_clips},
  {"prepared gradients that are held", "RMS_PREPARED", held_and_prepared},
  {"a reserved field", "reserved == 0", reserved_used},
  {"no options", "options != NULL", no_options},
  {"no tensors", "tensors != NULL", no_tensors},
  {"no tensors to sum", "tensors != NULL", no_tensors_to_sum},
  {"no tensors to prepare", "tensors != NULL", no_tensors_to_prepare},
  {"no tensors to look at", "tensors != NULL", no_tensors_to_look_at},
  {"a range that ends before it begins", "first <= last", backward_range},
  {"an unknown dtype", "dtype <= RMS_FLOAT64", unknown_dtype},
  {"an unknown dtype to look at", "dtype <= RMS_FLOAT64", unknown_dtype_to_look_at},
  {"an unknown tensor flag", "tensor->flags <=", unknown_tensor_flag},
  {"a gradient without a value", "value != NULL", no_value},
  {"an average without a value", "value != NULL", no_value_for_average},
  {"a gradient without a mean square", "mean_square != NULL", no_mean_square},
  {"nothing to hold a gradient in", "accumulator != NULL", no_accumulator_to_hold},
  {"an accumulator by the rule of Keras 2.11", "RMS_RULE_KERAS_2_11", accumulator_in_keras_2_11},
  {"a sparse gradient and an average", "average == NULL", sparse_average},
  {"a sparse gradient and an accumulator", "accumulator == NULL", sparse_accumulator},
  {"a negative row", "rows_lie_inside", negative_row},
  {"a row beyond the value", "rows_lie_inside", row_beyond},
  {"a misaligned gradient", "arrays_are_aligned", misaligned_gradient},
  {"misaligned indices", "arrays_are_aligned", misaligned_indices},
  {"a sparse gradient that is the value", "arrays_are_apart", sparse_gradient_in_the_value},
  {"a sparse gradient that ends in a slot", "arrays_are_apart", sparse_gradient_in_a_slot},
  {"a clip by norm without sums", "sum_squares != NULL", no_sums},
  {"a clip by norm without sums, in a range", "sum_squares != NULL", no_sums_in_range},
  {"nowhere to write sums", "sum_squares != NULL", no_sums_to_write},
  {"misaligned sums", "is_aligned(options->sum_squares", misaligned_sums},
  {"sums of two dtypes", "have_one_dtype", two_dtypes_to_sum},
  {"a norm of two dtypes", "have_one_dtype", two_dtypes_to_clip},
  {"leaves that end before they begin", "first <= last", backward_leaves},
  {"nowhere for leaves", "leaves != NULL", no_leaves},
  {"misaligned leaves", "is_aligned(leaves", misaligned_leaves},
  {"leaves of two dtypes", "have_one_dtype", two_dtypes_of_leaves},
  {"no tensors for leaves", "tensors != NULL", no_tensors_for_leaves},
  {"leaves of a row beyond the value", "rows_lie_inside", sparse_leaves},
  {"no leaves to join", "leaves != NULL", no_leaves_to_join},
  {"nowhere for joined sums", "sum_squares != NULL", no_sums_to_join},
  {"no tensors to join", "tensors != NULL", no_tensors_to_join},
  {"joining a row beyond the value", "rows_lie_inside", sparse_join},
  {"averaging no value", "value != NULL", no_value_to_average},
  {"no tensors to average", "tensors != NULL", no_tensors_to_average},
  {"averaging by an unknown rule", "options->rule <", rule_to_average},
  {"leaves by an unknown rule", "options->rule <", rule_of_leaves},
  {"joining by an unknown rule", "options->rule <", rule_to_join},
  {"summing by an unknown rule", "options->rule <", rule_to_sum},
  {"preparing by an unknown rule", "options->rule <", rule_to_prepare},
  {"a range by an unknown rule", "options->rule <", rule_of_a_range},
  {"summing a row beyond the value", "rows_lie_inside", sparse_sum},
  {"preparing with an unknown tensor flag", "tensor->flags <=", flag_to_prepare},
  {"preparing two dtypes", "have_one_dtype", two_dtypes_to_prepare},
  {"preparing a sparse gradient", "indices == NULL", sparse_to_prepare},
  {"nowhere to prepare", "out != NULL", nowhere_to_prepare},
  {"a misaligned place to prepare", "is_aligned(out", misaligned_to_prepare},
  {"merging an unknown dtype", "dtype <= RMS_FLOAT64", merged_dtype},
  {"merging nothing", "values != NULL", merged_nothing},
  {"merging without indices", "indices != NULL", merged_without_indices},
  {"merging without places", "places != NULL", merged_without_places},
  {"merging a negative index", "indices[k] >= 0", merged_negative},
  {"merging misaligned rows", "is_aligned(values", merged_misaligned},
  {"merging more rows than an index can count", "count <= INT32_MAX", merged_too_many},
};

/* Where coverage is counted, a process that is aborted would leave no report. */
extern int __llvm_profile_write_file(void) __attribute__((weak));

static void save_profile(int signal_number) {
  if (__llvm_profile_write_file) __llvm_profile_write_file();
  signal(signal_number, SIG_DFL);
}

/* Runs the breach in a child; true if it was aborted and said `assertion`. `said` becomes what it wrote. */
static int is_refused(void (*breach)(call *), const char *assertion, char *said, size_t room) {
  int channel[2];
  if (pipe(channel) != 0) return 0;
  pid_t child = fork();
  if (child == 0) {
    call c;
    sound_call(&c);
    dup2(channel[1], STDERR_FILENO);
    breach(&c);
    _exit(0);
  }
  close(channel[1]);
  size_t length = 0;
  for (ssize_t got; (got = read(channel[0], said + length, room - 1 - length)) > 0;) length += (size_t)got;
  said[length] = 0;
  close(channel[0]);
  int status = 0;
  waitpid(child, &status, 0);
  return WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT && strstr(said, assertion) != NULL;
}

static void claim_refused(void (*breach)(call *), const char *assertion, const char *sentence) {
  static char said[4096];
  int refused = is_refused(breach, assertion, said, sizeof said);
  claim(refused, "a breach of the contract is refused at the entry", sentence);
  if (!refused) fprintf(stderr, "arrays %d and %d: %s\n", which, other, said);
}

static void every_array_is_looked_at(void) {
  for (which = 0; which < ARRAYS; which++) {
    claim_refused(misaligned_array, "arrays_are_aligned", "a misaligned array");
    claim_refused(misaligned_float64, "arrays_are_aligned", "an array of float64 aligned as float32");
    for (other = 0; other < ARRAYS - 1; other++) { /* the call has no update */
      if (other == which) continue;
      claim_refused(overlap_from_below, "arrays_are_apart", "an array that ends in another");
      claim_refused(overlap_from_above, "arrays_are_apart", "an array that begins in another");
    }
  }
}

/* Else a breach could be refused for another reason than its own. */
static void the_call_itself_is_sound(void) {
  call c;
  void (*calls[])(call *) = {step, range, sum_squares, sum_range, join, average, prepare, all_finite, merge_rows};
  for (size_t k = 0; k < sizeof calls / sizeof *calls; k++) {
    sound_call(&c);
    calls[k](&c);
  }
  /* What is as good as nothing needs nothing. */
  sound_call(&c);
  make_sparse(&c);
  step(&c);
  c.tensors[0].row_length = 0;
  c.indices[0] = -1;
  step(&c);
  sound_call(&c);
  c.tensors[0] = (rms_tensor){.gradient = c.arrays[0][1], .average = c.arrays[0][5]};
  step(&c);
  c.options.flags = RMS_HOLD;
  step(&c);
  c.tensors[0] = (rms_tensor){.length = LENGTH};
  step(&c);
  c.tensors[0] = (rms_tensor){.value = c.arrays[0][0], .gradient = c.arrays[0][0], .accumulator = c.arrays[0][6], .length = LENGTH};
  step(&c);
  c.options.sum_squares = NULL;
  rms_step(&c.options, NULL, 0);
  rms_sum_squares(&c.options, NULL, 0);
  rms_prepare(&c.options, NULL, 0, NULL);
  rms_average(&c.options, NULL, 0);
  rms_join_sum_squares(&c.options, NULL, 0, NULL);
  claim(rms_sum_squares_range(&c.options, NULL, 0, 0, 0, NULL) == 0, "no tensors have no leaves", "");
  c.tensors[0].length = c.tensors[1].length = 0;
  rms_prepare(&c.options, c.tensors, COUNT, NULL);
  claim(rms_all_finite(NULL, 0) == 1, "nothing is finite", "");
  claim(rms_merge_rows(RMS_FLOAT32, NULL, NULL, NULL, 0, 3) == 0, "no rows merge to none", "");
  claim(rms_merge_rows(RMS_FLOAT64, NULL, c.indices + 1, c.places, 1, 0) == 1, "rows without elements merge by index", "");
  claim(1, "a call that keeps the contract returns", "");
}

int main(void) {
  signal(SIGABRT, save_profile);
  the_call_itself_is_sound();
  every_array_is_looked_at();
  for (size_t k = 0; k < sizeof breaches / sizeof *breaches; k++) {
    claim_refused(breaches[k].breach, breaches[k].assertion, breaches[k].sentence);
  }
  return report();
}
