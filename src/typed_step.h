/* A step on tensors of one element type, RMS_TYPE: which elements go to which kernel, and the arithmetic of the norms.
 * step.c includes this file once for each type. */
#define ELEMENT TYPED(element)
#define LANES JOINED(LANES_, RMS_TYPE)
#define NARROW(name) LANED(name, 1)
#define WIDE(name) LANED(name, LANES)
#define ROOT JOINED(ROOT_, RMS_TYPE)

/* Where the whole vectors of [first, last) end. */
static size_t TYPED(end_of_vectors)(size_t first, size_t last) { return last - (last - first) % LANES; }

static void TYPED(update)(const rms_step_options *options, const rms_tensor *tensor, const ELEMENT *gradient,
                          ELEMENT norm, size_t first, size_t last) {
  size_t end = TYPED(end_of_vectors)(first, last);
  if (first < end) WIDE(rms_update)(options, tensor, gradient, norm, first, end);
  if (end < last) NARROW(rms_update)(options, tensor, gradient, norm, end, last);
}

/* The rows that a sparse gradient names, as far as they lie in [first, last). */
static void TYPED(update_rows)(const rms_step_options *options, const rms_tensor *tensor, ELEMENT norm, size_t first,
                               size_t last) {
  const ELEMENT *row = tensor->gradient;
  for (size_t k = 0; k < tensor->index_count; k++, row += tensor->row_length) {
    size_t start = (size_t)tensor->indices[k] * tensor->row_length, end = start + tensor->row_length;
    size_t from = first > start ? first : start, to = last < end ? last : end;
    if (from < to) TYPED(update)(options, tensor, row - start, norm, from, to);
  }
}

static void TYPED(accumulate)(const rms_step_options *options, const rms_tensor *tensor, size_t first, size_t last) {
  size_t end = TYPED(end_of_vectors)(first, last);
  WIDE(rms_accumulate)(options, tensor, first, end);
  if (end < last) NARROW(rms_accumulate)(options, tensor, end, last);
}

static void TYPED(average)(const rms_step_options *options, const rms_tensor *tensor, size_t first, size_t last) {
  size_t end = TYPED(end_of_vectors)(first, last);
  WIDE(rms_average)(options, tensor, first, end);
  if (end < last) NARROW(rms_average)(options, tensor, end, last);
}

/* The sums below are of the squares of prepared gradients; with options NULL of the values themselves. The order is that
 * of TensorFlow's reductions: a tree, whose sums longer than a leaf are split at half, rounded up to whole packets. */
enum { TYPED(PACKET) = 32 / sizeof(ELEMENT), TYPED(LEAF) = 1024 * TYPED(PACKET) };

/* The length of the left part of a sum longer than a leaf. */
static size_t TYPED(split_of)(size_t count) {
  return ((count + 1) / 2 + TYPED(PACKET) - 1) / TYPED(PACKET) * TYPED(PACKET);
}

static ELEMENT TYPED(sum_leaf)(const rms_step_options *options, const ELEMENT *values, const ELEMENT *accumulator,
                               size_t count) {
  size_t packets = count / TYPED(PACKET) * TYPED(PACKET);
  ELEMENT rest = NARROW(rms_sum_in_order)(options, values + packets, accumulator ? accumulator + packets : accumulator,
                                          count - packets);
  return packets ? rest + WIDE(rms_sum_packets)(options, values, accumulator, packets) : rest;
}

static ELEMENT TYPED(sum)(const rms_step_options *options, const ELEMENT *values, const ELEMENT *accumulator,
                          size_t count) {
  if (count <= TYPED(LEAF)) return TYPED(sum_leaf)(options, values, accumulator, count);
  size_t split = TYPED(split_of)(count);
  return TYPED(sum)(options, values, accumulator, split) +
         TYPED(sum)(options, values + split, accumulator ? accumulator + split : accumulator, count - split);
}

static void TYPED(sum_squares)(const rms_step_options *options, const rms_tensor *tensors, size_t count) {
  ELEMENT *sums = options->sum_squares;
  for (size_t k = 0; k < count; k++) {
    if (!tensors[k].gradient) continue;
    *sums++ = TYPED(sum)(options, tensors[k].gradient, tensors[k].accumulator, gradient_length(&tensors[k]));
  }
}

/* Of the leaves of one sum, numbered from `leaf`, those in [first, last) into leaves[]; returns the number that follows. */
static size_t TYPED(sum_leaves)(const rms_step_options *options, const ELEMENT *values, const ELEMENT *accumulator,
                                size_t count, size_t leaf, size_t first, size_t last, ELEMENT *leaves) {
  if (count <= TYPED(LEAF)) {
    if (first <= leaf && leaf < last) leaves[leaf] = TYPED(sum_leaf)(options, values, accumulator, count);
    return leaf + 1;
  }
  size_t split = TYPED(split_of)(count);
  leaf = TYPED(sum_leaves)(options, values, accumulator, split, leaf, first, last, leaves);
  return TYPED(sum_leaves)(options, values + split, accumulator ? accumulator + split : accumulator, count - split, leaf,
                           first, last, leaves);
}

static size_t TYPED(sum_squares_range)(const rms_step_options *options, const rms_tensor *tensors, size_t count,
                                       size_t first, size_t last, ELEMENT *leaves) {
  size_t leaf = 0;
  for (size_t k = 0; k < count; k++) {
    if (!tensors[k].gradient) continue;
    leaf = TYPED(sum_leaves)(options, tensors[k].gradient, tensors[k].accumulator, gradient_length(&tensors[k]), leaf,
                             first, last, leaves);
  }
  return leaf;
}

static size_t TYPED(leaves_of)(size_t count) {
  if (count <= TYPED(LEAF)) return 1;
  size_t split = TYPED(split_of)(count);
  return TYPED(leaves_of)(split) + TYPED(leaves_of)(count - split);
}

/* The sum of `count` elements from the sums of its leaves. */
static ELEMENT TYPED(joined)(const ELEMENT *leaves, size_t count) {
  if (count <= TYPED(LEAF)) return *leaves;
  size_t split = TYPED(split_of)(count);
  return TYPED(joined)(leaves, split) + TYPED(joined)(leaves + TYPED(leaves_of)(split), count - split);
}

static void TYPED(join_sums)(const rms_step_options *options, const rms_tensor *tensors, size_t count,
                             const ELEMENT *leaves) {
  ELEMENT *sums = options->sum_squares;
  for (size_t k = 0; k < count; k++) {
    if (!tensors[k].gradient) continue;
    size_t length = gradient_length(&tensors[k]);
    *sums++ = TYPED(joined)(leaves, length);
    leaves += TYPED(leaves_of)(length);
  }
}

/* max(n, limit), by which a clip by norm divides the gradient that has sums[number]; a NaN stays. In double, which holds
 * an element as it is. */
static double TYPED(norm_of_tensor)(const rms_step_options *options, size_t number) {
  const ELEMENT *sums = options->sum_squares;
  ELEMENT norm = ROOT(sums[number]), limit = (ELEMENT)options->clip_norm;
  return (double)(limit > norm ? limit : norm);
}

/* limit * min(1 / n, 1 / limit), the factor of every gradient; NaN where the norm is not finite. */
static double TYPED(factor_of_all)(const rms_step_options *options, size_t gradients) {
  ELEMENT norm = ROOT(TYPED(sum)(NULL, options->sum_squares, NULL, gradients));
  ELEMENT by_norm = 1 / norm;
  ELEMENT by_limit = (ELEMENT)(1 / options->clip_norm);
  return (double)((ELEMENT)options->clip_norm * (by_norm < by_limit ? by_norm : by_limit) + (norm - norm));
}

/* The elements [first, last) of one tensor. `norm` is that of all tensors, or of this one. */
static void TYPED(range)(const rms_step_options *options, const rms_tensor *tensor, double factor, size_t first,
                         size_t last) {
  ELEMENT norm = (ELEMENT)factor;
  if (!tensor->gradient || options->flags & RMS_HOLD) {
    /* Keras 2.11 averages the variables that have a gradient; Keras 3 all. */
    if (tensor->accumulator) TYPED(accumulate)(options, tensor, first, last);
    if (tensor->average && options->rule != RMS_RULE_KERAS_2_11) TYPED(average)(options, tensor, first, last);
  } else if (tensor->indices) {
    TYPED(update_rows)(options, tensor, norm, first, last);
  } else {
    TYPED(update)(options, tensor, tensor->gradient, norm, first, last);
  }
}

static void TYPED(prepare)(const rms_step_options *options, const rms_tensor *tensors, size_t count, ELEMENT *out) {
  for (size_t k = 0; k < count; k++) {
    const rms_tensor *tensor = &tensors[k];
    size_t end = TYPED(end_of_vectors)(0, tensor->length);
    if (tensor->gradient) {
      WIDE(rms_prepare)(options, tensor->gradient, tensor->accumulator, out, 0, end);
      if (end < tensor->length) {
        NARROW(rms_prepare)(options, tensor->gradient, tensor->accumulator, out, end, tensor->length);
      }
    }
    out += tensor->length;
  }
}

static int TYPED(all_finite)(const rms_tensor *tensor) {
  size_t length = gradient_length(tensor), end = TYPED(end_of_vectors)(0, length);
  ELEMENT zero = WIDE(rms_zero_if_finite)(tensor->gradient, 0, end) +
                 NARROW(rms_zero_if_finite)(tensor->gradient, end, length);
  return zero == 0; /* false for a NaN */
}

static size_t TYPED(merge_rows)(ELEMENT *values, int32_t *indices, int32_t *places, size_t count, size_t row_length) {
  for (size_t k = 0; k < count; k++) places[indices[k]] = -1;
  size_t unique = 0;
  for (size_t k = 0; k < count; k++) {
    int32_t *place = &places[indices[k]];
    const ELEMENT *row = values + k * row_length;
    int is_new = *place < 0;
    if (is_new) {
      *place = (int32_t)unique;
      indices[unique++] = indices[k];
    }
    ELEMENT *sum = values + (size_t)*place * row_length;
    /* A sum starts at +0, so -0 becomes +0. */
    for (size_t i = 0; i < row_length; i++) sum[i] = (is_new ? 0 : sum[i]) + row[i];
  }
  return unique;
}

#undef ELEMENT
#undef LANES
#undef NARROW
#undef WIDE
#undef ROOT
