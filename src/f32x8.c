/* float32, eight lanes. */
#define RMS_TYPE f32
#define RMS_LANES 8
#include "kernel.h"
