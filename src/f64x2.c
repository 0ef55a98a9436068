/* float64, two lanes. */
#define RMS_LANES 2
#define RMS_DOUBLE 1
#include "kernel.h"
