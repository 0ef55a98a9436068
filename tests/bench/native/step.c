/* The native library as a rival of `npm run bench -- --native`: answers the lines of tests/bench/remote.js. */
#define _POSIX_C_SOURCE 199309L
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "rmsprop.h"

enum { MAX_TENSORS = 64, MAX_LINE = 1024 };

static rms_tensor tensors[MAX_TENSORS];
static float sums[MAX_TENSORS];
static size_t count;
static rms_step_options options;

/* Random numbers in [-1, 1), by a linear congruential generator (Knuth's MMIX). */
static float random_number(void) {
  static uint64_t state = 1;
  state = state * 6364136223846793005u + 1442695040888963407u;
  return (float)(state >> 40) / 8388608.0f - 1;
}

static float *array(size_t length, int is_random) {
  float *values = calloc(length, sizeof *values);
  if (!values) exit(1);
  for (size_t i = 0; is_random && i < length; i++) values[i] = random_number() + 0.01f;
  return values;
}

static void end(void) {
  for (size_t k = 0; k < count; k++) {
    rms_tensor *t = &tensors[k];
    void *arrays[] = {t->value, (void *)(uintptr_t)t->gradient, t->mean_square, t->mean_gradient, t->momentum, t->average};
    for (size_t i = 0; i < sizeof arrays / sizeof *arrays; i++) free(arrays[i]);
  }
  count = 0;
}

static int begin(char *rest) {
  char *kernel = strtok(rest, " \n");
  if (!kernel) return 0;
  int everything = !strcmp(kernel, "everything");
  int centered = everything || !strcmp(kernel, "centered+momentum");
  int momentum = centered || !strcmp(kernel, "momentum");
  if (!momentum && strcmp(kernel, "plain")) return 0;

  options = (rms_step_options){.learning_rate = 1e-6, .rho = 0.9, .momentum = 0.9, .epsilon = 1e-7, .sum_squares = sums};
  if (everything) {
    options.flags = RMS_CLIP_BY_GLOBAL_NORM | RMS_DECAY_WEIGHTS;
    options.clip_norm = 1;
    options.weight_decay = 0.004;
    options.ema_momentum = 0.99;
  }
  for (char *size = strtok(NULL, " \n"); size; size = strtok(NULL, " \n")) {
    size_t length = strtoul(size, NULL, 10);
    tensors[count++] = (rms_tensor){
        .value = array(length, 1),
        .gradient = array(length, 1),
        .mean_square = array(length, 0),
        .mean_gradient = centered ? array(length, 0) : NULL,
        .momentum = momentum ? array(length, 0) : NULL,
        .average = everything ? array(length, 0) : NULL,
        .length = length,
    };
    if (count == MAX_TENSORS) break;
  }
  return 1;
}

static double nanoseconds(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

int main(void) {
  static char line[MAX_LINE];
  while (fgets(line, sizeof line, stdin)) {
    if (!strncmp(line, "begin ", 6)) {
      puts(begin(line + 6) ? "ok" : "no such kernel");
    } else if (!strncmp(line, "run ", 4)) {
      unsigned long steps = strtoul(line + 4, NULL, 10);
      double start = nanoseconds();
      for (unsigned long i = 0; i < steps; i++) rms_step(&options, tensors, count);
      printf("%.0f\n", nanoseconds() - start);
    } else if (!strncmp(line, "weight", 6)) {
      printf("%.9g\n", (double)((float *)tensors[0].value)[0]);
    } else {
      end();
      puts("ok");
    }
    fflush(stdout);
  }
  return 0;
}
