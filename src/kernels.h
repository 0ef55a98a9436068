/* The kernels of one element type as step.c sees them: a copy with one lane, and where WebAssembly SIMD is compiled a copy
 * with four. See kernel.h for what they do. */
#ifndef RMS_KERNELS_H
#define RMS_KERNELS_H

#include "rmsprop.h"

#define RMS_DECLARE_KERNELS(suffix, type)                                                                             \
  void rms_update_##suffix(const rms_step_options *options, const rms_tensor *tensor, type norm, size_t first,        \
                           size_t last);                                                                              \
  void rms_keep_##suffix(const rms_step_options *options, const rms_tensor *tensor, size_t first, size_t last);       \
  type rms_sum_packets_##suffix(const rms_step_options *options, const type *values, const type *accumulator,         \
                                size_t count);                                                                        \
  type rms_zero_if_finite_##suffix(const type *values, size_t first, size_t last);

RMS_DECLARE_KERNELS(f32x1, float)
RMS_DECLARE_KERNELS(f32x4, float)

float rms_sum_in_order_f32x1(const rms_step_options *options, const float *values, const float *accumulator,
                             size_t count);

#endif
