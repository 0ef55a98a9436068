/* The vector vocabulary: every intrinsic of the project lives here.
 *
 * A text that includes this file is written once and means the same with one lane or with several: every lane
 * goes through the same correctly rounded operations, so the number of lanes never changes a bit of a result.
 * The including file defines RMS_TYPE (element.h) and RMS_LANES first. A register holds as many elements as its engine
 * has lanes for; a vector is one register or two side by side, natively too: half as many branches an element, and pairs
 * of operations that an engine may join into one of 256 bits.
 * No operation is fused with another: build with -ffp-contract=off. */
#ifndef RMS_VECTOR_H
#define RMS_VECTOR_H

#include "element.h"

#include <math.h>
#include <stddef.h>
#include <stdint.h>

#if defined(__GNUC__)
#define RMS_INLINE static inline __attribute__((always_inline, unused))
#define RMS_NEVER_INLINE __attribute__((noinline))
#else
#define RMS_INLINE static inline
#define RMS_NEVER_INLINE
#endif

typedef TYPED(element) element;

/* ---- One register, by engine ----
 *
 *   register_load, _store         need the alignment of one element only
 *   register_clamp(a, limit)      a limited to [-limit, limit]; NaN stays NaN
 *   register_positive_or(a, b)    a where a > 0 or a is NaN, b where a <= 0
 *   register_where_positive(a, b) b where a > 0, +0 elsewhere
 *   register_sum                  the lanes joined by halves: (0 + 2) + (1 + 3)
 *   vector_barrier                no instruction: the compiler moves no load and no store across */

#if RMS_LANES == 1 /* plain C, for any compiler, and for what is left behind whole vectors */

#define REGISTER_LANES 1
typedef element lanes;

RMS_INLINE lanes register_load(const element *from) { return *from; }
RMS_INLINE void register_store(element *to, lanes a) { *to = a; }
RMS_INLINE lanes register_splat(element a) { return a; }
RMS_INLINE lanes register_add(lanes a, lanes b) { return a + b; }
RMS_INLINE lanes register_subtract(lanes a, lanes b) { return a - b; }
RMS_INLINE lanes register_multiply(lanes a, lanes b) { return a * b; }
RMS_INLINE lanes register_divide(lanes a, lanes b) { return a / b; }
RMS_INLINE lanes register_negate(lanes a) { return -a; }
RMS_INLINE lanes register_square_root(lanes a) { return JOINED(ROOT_, RMS_TYPE)(a); }
RMS_INLINE lanes register_clamp(lanes a, lanes limit) {
  lanes below = limit < a ? limit : a;
  return below < -limit ? -limit : below;
}
RMS_INLINE lanes register_positive_or(lanes a, lanes instead) { return a <= 0 ? instead : a; }
RMS_INLINE lanes register_where_positive(lanes condition, lanes a) { return condition > 0 ? a : 0; }
RMS_INLINE element register_sum(lanes a) { return a; }

RMS_INLINE void vector_barrier(void) {} /* one would keep a native compiler from vectorising */

#elif defined(__wasm_simd128__)

#include <wasm_simd128.h>

#if JOINED(BYTES_, RMS_TYPE) == 4
#define REGISTER_LANES 4
#define SIMD(operation) wasm_f32x4_##operation
#else
#define REGISTER_LANES 2
#define SIMD(operation) wasm_f64x2_##operation
#endif
typedef v128_t lanes;

RMS_INLINE lanes register_load(const element *from) { return wasm_v128_load(from); }
RMS_INLINE void register_store(element *to, lanes a) { wasm_v128_store(to, a); }
RMS_INLINE lanes register_splat(element a) { return SIMD(splat)(a); }
RMS_INLINE lanes register_add(lanes a, lanes b) { return SIMD(add)(a, b); }
RMS_INLINE lanes register_subtract(lanes a, lanes b) { return SIMD(sub)(a, b); }
RMS_INLINE lanes register_multiply(lanes a, lanes b) { return SIMD(mul)(a, b); }
RMS_INLINE lanes register_divide(lanes a, lanes b) { return SIMD(div)(a, b); }
RMS_INLINE lanes register_negate(lanes a) { return SIMD(neg)(a); }
RMS_INLINE lanes register_square_root(lanes a) { return SIMD(sqrt)(a); }
RMS_INLINE lanes register_clamp(lanes a, lanes limit) { return SIMD(pmax)(SIMD(pmin)(a, limit), SIMD(neg)(limit)); }
RMS_INLINE lanes register_positive_or(lanes a, lanes instead) {
  return wasm_v128_bitselect(instead, a, SIMD(le)(a, SIMD(splat)(0)));
}
RMS_INLINE lanes register_where_positive(lanes condition, lanes a) {
  return wasm_v128_and(a, SIMD(gt)(condition, SIMD(splat)(0)));
}
#if REGISTER_LANES == 4
RMS_INLINE element register_sum(lanes a) {
  return (SIMD(extract_lane)(a, 0) + SIMD(extract_lane)(a, 2)) + (SIMD(extract_lane)(a, 1) + SIMD(extract_lane)(a, 3));
}
#else
RMS_INLINE element register_sum(lanes a) { return SIMD(extract_lane)(a, 0) + SIMD(extract_lane)(a, 1); }
#endif

RMS_INLINE void vector_barrier(void) { __asm__ volatile("" ::: "memory"); }

#elif defined(__GNUC__) && JOINED(BYTES_, RMS_TYPE) == 4 /* the vectors of GNU C, which any processor has */

#define REGISTER_LANES 4
typedef element lanes __attribute__((vector_size(16)));
typedef element lanes_anywhere __attribute__((vector_size(16), aligned(4), may_alias));
typedef int32_t lanes_mask __attribute__((vector_size(16)));

RMS_INLINE lanes register_load(const element *from) { return *(const lanes_anywhere *)from; }
RMS_INLINE void register_store(element *to, lanes a) { *(lanes_anywhere *)to = a; }
RMS_INLINE lanes register_splat(element a) { return (lanes){a, a, a, a}; }
RMS_INLINE lanes register_add(lanes a, lanes b) { return a + b; }
RMS_INLINE lanes register_subtract(lanes a, lanes b) { return a - b; }
RMS_INLINE lanes register_multiply(lanes a, lanes b) { return a * b; }
RMS_INLINE lanes register_divide(lanes a, lanes b) { return a / b; }
RMS_INLINE lanes register_negate(lanes a) { return -a; }
RMS_INLINE lanes register_square_root(lanes a) { return (lanes){sqrtf(a[0]), sqrtf(a[1]), sqrtf(a[2]), sqrtf(a[3])}; }
/* b where the mask is set, else a. */
RMS_INLINE lanes register_select(lanes a, lanes b, lanes_mask mask) {
  return (lanes)(((lanes_mask)b & mask) | ((lanes_mask)a & ~mask));
}
RMS_INLINE lanes register_clamp(lanes a, lanes limit) {
  lanes below = register_select(a, limit, limit < a);
  return register_select(below, -limit, below < -limit);
}
RMS_INLINE lanes register_positive_or(lanes a, lanes instead) {
  return register_select(a, instead, a <= register_splat(0));
}
RMS_INLINE lanes register_where_positive(lanes condition, lanes a) {
  return register_select(register_splat(0), a, condition > register_splat(0));
}
RMS_INLINE element register_sum(lanes a) { return (a[0] + a[2]) + (a[1] + a[3]); }

RMS_INLINE void vector_barrier(void) {}

#else
#error "RMS_LANES must be 1 for this type and this compiler"
#endif

/* ---- A vector: one register or two ---- */

#if RMS_LANES == REGISTER_LANES

typedef lanes vector;

#define OF_ONE(operation) \
  RMS_INLINE vector vector_##operation(vector a) { return register_##operation(a); }
#define OF_TWO(operation) \
  RMS_INLINE vector vector_##operation(vector a, vector b) { return register_##operation(a, b); }

RMS_INLINE vector vector_load(const element *from) { return register_load(from); }
RMS_INLINE void vector_store(element *to, vector a) { register_store(to, a); }
RMS_INLINE vector vector_splat(element a) { return register_splat(a); }
RMS_INLINE element vector_sum(vector a) { return register_sum(a); }

#elif RMS_LANES == 2 * REGISTER_LANES

typedef struct {
  lanes low, high;
} vector;

#define OF_ONE(operation)                                                     \
  RMS_INLINE vector vector_##operation(vector a) {                            \
    return vector_of(register_##operation(a.low), register_##operation(a.high)); \
  }
#define OF_TWO(operation)                                                                     \
  RMS_INLINE vector vector_##operation(vector a, vector b) {                                  \
    return vector_of(register_##operation(a.low, b.low), register_##operation(a.high, b.high)); \
  }

RMS_INLINE vector vector_of(lanes low, lanes high) {
  vector a = {low, high};
  return a;
}
RMS_INLINE vector vector_load(const element *from) {
  return vector_of(register_load(from), register_load(from + REGISTER_LANES));
}
RMS_INLINE void vector_store(element *to, vector a) {
  register_store(to, a.low);
  register_store(to + REGISTER_LANES, a.high);
}
RMS_INLINE vector vector_splat(element a) { return vector_of(register_splat(a), register_splat(a)); }
/* Halves first: i and i + 4. */
RMS_INLINE element vector_sum(vector a) { return register_sum(register_add(a.low, a.high)); }

#else
#error "RMS_LANES must be one register or two"
#endif

OF_ONE(negate)
OF_ONE(square_root)
OF_TWO(add)
OF_TWO(subtract)
OF_TWO(multiply)
OF_TWO(divide)
OF_TWO(clamp)
OF_TWO(positive_or)
OF_TWO(where_positive)

#endif
