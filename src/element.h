/* The template mechanism: what depends on the element type is written once, names the type by RMS_TYPE, f32 or f64, which
 * whoever compiles a copy defines, and marks the names of the copy by it. A new type is a line in each table here and in
 * BY_DTYPE. */
#ifndef RMS_ELEMENT_H
#define RMS_ELEMENT_H

typedef float element_f32;
typedef double element_f64;

/* The same for the preprocessor. */
#define BYTES_f32 4
#define BYTES_f64 8

#define ROOT_f32 sqrtf
#define ROOT_f64 sqrt

#define JOINED_AS_WRITTEN(a, b) a##b
#define JOINED(a, b) JOINED_AS_WRITTEN(a, b)

/* update -> update_f32 */
#define TYPED(name) JOINED(name##_, RMS_TYPE)

/* rms_update -> rms_update_f32x8, a kernel with that many lanes */
#define LANED(name, lanes) JOINED(JOINED(name##_, RMS_TYPE), JOINED(x, lanes))

/* A call of the copy that works on elements of `dtype`, for a caller that works on all. */
#define BY_DTYPE(dtype, name, arguments) ((dtype) == RMS_FLOAT64 ? name##_f64 arguments : name##_f32 arguments)

#endif
