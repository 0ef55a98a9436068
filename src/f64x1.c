/* float64, one lane. */
#define RMS_LANES 1
#define RMS_DOUBLE 1
#include "kernel.h"
