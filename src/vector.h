/* The vector vocabulary: every intrinsic of the project lives here.
 *
 * A text that includes this file is written once and means the same with one lane or with several: every lane
 * goes through the same correctly rounded operations, so the number of lanes never changes a bit of a result.
 * The including file defines RMS_LANES first, and RMS_DOUBLE to 1 where elements are double:
 *   1  plain C, for any compiler (a native one vectorises it), and for what is left behind whole vectors;
 *   4  WebAssembly SIMD, float32;  2  the same, float64;
 *   8  two registers of the former, side by side: half as many branches an element, and pairs of operations that an
 *      engine may join into one of 256 bits.
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

#include <wasm_simd128.h>

typedef struct {
  v128_t low;
  v128_t high;
} vector;

RMS_INLINE vector vector_of(v128_t low, v128_t high) {
  vector a = {low, high};
  return a;
}

RMS_INLINE vector vector_load(const element *from) { return vector_of(wasm_v128_load(from), wasm_v128_load(from + 4)); }
RMS_INLINE void vector_store(element *to, vector a) {
  wasm_v128_store(to, a.low);
  wasm_v128_store(to + 4, a.high);
}
RMS_INLINE vector vector_splat(element a) { return vector_of(wasm_f32x4_splat(a), wasm_f32x4_splat(a)); }

RMS_INLINE vector vector_add(vector a, vector b) {
  return vector_of(wasm_f32x4_add(a.low, b.low), wasm_f32x4_add(a.high, b.high));
}
RMS_INLINE vector vector_subtract(vector a, vector b) {
  return vector_of(wasm_f32x4_sub(a.low, b.low), wasm_f32x4_sub(a.high, b.high));
}
RMS_INLINE vector vector_multiply(vector a, vector b) {
  return vector_of(wasm_f32x4_mul(a.low, b.low), wasm_f32x4_mul(a.high, b.high));
}
RMS_INLINE vector vector_divide(vector a, vector b) {
  return vector_of(wasm_f32x4_div(a.low, b.low), wasm_f32x4_div(a.high, b.high));
}
RMS_INLINE vector vector_negate(vector a) { return vector_of(wasm_f32x4_neg(a.low), wasm_f32x4_neg(a.high)); }
RMS_INLINE vector vector_square_root(vector a) { return vector_of(wasm_f32x4_sqrt(a.low), wasm_f32x4_sqrt(a.high)); }

RMS_INLINE vector vector_clamp(vector a, vector limit) {
  vector negative = vector_negate(limit);
  vector below = vector_of(wasm_f32x4_pmin(a.low, limit.low), wasm_f32x4_pmin(a.high, limit.high));
  return vector_of(wasm_f32x4_pmax(below.low, negative.low), wasm_f32x4_pmax(below.high, negative.high));
}

RMS_INLINE vector vector_positive_or(vector a, vector instead) {
  const v128_t zero = wasm_f32x4_splat(0);
  return vector_of(wasm_v128_bitselect(instead.low, a.low, wasm_f32x4_le(a.low, zero)),
                   wasm_v128_bitselect(instead.high, a.high, wasm_f32x4_le(a.high, zero)));
}

/* No instruction: the compiler moves no load and no store across. */
RMS_INLINE void vector_barrier(void) { __asm__ volatile("" ::: "memory"); }

/* The lanes joined by halves, i and i + 4 first. */
RMS_INLINE element vector_sum(vector a) {
  v128_t half = wasm_f32x4_add(a.low, a.high);
  return (wasm_f32x4_extract_lane(half, 0) + wasm_f32x4_extract_lane(half, 2)) +
         (wasm_f32x4_extract_lane(half, 1) + wasm_f32x4_extract_lane(half, 3));
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
#error "RMS_LANES must be 1, or where WebAssembly SIMD is compiled 8 or 4 (float32) or 2 (float64)"
#endif

#endif
