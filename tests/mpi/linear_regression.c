/* Linear regression by RMSprop on several processes: tests/consumers/c/linear_regression.c, data-parallel.
 *
 *   mpirun -np 4 mpi_linear_regression
 *
 * Each rank has its share of the points; gradients and loss go through one MPI_Allreduce a step, and every rank makes the
 * same step. Prints what was found. The exit status is 0 if that is within 0.001 of the truth and all ranks had equal bits
 * after every step, else 1. */
#include "replicas.h"

#include <rmsprop.h>

#include <math.h>
#include <stdio.h>

enum { POINTS = 64, FEATURES = 10, WEIGHTS = FEATURES + 1, STEPS = 300 };

static const float truth[WEIGHTS] = {2, -3, 0.5f, 0, -1, 1.5f, -2, 4, -0.25f, 3, 1}; /* the last is the bias */

/* In [-1, 1), from a fixed seed: the same points on every machine. */
static float next_number(void) {
  static uint32_t state = 1;
  state = state * 1664525u + 1013904223u;
  return (float)(state >> 8) / 8388608.0f - 1.0f;
}

/* Of points first to end - 1: sums[WEIGHTS] += their part of the gradient of half the mean of (y - target)^2 over all
 * points, and sums[WEIGHTS] their part of that loss. */
static void differentiate(float sums[WEIGHTS + 1], const float *x, const float *target, const float w[WEIGHTS], int first, int end) {
  memset(sums, 0, (WEIGHTS + 1) * sizeof *sums);
  for (int i = first; i < end; i++) {
    float error = w[FEATURES] - target[i];
    for (int j = 0; j < FEATURES; j++) error += x[i * FEATURES + j] * w[j];
    for (int j = 0; j < FEATURES; j++) sums[j] += error * x[i * FEATURES + j] / POINTS;
    sums[FEATURES] += error / POINTS;
    sums[WEIGHTS] += error * error / (2 * POINTS);
  }
}

int main(int argc, char **argv) {
  const replicas all = replicas_start(&argc, &argv);
  float x[POINTS * FEATURES], target[POINTS];
  for (int i = 0; i < POINTS; i++) {
    target[i] = truth[FEATURES];
    for (int j = 0; j < FEATURES; j++) target[i] += (x[i * FEATURES + j] = next_number()) * truth[j];
  }
  const int first = POINTS * all.rank / all.size, end = POINTS * (all.rank + 1) / all.size;

  float w[WEIGHTS] = {0}, mean_square[WEIGHTS] = {0}, momentum[WEIGHTS] = {0};
  float part[WEIGHTS + 1], sums[WEIGHTS + 1] = {0}; /* the gradient, then the loss */
  const rms_tensor model = {.value = w, .gradient = sums, .mean_square = mean_square, .momentum = momentum, .length = WEIGHTS};
  float norm;
  rms_step_options options = {
      .rho = 0.9, .momentum = 0.5, .epsilon = 1e-7, .flags = RMS_CLIP_BY_GLOBAL_NORM, .clip_norm = 1, .sum_squares = &norm};

  int different = 0;
  for (int step = 0; step < STEPS; step++) {
    differentiate(part, x, target, w, first, end);
    MPI_Allreduce(part, sums, WEIGHTS + 1, MPI_FLOAT, MPI_SUM, MPI_COMM_WORLD);
    options.learning_rate = 0.1 * (1 - (double)step / STEPS);
    rms_step(&options, &model, 1);
    different += !same_on_all(w, WEIGHTS);
  }

  int wrong = different;
  for (int j = 0; j < WEIGHTS; j++) wrong += !(fabsf(w[j] - truth[j]) < 0.001f);
  if (all.rank == 0) {
    for (int j = 0; j < FEATURES; j++) printf("w[%d] = %.9g, ", j, (double)w[j]);
    printf("bias = %.9g, loss = %.9g on %d ranks; bits differed after %d of %d steps\n", (double)w[FEATURES],
           (double)sums[WEIGHTS], all.size, different, STEPS);
  }
  MPI_Finalize();
  return wrong != 0;
}
