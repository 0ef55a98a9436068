/* Dense layers: what a multi-layer perceptron needs to be trained, float32.
 *
 *   forward    output = input · kernel + bias, then optionally ReLU
 *   loss       mean over the batch of -log softmax(logits)[label]
 *   backward   the gradients of kernel, bias and input
 *
 * The functions keep nothing, allocate nothing and cannot fail; all memory is the caller's. Compiled to WebAssembly they
 * are a leaf module that imports a memory and nothing else, so that a model can live in the optimizer's memory and its
 * gradients are born where the optimizer reads them.
 *
 * Same bits everywhere: every sum over several numbers starts at +0 and adds them one by one in ascending order of their
 * index, every product is rounded before it is added, and exp and log are made of + - * / alone. Neither the number of
 * lanes nor the blocking nor the batch in which a row stands changes a bit. (Which NaN a NaN is, is not defined.)
 *
 * All matrices are row-major without gaps; a row of a batch is one example. A kernel is [inputs][outputs], as in Keras.
 * Pointers need the alignment of a float only. Unless a function says otherwise, its arguments must not overlap.
 * Sizes may be anything from 1 on. This file does not initialise weights, shuffle, or read data. */
#ifndef RMS_DENSE_H
#define RMS_DENSE_H

#include <stddef.h>
#include <stdint.h>

/* How many floats of scratch rms_dense_forward and rms_dense_backward need for a layer of these sizes. */
size_t rms_dense_scratch_length(size_t batch, size_t inputs, size_t outputs);

/* output[batch][outputs] = input[batch][inputs] · kernel[inputs][outputs] + bias[outputs]; ReLU on top if relu is not 0.
 * Writes rms_dense_scratch_length floats of scratch. NaN passes through the ReLU. */
void rms_dense_forward(float *output, float *scratch, const float *input, const float *kernel, const float *bias,
                       size_t batch, size_t inputs, size_t outputs, int relu);

/* From output_gradient[batch][outputs], the gradient of the loss with respect to what rms_dense_forward wrote:
 *   output_gradient[batch][outputs]   in place: +0 where output is not positive; as it is when output is NULL
 *   kernel_gradient[inputs][outputs]  = transposed input · output_gradient
 *   bias_gradient[outputs]            = sum of the rows of output_gradient
 *   input_gradient[batch][inputs]     = output_gradient · transposed kernel; not computed when NULL (first layer)
 * output is what rms_dense_forward wrote with relu, NULL for a layer without ReLU. kernel is read for input_gradient only.
 * Gradients are overwritten, not added to. Writes rms_dense_scratch_length floats of scratch. */
void rms_dense_backward(float *kernel_gradient, float *bias_gradient, float *input_gradient, float *output_gradient,
                        float *scratch, const float *input, const float *kernel, const float *output,
                        size_t batch, size_t inputs, size_t outputs);

/* values[batch][classes] in place: each row becomes exp(row) / sum(exp(row)), by way of row - max(row), so that no finite
 * row overflows. */
void rms_softmax(float *values, size_t batch, size_t classes);

/* Returns the mean over the batch of -log softmax(values)[label], and turns values[batch][classes] from logits into the
 * gradient of that mean: (softmax(values) - one_hot(labels)) / batch. Each label of labels[batch] is below classes. */
float rms_softmax_cross_entropy(float *values, const uint8_t *labels, size_t batch, size_t classes);

/* Returns in how many rows of values[batch][classes] (logits or probabilities) the first of the largest values stands at
 * the row's label. A row with a NaN counts as wrong. Each label of labels[batch] is below classes. */
size_t rms_count_correct(const float *values, const uint8_t *labels, size_t batch, size_t classes);

/* exp within 1.1 and log within 0.8 ulp of the true value (tests/native/dense_test.c sweeps them) for every float,
 * subnormal results and arguments included: rms_exp(-Inf) = 0, rms_exp(Inf) = Inf, rms_log(0) = -Inf,
 * rms_log(Inf) = Inf, rms_log of a negative number and either function of NaN = NaN. */
float rms_exp(float x);
float rms_log(float x);

#endif
