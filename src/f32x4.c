/* float32, four lanes. */
#define RMS_LANES 4
#include "kernel.h"
