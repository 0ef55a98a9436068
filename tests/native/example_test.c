/* The example of the documentation: a variable at 10, a gradient equal to it, a rate of 0.1, one step. */
#include "claims.h"

#include <rmsprop.h>

int main(void) {
  float value = 10, gradient = 10, mean_square = 0;
  const rms_tensor tensor = {.value = &value, .gradient = &gradient, .mean_square = &mean_square, .length = 1};
  const rms_step_options options = {.learning_rate = 0.1, .rho = 0.9, .epsilon = 1e-7};
  rms_step(&options, &tensor, 1);
  printf("%.6f\n", (double)value);
  claim(same_bits(value, 9.683772f), "one step from 10 at rate 0.1 ends at 9.683772", "value");
  claim(same_bits(mean_square, 10.0f), "the mean square holds a tenth of 100", "mean_square");
  return report();
}
