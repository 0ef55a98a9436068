/* A multi-layer perceptron on several processes: data-parallel, with the optimizer's state on every rank or spread over
 * them.
 *
 *   mpirun -np 4 mpi_mlp
 *
 * Trains two models from the same first weights on the same batches, step by step, each rank on its share of the batch:
 *   whole     every rank has all slots, and makes the whole step
 *   sharded   every rank has the slots of its range of elements only, makes that range of the step, and gets the weights
 *             of the other ranges by MPI_Allgatherv: 1 / N of the state's memory
 * A third, single, has the weights of whole before each step and takes the whole batch, as one process would.
 * The exit status is 0 if, after every step, all ranks have equal bits, whole and sharded have equal bits, and the loss is
 * that of single to rounding; else 1. */
#include "replicas.h"

#include "dense.h"
#include <rmsprop.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { INPUTS = 32, HIDDEN = 48, CLASSES = 10, BATCH = 64, STEPS = 300, TENSORS = 4, SLOTS = 3 };
enum { KERNEL_1 = INPUTS * HIDDEN, KERNEL_2 = HIDDEN * CLASSES, LENGTH = KERNEL_1 + HIDDEN + KERNEL_2 + CLASSES };

static const size_t lengths[TENSORS] = {KERNEL_1, HIDDEN, KERNEL_2, CLASSES};

static uint32_t random_state = 12345;

/* In [-1, 1). */
static float random_float(void) {
  random_state ^= random_state << 13;
  random_state ^= random_state >> 17;
  random_state ^= random_state << 5;
  return (float)(random_state >> 8) * 0x1p-23f - 1;
}

static float *zeros(size_t length) {
  float *array = calloc(length ? length : 1, sizeof *array);
  if (!array) abort();
  return array;
}

/* Points whose class is the largest of their first CLASSES numbers. */
static void make_batch(float *inputs, uint8_t *labels) {
  for (int i = 0; i < BATCH; i++) {
    float *row = inputs + i * INPUTS;
    for (int j = 0; j < INPUTS; j++) row[j] = random_float();
    labels[i] = 0;
    for (uint8_t c = 1; c < CLASSES; c++) {
      if (row[c] > row[labels[i]]) labels[i] = c;
    }
  }
}

/* Weights and gradient as one array each, and slots for the elements first to end - 1. */
typedef struct {
  float *weights, *gradient; /* [LENGTH]; gradient has one more element, the loss */
  float *slots[SLOTS];       /* [end - first]: mean square, mean gradient, momentum */
  size_t first, end;
  rms_tensor tensors[TENSORS];
} network;

static network make_network(const float *weights, size_t first, size_t end) {
  network net = {.weights = zeros(LENGTH), .gradient = zeros(LENGTH + 1), .first = first, .end = end};
  memcpy(net.weights, weights, LENGTH * sizeof *weights);
  for (int s = 0; s < SLOTS; s++) net.slots[s] = zeros(end - first);
  size_t start = 0;
  for (int k = 0; k < TENSORS; k++) {
    /* Where the slots of the tensor would begin if they were all there. Only those of the range are ever touched; as
     * integers, for C knows no pointer to before an array. */
    uintptr_t slots[SLOTS];
    for (int s = 0; s < SLOTS; s++) slots[s] = (uintptr_t)net.slots[s] + start * sizeof(float) - first * sizeof(float);
    net.tensors[k] = (rms_tensor){.value = net.weights + start, .gradient = net.gradient + start, .length = lengths[k],
                                  .mean_square = (void *)slots[0], .mean_gradient = (void *)slots[1], .momentum = (void *)slots[2]};
    start += lengths[k];
  }
  return net;
}

static void free_network(network *net) {
  free(net->weights), free(net->gradient);
  for (int s = 0; s < SLOTS; s++) free(net->slots[s]);
}

/* The mean loss of some examples and its gradient. */
static float differentiate(network *net, const float *inputs, const uint8_t *labels, size_t count) {
  const float *kernel_1 = net->weights, *bias_1 = kernel_1 + KERNEL_1, *kernel_2 = bias_1 + HIDDEN, *bias_2 = kernel_2 + KERNEL_2;
  float *g = net->gradient;
  const size_t scratch_1 = rms_dense_scratch_length(count, INPUTS, HIDDEN), scratch_2 = rms_dense_scratch_length(count, HIDDEN, CLASSES);
  float *scratch = zeros(scratch_1 > scratch_2 ? scratch_1 : scratch_2);
  float *hidden = zeros(count * HIDDEN), *hidden_gradient = zeros(count * HIDDEN), *logits = zeros(count * CLASSES);
  rms_dense_forward(hidden, scratch, inputs, kernel_1, bias_1, count, INPUTS, HIDDEN, 1);
  rms_dense_forward(logits, scratch, hidden, kernel_2, bias_2, count, HIDDEN, CLASSES, 0);
  const float loss = rms_softmax_cross_entropy(logits, labels, count, CLASSES);
  rms_dense_backward(g + KERNEL_1 + HIDDEN, g + KERNEL_1 + HIDDEN + KERNEL_2, hidden_gradient, logits, scratch, hidden, kernel_2,
                     NULL, count, HIDDEN, CLASSES);
  rms_dense_backward(g, g + KERNEL_1, NULL, hidden_gradient, scratch, inputs, kernel_1, hidden, count, INPUTS, HIDDEN);
  free(scratch), free(hidden), free(hidden_gradient), free(logits);
  return loss;
}

/* Leaves the mean of all ranks' gradients in net->gradient and returns the mean of their losses. */
static float average(network *net, float loss, int size) {
  net->gradient[LENGTH] = loss;
  MPI_Allreduce(MPI_IN_PLACE, net->gradient, LENGTH + 1, MPI_FLOAT, MPI_SUM, MPI_COMM_WORLD);
  for (size_t i = 0; i <= LENGTH; i++) net->gradient[i] /= (float)size;
  return net->gradient[LENGTH];
}

int main(int argc, char **argv) {
  const replicas all = replicas_start(&argc, &argv);
  if (BATCH % all.size != 0) {
    if (all.rank == 0) fprintf(stderr, "the number of processes must divide the batch of %d, got %d\n", BATCH, all.size);
    MPI_Finalize();
    return 2;
  }
  const size_t share = (size_t)(BATCH / all.size), begin = share * (size_t)all.rank;

  /* He-uniform kernels, biases 0. */
  float *weights = zeros(LENGTH);
  for (int i = 0; i < KERNEL_1; i++) weights[i] = random_float() * sqrtf(6.0f / INPUTS);
  for (int i = 0; i < KERNEL_2; i++) weights[KERNEL_1 + HIDDEN + i] = random_float() * sqrtf(6.0f / HIDDEN);

  /* Where each rank's range begins, and how long it is. */
  int *starts = calloc((size_t)all.size, sizeof *starts), *counts = calloc((size_t)all.size, sizeof *counts);
  if (!starts || !counts) abort();
  for (int r = 0; r < all.size; r++) {
    starts[r] = LENGTH * r / all.size;
    counts[r] = LENGTH * (r + 1) / all.size - starts[r];
  }
  const size_t first = (size_t)starts[all.rank], end = first + (size_t)counts[all.rank];
  network whole = make_network(weights, 0, LENGTH), sharded = make_network(weights, first, end), single = make_network(weights, 0, LENGTH);

  float sums[TENSORS];
  const rms_step_options options = {.learning_rate = 0.002, .rho = 0.9, .momentum = 0.9, .epsilon = 1e-7, .weight_decay = 0.004,
      .clip_norm = 1, .sum_squares = sums, .flags = RMS_CLIP_BY_GLOBAL_NORM | RMS_DECAY_WEIGHTS};

  float inputs[BATCH * INPUTS];
  uint8_t labels[BATCH];
  int different = 0, unlike = 0, far = 0;
  float first_loss = 0, loss = 0;
  double largest = 0;
  for (int step = 0; step < STEPS; step++) {
    make_batch(inputs, labels);

    /* The loss and the gradient of one process, at the replicas' own weights: to compare one step's rounding, not what
     * 300 steps make of it. */
    memcpy(single.weights, whole.weights, LENGTH * sizeof *weights);
    const float alone = differentiate(&single, inputs, labels, BATCH);

    loss = average(&whole, differentiate(&whole, inputs + begin * INPUTS, labels + begin, share), all.size);
    if (step == 0) first_loss = loss;
    /* A loss is a mean of BATCH positive terms, each the same in both: it is rounded once for each term added and once by
     * each division, at most BATCH + 2 times in either, each time by 2^-24 of at most itself. */
    const double distance = fabs((double)loss - (double)alone);
    if (distance > largest) largest = distance;
    far += !(distance <= 2 * (BATCH + 2) * 0x1p-24 * fabs((double)alone));
    rms_step(&options, whole.tensors, TENSORS);

    average(&sharded, differentiate(&sharded, inputs + begin * INPUTS, labels + begin, share), all.size);
    rms_sum_squares(&options, sharded.tensors, TENSORS);
    rms_range(&options, sharded.tensors, TENSORS, first, end);
    MPI_Allgatherv(MPI_IN_PLACE, 0, MPI_DATATYPE_NULL, sharded.weights, counts, starts, MPI_FLOAT, MPI_COMM_WORLD);

    different += !same_on_all(whole.weights, LENGTH) || !same_on_all(sharded.weights, LENGTH);
    unlike += memcmp(whole.weights, sharded.weights, LENGTH * sizeof *weights) != 0;
    for (int s = 0; s < SLOTS; s++) unlike += memcmp(whole.slots[s] + first, sharded.slots[s], (end - first) * sizeof(float)) != 0;
  }

  MPI_Allreduce(MPI_IN_PLACE, &unlike, 1, MPI_INT, MPI_SUM, MPI_COMM_WORLD);
  MPI_Allreduce(MPI_IN_PLACE, &far, 1, MPI_INT, MPI_SUM, MPI_COMM_WORLD);
  if (all.rank == 0) {
    printf("%d ranks, %d steps: loss %.6f, at first %.6f; of one process within %.2g\n"
           "bits differed between ranks after %d steps, between whole and sharded state %d times, loss beyond rounding %d times\n"
           "state on rank 0: %zu bytes whole, %zu bytes sharded\n",
           all.size, STEPS, (double)loss, (double)first_loss, largest, different, unlike, far, SLOTS * LENGTH * sizeof(float),
           SLOTS * (end - first) * sizeof(float));
  }
  free_network(&whole), free_network(&sharded), free_network(&single);
  free(weights), free(starts), free(counts);
  MPI_Finalize();
  return different || unlike || far || !(loss < first_loss / 2);
}
