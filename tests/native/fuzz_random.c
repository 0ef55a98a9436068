/* A fuzz target without a fuzzer: runs it on the files that are named or, with `--runs <n> [--seed <n>]`, on random bytes.
 * For compilers that have no libFuzzer, and for valgrind. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint64_t state;

static uint32_t next(void) { /* splitmix64 */
  uint64_t z = state += 0x9e3779b97f4a7c15;
  z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
  z = (z ^ z >> 27) * 0x94d049bb133111eb;
  return (uint32_t)(z >> 32);
}

static int run_file(const char *name) {
  FILE *file = fopen(name, "rb");
  if (!file) return perror(name), 1;
  static uint8_t data[1 << 20];
  size_t size = fread(data, 1, sizeof data, file);
  fclose(file);
  LLVMFuzzerTestOneInput(data, size);
  return 0;
}

int main(int argc, char **argv) {
  static uint8_t data[1024];
  long runs = 0, seed = 1;
  for (int i = 1; i < argc; i++) {
    if (strcmp(argv[i], "--runs") == 0 && i + 1 < argc) runs = atol(argv[++i]);
    else if (strcmp(argv[i], "--seed") == 0 && i + 1 < argc) seed = atol(argv[++i]);
    else if (run_file(argv[i]) != 0) return 1;
  }
  state = (uint64_t)seed;
  for (long run = 0; run < runs; run++) {
    size_t size = next() % sizeof data;
    for (size_t i = 0; i < size; i++) data[i] = (uint8_t)next();
    LLVMFuzzerTestOneInput(data, size);
  }
  printf("%ld random inputs, seed %ld: no difference\n", runs, seed);
  return 0;
}
