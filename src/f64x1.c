/* float64, one lane. */
#define RMS_TYPE f64
#define RMS_LANES 1
#include "kernel.h"
