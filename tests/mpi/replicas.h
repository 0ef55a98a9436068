/* What the programs of this folder share: rank and size, and whether all ranks hold the same bits. */
#ifndef REPLICAS_H
#define REPLICAS_H

#include <mpi.h>

#include <stddef.h>
#include <stdint.h>
#include <string.h>

typedef struct {
  int rank, size;
} replicas;

static inline replicas replicas_start(int *argc, char ***argv) {
  replicas all;
  MPI_Init(argc, argv);
  MPI_Comm_rank(MPI_COMM_WORLD, &all.rank);
  MPI_Comm_size(MPI_COMM_WORLD, &all.size);
  return all;
}

/* FNV-1a over the bits of length floats. */
static inline uint64_t hash_of(const float *values, size_t length) {
  uint64_t hash = 0xcbf29ce484222325u;
  for (size_t i = 0; i < length; i++) {
    uint32_t bits;
    memcpy(&bits, values + i, sizeof bits);
    hash = (hash ^ bits) * 0x100000001b3u;
  }
  return hash;
}

/* 1 on all ranks if all have the same bits there, else 0 on all. */
static inline int same_on_all(const float *values, size_t length) {
  uint64_t hash = hash_of(values, length), least, most;
  MPI_Allreduce(&hash, &least, 1, MPI_UINT64_T, MPI_MIN, MPI_COMM_WORLD);
  MPI_Allreduce(&hash, &most, 1, MPI_UINT64_T, MPI_MAX, MPI_COMM_WORLD);
  return least == most;
}

#endif
