/* Linear regression by RMSprop: finds ten weights and a bias from 64 points that lie on their plane.
 *
 * Prints what it found, with as many digits as tell any two floats apart, so that equal lines are equal bits. The exit
 * status is 0 if that is within 0.001 of the truth, else 1. The text is C99 and C++ alike; in C, designated initializers
 * say the same as the assignments.
 */
#include <rmsprop.h>

#include <math.h>
#include <stdint.h>
#include <stdio.h>

#define POINTS 64
#define FEATURES 10
#define STEPS 300

static const float truth[FEATURES + 1] = {2, -3, 0.5f, 0, -1, 1.5f, -2, 4, -0.25f, 3, 1}; /* the last is the bias */

/* In [-1, 1), from a fixed seed: the same points on every machine. */
static float next_number(void) {
  static uint32_t state = 1;
  state = state * 1664525u + 1013904223u;
  return (float)(state >> 8) / 8388608.0f - 1.0f;
}

/* y = x w + bias for every point, and the gradient of half the mean of (y - target)^2; returns the loss. */
static float differentiate(const float *x, const float *target, const float *w, const float *bias,
                           float *w_gradient, float *bias_gradient) {
  float loss = 0;
  *bias_gradient = 0;
  for (int j = 0; j < FEATURES; j++) w_gradient[j] = 0;
  for (int i = 0; i < POINTS; i++) {
    float error = *bias - target[i];
    for (int j = 0; j < FEATURES; j++) error += x[i * FEATURES + j] * w[j];
    loss += error * error / (2 * POINTS);
    *bias_gradient += error / POINTS;
    for (int j = 0; j < FEATURES; j++) w_gradient[j] += error * x[i * FEATURES + j] / POINTS;
  }
  return loss;
}

int main(void) {
  float x[POINTS * FEATURES], target[POINTS];
  for (int i = 0; i < POINTS; i++) {
    target[i] = truth[FEATURES];
    for (int j = 0; j < FEATURES; j++) target[i] += (x[i * FEATURES + j] = next_number()) * truth[j];
  }

  float w[FEATURES] = {0}, w_gradient[FEATURES], w_mean_square[FEATURES] = {0}, w_momentum[FEATURES] = {0};
  float bias = 0, bias_gradient, bias_mean_square = 0, bias_momentum = 0;
  static rms_tensor model[2]; /* what is not set is NULL or 0 */
  model[0].value = w;
  model[0].gradient = w_gradient;
  model[0].mean_square = w_mean_square;
  model[0].momentum = w_momentum;
  model[0].length = FEATURES;
  model[1].value = &bias;
  model[1].gradient = &bias_gradient;
  model[1].mean_square = &bias_mean_square;
  model[1].momentum = &bias_momentum;
  model[1].length = 1;

  float norms[2];
  static rms_step_options options;
  options.rho = 0.9;
  options.momentum = 0.5;
  options.epsilon = 1e-7;
  options.flags = RMS_CLIP_BY_GLOBAL_NORM;
  options.clip_norm = 1;
  options.sum_squares = norms;

  float loss = 0;
  for (int step = 0; step < STEPS; step++) {
    loss = differentiate(x, target, w, &bias, w_gradient, &bias_gradient);
    options.learning_rate = 0.1 * (1 - (double)step / STEPS); /* to nothing, for RMSprop's steps do not shrink by themselves */
    rms_step(&options, model, 2);
  }

  int wrong = !(fabsf(bias - truth[FEATURES]) < 0.001f);
  for (int j = 0; j < FEATURES; j++) {
    printf("w[%d] = %.9g, ", j, (double)w[j]);
    wrong += !(fabsf(w[j] - truth[j]) < 0.001f);
  }
  printf("bias = %.9g, loss = %.9g\n", (double)bias, (double)loss);
  return wrong == 0 ? 0 : 1;
}
