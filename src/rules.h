/* The dialects as data: what separates one RMSprop from another is a row of this table, and each copy of the kernel is
 * compiled for one row. What a framework does around the rule (defaults, schedules, order of clips) is the caller's. */
#ifndef RMS_RULES_H
#define RMS_RULES_H

#include "rmsprop.h"

/* How the mean square moves. Where they agree on paper they round differently. */
enum mean_square_form {
  DECAYED,    /* rho * v + (1 - rho) * (g * g) */
  DIFFERENCE, /* v + (g * g - v) * (1 - rho) */
  GROUPED     /* rho * v + ((1 - rho) * g) * g */
};

/* How the mean gradient moves. */
enum mean_gradient_form {
  WEIGHTED, /* rho * mg + (1 - rho) * g */
  NUDGED,   /* mg + (g - mg) * (1 - rho) */
  LERPED    /* mg + w * (g - mg) for w = 1 - rho in (-1/2, 1/2), else g - (g - mg) * (1 - w) */
};

/* Where epsilon sits in the denominator. */
enum epsilon_place {
  INSIDE,       /* sqrt((v - mg * mg) + epsilon) */
  INSIDE_FIRST, /* sqrt((v + epsilon) - mg * mg) */
  OUTSIDE       /* sqrt(v - mg * mg) + epsilon */
};

/* How rate, gradient and denominator are joined. */
enum quotient_form {
  DIVIDED,         /* (rate * g) / den */
  BY_RECIPROCAL,   /* (rate * g) * (1 / den) */
  RATE_RECIPROCAL, /* ((1 / den) * rate) * g */
  SCALED           /* rate * ((1 / den) * g) */
};

typedef struct {
  int rounds_rho_first; /* 1 - rho in the element type, of the rounded rho; else in double, and then rounded */
  int rounds_ema_last;  /* 1 - ema_momentum in double, and then rounded; else in the element type */
  enum mean_square_form mean_square;
  enum mean_gradient_form mean_gradient;
  enum epsilon_place epsilon;
  enum quotient_form quotient;
  int rate_after_momentum; /* m <- momentum * m + g / den, x <- x - rate * m; without a momentum as the quotient says */
  int adds;                /* x <- x + m: the caller passes the rate with its sign */
} rule_row;

/* The form of RMS_RULE_TF1 for the rows that a sparse gradient names. */
enum { TF1_ROWS = RMS_RULE_COUNT };

/* The table, one rule a line, by families: the rules that one entry of the package needs, of which each WebAssembly module
 * that the entries embed is compiled. Everything else has all. Of these lines are made the table below, the copies of the
 * kernel, and the binding's constants. */
#define ROWS_keras(ROW)                                                                                         \
  /*                          rho ema mean square mean gradient epsilon     quotient         after adds */     \
  ROW(RMS_RULE_KERAS,          0, 0, DECAYED,    WEIGHTED, INSIDE,       DIVIDED,         0, 0)                \
  ROW(RMS_RULE_KERAS_2_11,     0, 1, DECAYED,    WEIGHTED, INSIDE,       BY_RECIPROCAL,   0, 0)
#define ROWS_tensorflow(ROW)                                                                                    \
  ROW(RMS_RULE_TF1,            1, 0, DIFFERENCE, NUDGED,   INSIDE,       DIVIDED,         0, 0)                \
  ROW(TF1_ROWS,                1, 0, DECAYED,    WEIGHTED, INSIDE_FIRST, RATE_RECIPROCAL, 0, 0)                \
  ROW(RMS_RULE_LEGACY,         1, 0, DECAYED,    WEIGHTED, OUTSIDE,      DIVIDED,         0, 0)
#define ROWS_torch(ROW)                                                                                         \
  ROW(RMS_RULE_TORCH,          0, 0, GROUPED,    LERPED,   OUTSIDE,      DIVIDED,         1, 0)
#define ROWS_optax(ROW)                                                                                         \
  ROW(RMS_RULE_OPTAX,          0, 0, DECAYED,    WEIGHTED, INSIDE,       SCALED,          0, 1)                \
  ROW(RMS_RULE_OPTAX_OUTSIDE,  0, 0, DECAYED,    WEIGHTED, OUTSIDE,      SCALED,          0, 1)
#define ROWS_all(ROW) ROWS_keras(ROW) ROWS_tensorflow(ROW) ROWS_torch(ROW) ROWS_optax(ROW)

#define ROW(rule, ...) [rule] = {__VA_ARGS__},
static const rule_row rules[] = {ROWS_all(ROW)};
#undef ROW

#define ONE(rule, ...) + 1
_Static_assert(ROWS_all(ONE) == RMS_RULE_COUNT + 1, "every rule of enum rms_rule has a line in ROWS_all");
#undef ONE

#endif
