/* float32, one lane. */
#define RMS_LANES 1
#define RMS_DOUBLE 0
#include "kernel.h"
