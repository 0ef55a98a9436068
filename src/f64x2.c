/* float64, two lanes. */
#define RMS_TYPE f64
#define RMS_LANES 2
#include "kernel.h"
