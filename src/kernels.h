/* The kernels as step.c sees them: for each element type a copy with one lane, and where there are vectors a copy with
 * whole ones. See kernel.h for what they do. */
#ifndef RMS_KERNELS_H
#define RMS_KERNELS_H

#include "element.h"
#include "rmsprop.h"

/* The most lanes there are for each type. f32x8.c is compiled for WebAssembly SIMD, and natively with RMS_VECTORS, which
 * CMake defines where the compiler has the vectors of GNU C: compilers do better with them than when they are left to
 * vectorise one lane. */
#if defined(__wasm_simd128__)
#define LANES_f32 8
#define LANES_f64 2
#elif defined(RMS_VECTORS)
#define LANES_f32 8
#define LANES_f64 1
#else
#define LANES_f32 1
#define LANES_f64 1
#endif

#define RMS_DECLARE_KERNELS(suffix, type)                                                                             \
  void rms_update_##suffix(const rms_step_options *options, const rms_tensor *tensor, const type *gradient,           \
                           type norm, size_t first, size_t last);                                                     \
  void rms_accumulate_##suffix(const rms_step_options *options, const rms_tensor *tensor, size_t first, size_t last); \
  void rms_average_##suffix(const rms_step_options *options, const rms_tensor *tensor, size_t first, size_t last);    \
  void rms_prepare_##suffix(const rms_step_options *options, const type *gradient, const type *accumulator, type *out,  \
                            size_t first, size_t last);                                                                \
  type rms_sum_packets_##suffix(const rms_step_options *options, const type *values, const type *accumulator,         \
                                size_t count);                                                                        \
  type rms_zero_if_finite_##suffix(const type *values, size_t first, size_t last);

/* Sums from left to right, what is too short for a packet. */
#define RMS_DECLARE_SCALAR_KERNELS(suffix, type)                                                                      \
  RMS_DECLARE_KERNELS(suffix, type)                                                                                   \
  type rms_sum_in_order_##suffix(const rms_step_options *options, const type *values, const type *accumulator,        \
                                 size_t count);

RMS_DECLARE_SCALAR_KERNELS(f32x1, float)
RMS_DECLARE_SCALAR_KERNELS(f64x1, double)
RMS_DECLARE_KERNELS(f32x8, float)
RMS_DECLARE_KERNELS(f64x2, double)

#endif
