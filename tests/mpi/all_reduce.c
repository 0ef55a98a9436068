/* Measures MPI_Allreduce and the step after it:
 *
 *   mpirun -np 3 mpi_all_reduce <floats> <rounds>
 *
 * Prints one line of JSON, by rank 0: milliseconds of each round, of the all-reduce and of the whole. */
#include "replicas.h"

#include <rmsprop.h>

#include <stdio.h>
#include <stdlib.h>

int main(int argc, char **argv) {
  const replicas all = replicas_start(&argc, &argv);
  const long length = argc > 2 ? atol(argv[1]) : 0, rounds = argc > 2 ? atol(argv[2]) : 0;
  if (length <= 0 || length > 1 << 28 || rounds <= 0 || rounds > 100000) {
    if (all.rank == 0) fprintf(stderr, "usage: mpi_all_reduce <floats> <rounds>\n");
    MPI_Finalize();
    return 2;
  }
  float *arrays[4]; /* value, part, sum, mean square */
  for (int i = 0; i < 4; i++) {
    arrays[i] = calloc((size_t)length, sizeof(float));
    if (!arrays[i]) abort();
  }
  for (long i = 0; i < length; i++) arrays[1][i] = (float)((i * 7 + all.rank) % 13) - 6;
  const rms_tensor tensor = {.value = arrays[0], .gradient = arrays[2], .mean_square = arrays[3], .length = (size_t)length};
  const rms_step_options options = {.learning_rate = 1e-3, .rho = 0.9, .epsilon = 1e-7};
  if (all.rank == 0) printf("{\"rounds\":[");
  int different = 0;
  for (long round = 0; round < rounds; round++) {
    MPI_Barrier(MPI_COMM_WORLD);
    const double start = MPI_Wtime();
    MPI_Allreduce(arrays[1], arrays[2], (int)length, MPI_FLOAT, MPI_SUM, MPI_COMM_WORLD);
    const double reduced = MPI_Wtime();
    rms_step(&options, &tensor, 1);
    double times[2] = {(reduced - start) * 1e3, (MPI_Wtime() - start) * 1e3}, slowest[2];
    MPI_Reduce(times, slowest, 2, MPI_DOUBLE, MPI_MAX, 0, MPI_COMM_WORLD);
    different += !same_on_all(arrays[0], (size_t)length);
    if (all.rank == 0) printf("%s[%.6f,%.6f]", round ? "," : "", slowest[0], slowest[1]);
  }
  if (all.rank == 0) printf("],\"equal\":%s}\n", different ? "false" : "true");
  for (int i = 0; i < 4; i++) free(arrays[i]);
  MPI_Finalize();
  return different != 0;
}
