/* float32, four lanes. */
#define RMS_LANES 4
#define RMS_DOUBLE 0
#include "kernel.h"
