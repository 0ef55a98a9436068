/* A claim is a sentence that holds or fails the program. */
#ifndef CLAIMS_H
#define CLAIMS_H

#include <stdio.h>
#include <string.h>

static int claims_made, claims_failed;

/* Counts the claim; prints it with `detail` if it does not hold. */
static inline void claim(int holds, const char *sentence, const char *detail) {
  claims_made++;
  if (holds) return;
  if (claims_failed++ < 20) fprintf(stderr, "FAILED: %s (%s)\n", sentence, detail);
}

/* Equal bits, where any NaN equals any NaN. */
static inline int same_bits(float a, float b) { return (a != a && b != b) || memcmp(&a, &b, sizeof a) == 0; }

static inline int report(void) {
  printf("%d claims, %d failed\n", claims_made, claims_failed);
  return claims_failed != 0 || claims_made == 0;
}

#endif
