/* float32, one lane. */
#define RMS_TYPE f32
#define RMS_LANES 1
#include "kernel.h"
