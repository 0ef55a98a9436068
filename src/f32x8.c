/* float32, eight lanes. */
#define RMS_LANES 8
#define RMS_DOUBLE 0
#include "kernel.h"
