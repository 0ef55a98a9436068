/* The vector vocabulary: every intrinsic of the project lives here.
 *
 * A text that includes this file is written once and means the same with one lane or with several: every lane
 * goes through the same correctly rounded operations, so the number of lanes never changes a bit of a result.
 * The including file defines RMS_LANES first, and RMS_DOUBLE to 1 where elements are double:
 *   1  plain C, for any compiler (a native one vectorises it), and for what is left behind whole vectors;
 *   4  WebAssembly SIMD, float32;  2  the same, float64;
 *   8  two registers of four floats, side by side, natively too: half as many branches an element, and pairs of
 *      operations that an engine may join into one of 256 bits.
 * No operation is fused with another: build with -ffp-contract=off. */
#ifndef RMS_VECTOR_H
#define RMS_VECTOR_H

#include <stddef.h>
#include <stdint.h>

#if defined(__GNUC__)
#define RMS_INLINE static inline __attribute__((always_inline, unused))
#define RMS_NEVER_INLINE __attribute__((noinline))
#else
#define RMS_INLINE static inline
#define RMS_NEVER_INLINE
#endif

#if RMS_DOUBLE
typedef double element;
#else
typedef float element;
#endif

#if RMS_LANES == 4 && !RMS_DOUBLE

#include <wasm_simd128.h>

typedef v128_t vector;

/* Loads and stores need the alignment of one element only. */
RMS_INLINE vector vector_load(const element *from) { return wasm_v128_load(from); }
RMS_INLINE void vector_store(element *to, vector a) { wasm_v128_store(to, a); }
RMS_INLINE vector vector_splat(element a) { return wasm_f32x4_splat(a); }

RMS_INLINE vector vector_add(vector a, vector b) { return wasm_f32x4_add(a, b); }
RMS_INLINE vector vector_subtract(vector a, vector b) { return wasm_f32x4_sub(a, b); }
RMS_INLINE vector vector_multiply(vector a, vector b) { return wasm_f32x4_mul(a, b); }
RMS_INLINE vector vector_divide(vector a, vector b) { return wasm_f32x4_div(a, b); }
RMS_INLINE vector vector_negate(vector a) { return wasm_f32x4_neg(a); }
RMS_INLINE vector vector_square_root(vector a) { return wasm_f32x4_sqrt(a); }

/* a limited to [-limit, limit]; NaN stays NaN. */
RMS_INLINE vector vector_clamp(vector a, vector limit) {
  return wasm_f32x4_pmax(wasm_f32x4_pmin(a, limit), wasm_f32x4_neg(limit));
}

/* a where a > 0 or a is NaN, instead where a <= 0. */
RMS_INLINE vector vector_positive_or(vector a, vector instead) {
  return wasm_v128_bitselect(instead, a, wasm_f32x4_le(a, wasm_f32x4_splat(0)));
}

/* a where condition > 0, +0 elsewhere. */
RMS_INLINE vector vector_where_positive(vector condition, vector a) {
  return wasm_v128_and(a, wasm_f32x4_gt(condition, wasm_f32x4_splat(0)));
}

/* The lanes joined by halves: (0 + 2) + (1 + 3). */
RMS_INLINE element vector_sum(vector a) {
  return (wasm_f32x4_extract_lane(a, 0) + wasm_f32x4_extract_lane(a, 2)) +
         (wasm_f32x4_extract_lane(a, 1) + wasm_f32x4_extract_lane(a, 3));
}

#elif RMS_LANES == 8 && !RMS_DOUBLE

/* What one register of four lanes does: in WebAssembly, or by the vectors of GNU C, which any processor has. */
#ifdef __wasm_simd128__

#include <wasm_simd128.h>

typedef v128_t half;

RMS_INLINE half half_load(const element *from) { return wasm_v128_load(from); }
RMS_INLINE void half_store(element *to, half a) { wasm_v128_store(to, a); }
RMS_INLINE half half_splat(element a) { return wasm_f32x4_splat(a); }
RMS_INLINE half half_add(half a, half b) { return wasm_f32x4_add(a, b); }
RMS_INLINE half half_subtract(half a, half b) { return wasm_f32x4_sub(a, b); }
RMS_INLINE half half_multiply(half a, half b) { return wasm_f32x4_mul(a, b); }
RMS_INLINE half half_divide(half a, half b) { return wasm_f32x4_div(a, b); }
RMS_INLINE half half_negate(half a) { return wasm_f32x4_neg(a); }
RMS_INLINE half half_square_root(half a) { return wasm_f32x4_sqrt(a); }
RMS_INLINE half half_clamp(half a, half limit) {
  return wasm_f32x4_pmax(wasm_f32x4_pmin(a, limit), wasm_f32x4_neg(limit));
}
RMS_INLINE half half_positive_or(half a, half instead) {
  return wasm_v128_bitselect(instead, a, wasm_f32x4_le(a, wasm_f32x4_splat(0)));
}
RMS_INLINE element half_lane(half a, int lane) {
  switch (lane) {
    case 0: return wasm_f32x4_extract_lane(a, 0);
    case 1: return wasm_f32x4_extract_lane(a, 1);
    case 2: return wasm_f32x4_extract_lane(a, 2);
    default: return wasm_f32x4_extract_lane(a, 3);
  }
}

/* No instruction: the compiler moves no load and no store across. */
RMS_INLINE void vector_barrier(void) { __asm__ volatile("" ::: "memory"); }

#else

#include <math.h>

typedef float half __attribute__((vector_size(16)));
typedef float half_anywhere __attribute__((vector_size(16), aligned(4), may_alias));
typedef int32_t half_mask __attribute__((vector_size(16)));

RMS_INLINE half half_load(const element *from) { return *(const half_anywhere *)from; }
RMS_INLINE void half_store(element *to, half a) { *(half_anywhere *)to = a; }
RMS_INLINE half half_splat(element a) { return (half){a, a, a, a}; }
RMS_INLINE half half_add(half a, half b) { return a + b; }
RMS_INLINE half half_subtract(half a, half b) { return a - b; }
RMS_INLINE half half_multiply(half a, half b) { return a * b; }
RMS_INLINE half half_divide(half a, half b) { return a / b; }
RMS_INLINE half half_negate(half a) { return -a; }
RMS_INLINE half half_square_root(half a) { return (half){sqrtf(a[0]), sqrtf(a[1]), sqrtf(a[2]), sqrtf(a[3])}; }
/* b where the mask is set, else a. */
RMS_INLINE half half_select(half a, half b, half_mask mask) {
  return (half)(((half_mask)b & mask) | ((half_mask)a & ~mask));
}
RMS_INLINE half half_clamp(half a, half limit) {
  half below = half_select(a, limit, limit < a);
  return half_select(below, -limit, below < -limit);
}
RMS_INLINE half half_positive_or(half a, half instead) { return half_select(a, instead, a <= half_splat(0)); }
RMS_INLINE element half_lane(half a, int lane) { return a[lane]; }

RMS_INLINE void vector_barrier(void) {}

#endif

typedef struct {
  half low;
  half high;
} vector;

RMS_INLINE vector vector_of(half low, half high) {
  vector a = {low, high};
  return a;
}

RMS_INLINE vector vector_load(const element *from) { return vector_of(half_load(from), half_load(from + 4)); }
RMS_INLINE void vector_store(element *to, vector a) {
  half_store(to, a.low);
  half_store(to + 4, a.high);
}
RMS_INLINE vector vector_splat(element a) { return vector_of(half_splat(a), half_splat(a)); }

RMS_INLINE vector vector_add(vector a, vector b) {
  return vector_of(half_add(a.low, b.low), half_add(a.high, b.high));
}
RMS_INLINE vector vector_subtract(vector a, vector b) {
  return vector_of(half_subtract(a.low, b.low), half_subtract(a.high, b.high));
}
RMS_INLINE vector vector_multiply(vector a, vector b) {
  return vector_of(half_multiply(a.low, b.low), half_multiply(a.high, b.high));
}
RMS_INLINE vector vector_divide(vector a, vector b) {
  return vector_of(half_divide(a.low, b.low), half_divide(a.high, b.high));
}
RMS_INLINE vector vector_negate(vector a) { return vector_of(half_negate(a.low), half_negate(a.high)); }
RMS_INLINE vector vector_square_root(vector a) { return vector_of(half_square_root(a.low), half_square_root(a.high)); }
RMS_INLINE vector vector_clamp(vector a, vector limit) {
  return vector_of(half_clamp(a.low, limit.low), half_clamp(a.high, limit.high));
}
RMS_INLINE vector vector_positive_or(vector a, vector instead) {
  return vector_of(half_positive_or(a.low, instead.low), half_positive_or(a.high, instead.high));
}

/* The lanes joined by halves, i and i + 4 first. */
RMS_INLINE element vector_sum(vector a) {
  half sum = half_add(a.low, a.high);
  return (half_lane(sum, 0) + half_lane(sum, 2)) + (half_lane(sum, 1) + half_lane(sum, 3));
}

#elif RMS_LANES == 2 && RMS_DOUBLE

#include <wasm_simd128.h>

typedef v128_t vector;

RMS_INLINE vector vector_load(const element *from) { return wasm_v128_load(from); }
RMS_INLINE void vector_store(element *to, vector a) { wasm_v128_store(to, a); }
RMS_INLINE vector vector_splat(element a) { return wasm_f64x2_splat(a); }

RMS_INLINE vector vector_add(vector a, vector b) { return wasm_f64x2_add(a, b); }
RMS_INLINE vector vector_subtract(vector a, vector b) { return wasm_f64x2_sub(a, b); }
RMS_INLINE vector vector_multiply(vector a, vector b) { return wasm_f64x2_mul(a, b); }
RMS_INLINE vector vector_divide(vector a, vector b) { return wasm_f64x2_div(a, b); }
RMS_INLINE vector vector_negate(vector a) { return wasm_f64x2_neg(a); }
RMS_INLINE vector vector_square_root(vector a) { return wasm_f64x2_sqrt(a); }

RMS_INLINE vector vector_clamp(vector a, vector limit) {
  return wasm_f64x2_pmax(wasm_f64x2_pmin(a, limit), wasm_f64x2_neg(limit));
}

RMS_INLINE vector vector_positive_or(vector a, vector instead) {
  return wasm_v128_bitselect(instead, a, wasm_f64x2_le(a, wasm_f64x2_splat(0)));
}

RMS_INLINE void vector_barrier(void) {}

RMS_INLINE element vector_sum(vector a) { return wasm_f64x2_extract_lane(a, 0) + wasm_f64x2_extract_lane(a, 1); }

#elif RMS_LANES == 1

#include <math.h>

typedef element vector;

RMS_INLINE vector vector_load(const element *from) { return *from; }
RMS_INLINE void vector_store(element *to, vector a) { *to = a; }
RMS_INLINE vector vector_splat(element a) { return a; }

RMS_INLINE vector vector_add(vector a, vector b) { return a + b; }
RMS_INLINE vector vector_subtract(vector a, vector b) { return a - b; }
RMS_INLINE vector vector_multiply(vector a, vector b) { return a * b; }
RMS_INLINE vector vector_divide(vector a, vector b) { return a / b; }
RMS_INLINE vector vector_negate(vector a) { return -a; }
#if RMS_DOUBLE
RMS_INLINE vector vector_square_root(vector a) { return sqrt(a); }
#else
RMS_INLINE vector vector_square_root(vector a) { return sqrtf(a); }
#endif

RMS_INLINE vector vector_clamp(vector a, vector limit) {
  vector below = limit < a ? limit : a;
  return below < -limit ? -limit : below;
}

RMS_INLINE vector vector_positive_or(vector a, vector instead) { return a <= 0 ? instead : a; }

RMS_INLINE vector vector_where_positive(vector condition, vector a) { return condition > 0 ? a : 0; }

RMS_INLINE void vector_barrier(void) {} /* one would keep a native compiler from vectorising */

RMS_INLINE element vector_sum(vector a) { return a; }

#else
#error "RMS_LANES must be 1 or 8 (float32), or where WebAssembly SIMD is compiled 4 (float32) or 2 (float64)"
#endif

#endif
