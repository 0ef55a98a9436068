/* Prints the layout of the C structs, the values of the C enums and the table of rules as JSON, for the binding: the
 * build runs it as wasm32 and writes the constants into js/generated, so that they stand in C only. */
#include "rules.h"

#include <stdio.h>

/* The binding writes these structs through 4-byte and 8-byte views: no padding may hide in them. */
_Static_assert(sizeof(rms_tensor) == 9 * sizeof(void *) + sizeof(size_t) + 4 * sizeof(uint32_t), "rms_tensor is packed");
_Static_assert(sizeof(rms_step_options) == 11 * sizeof(double) + sizeof(void *) + 3 * sizeof(uint32_t),
               "rms_step_options is packed");
_Static_assert(sizeof(rms_step_options) % sizeof(double) == 0, "rms_step_options can stand in an array");

#define OFFSET(type, field) printf("    \"" #field "\": %zu,\n", offsetof(type, field))
#define SIZE(type) printf("    \"size\": %zu\n", sizeof(type))
#define VALUE(name, comma) printf("    \"" #name "\": %d" comma "\n", name)

#define RULE_VALUE(rule, ...) VALUE(rule, ",");

#define NAMED(form) [form] = #form
static const char *const mean_square_forms[] = {NAMED(DECAYED), NAMED(DIFFERENCE), NAMED(GROUPED)};
static const char *const mean_gradient_forms[] = {NAMED(WEIGHTED), NAMED(NUDGED), NAMED(LERPED)};
static const char *const epsilon_places[] = {NAMED(INSIDE), NAMED(INSIDE_FIRST), NAMED(OUTSIDE)};
static const char *const quotient_forms[] = {NAMED(DIVIDED), NAMED(BY_RECIPROCAL), NAMED(RATE_RECIPROCAL), NAMED(SCALED)};

#define KERAS(rule, ...) [rule] = "keras",
#define TENSORFLOW(rule, ...) [rule] = "tensorflow",
#define TORCH(rule, ...) [rule] = "torch",
#define OPTAX(rule, ...) [rule] = "optax",
static const char *const families[] = {
  ROWS_keras(KERAS) ROWS_tensorflow(TENSORFLOW) ROWS_torch(TORCH) ROWS_optax(OPTAX)
};

static void print_rule(const rule_row *row, const char *family, const char *comma) {
  printf("    {\n");
  printf("      \"family\": \"%s\",\n", family);
  printf("      \"rounds_rho_first\": %d,\n", row->rounds_rho_first);
  printf("      \"rounds_ema_last\": %d,\n", row->rounds_ema_last);
  printf("      \"mean_square\": \"%s\",\n", mean_square_forms[row->mean_square]);
  printf("      \"mean_gradient\": \"%s\",\n", mean_gradient_forms[row->mean_gradient]);
  printf("      \"epsilon\": \"%s\",\n", epsilon_places[row->epsilon]);
  printf("      \"quotient\": \"%s\",\n", quotient_forms[row->quotient]);
  printf("      \"rate_after_momentum\": %d,\n", row->rate_after_momentum);
  printf("      \"adds\": %d\n", row->adds);
  printf("    }%s\n", comma);
}

int main(void) {
  printf("{\n  \"tensor\": {\n");
  OFFSET(rms_tensor, value);
  OFFSET(rms_tensor, gradient);
  OFFSET(rms_tensor, mean_square);
  OFFSET(rms_tensor, mean_gradient);
  OFFSET(rms_tensor, momentum);
  OFFSET(rms_tensor, average);
  OFFSET(rms_tensor, accumulator);
  OFFSET(rms_tensor, update);
  OFFSET(rms_tensor, indices);
  OFFSET(rms_tensor, length);
  OFFSET(rms_tensor, index_count);
  OFFSET(rms_tensor, row_length);
  OFFSET(rms_tensor, dtype);
  OFFSET(rms_tensor, flags);
  SIZE(rms_tensor);
  printf("  },\n  \"options\": {\n");
  OFFSET(rms_step_options, learning_rate);
  OFFSET(rms_step_options, rho);
  OFFSET(rms_step_options, momentum);
  OFFSET(rms_step_options, epsilon);
  OFFSET(rms_step_options, weight_decay);
  OFFSET(rms_step_options, loss_scale);
  OFFSET(rms_step_options, accumulation_steps);
  OFFSET(rms_step_options, clip_value);
  OFFSET(rms_step_options, clip_norm);
  OFFSET(rms_step_options, bias_correction);
  OFFSET(rms_step_options, ema_momentum);
  OFFSET(rms_step_options, sum_squares);
  OFFSET(rms_step_options, rule);
  OFFSET(rms_step_options, flags);
  SIZE(rms_step_options);
  printf("  },\n  \"constants\": {\n");
  VALUE(RMS_FLOAT32, ",");
  VALUE(RMS_FLOAT64, ",");
  ROWS_all(RULE_VALUE)
  VALUE(RMS_UNSCALE, ",");
  VALUE(RMS_HOLD, ",");
  VALUE(RMS_DECAY_WEIGHTS, ",");
  VALUE(RMS_DECAY_GRADIENTS, ",");
  VALUE(RMS_OVERWRITE, ",");
  VALUE(RMS_CLIP_BY_VALUE, ",");
  VALUE(RMS_CLIP_BY_NORM, ",");
  VALUE(RMS_CLIP_BY_GLOBAL_NORM, ",");
  VALUE(RMS_MAXIMIZE, ",");
  VALUE(RMS_NESTEROV, ",");
  VALUE(RMS_CORRECT_BIAS, ",");
  VALUE(RMS_PREPARED, ",");
  VALUE(RMS_KEEP_WEIGHTS, ",");
  VALUE(RMS_KEEP_GRADIENT, "");
  printf("  },\n  \"rules\": [\n");
  size_t count = sizeof rules / sizeof *rules;
  for (size_t k = 0; k < count; k++) print_rule(&rules[k], families[k], k + 1 < count ? "," : "");
  printf("  ]\n}\n");
  return 0;
}
