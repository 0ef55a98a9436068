/* A step on tensors of one element type: which elements go to which kernel, and the arithmetic of the norms. step.c
 * includes this file once for each type and defines, before it,
 *   ELEMENT       the type
 *   TYPED(name)   the name of this type's copy
 *   NARROW(name)  the kernel with one lane
 *   WIDE(name)    the kernel with the most lanes, LANES of them
 *   ROOT          sqrt of the type */

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

static void TYPED(keep)(const rms_step_options *options, const rms_tensor *tensor, size_t first, size_t last) {
  size_t end = TYPED(end_of_vectors)(first, last);
  WIDE(rms_keep)(options, tensor, first, end);
  if (end < last) NARROW(rms_keep)(options, tensor, end, last);
}

/* The sum of the squares of `count` prepared gradients; with options NULL the sum of `count` values. The order is that of
 * TensorFlow's reductions: sums longer than a leaf are split at half, rounded up to whole packets. */
static ELEMENT TYPED(sum)(const rms_step_options *options, const ELEMENT *values, const ELEMENT *accumulator,
                          size_t count) {
  enum { PACKET = 32 / sizeof(ELEMENT), LEAF = 1024 * PACKET };
  if (count > LEAF) {
    size_t split = ((count + 1) / 2 + PACKET - 1) / PACKET * PACKET;
    return TYPED(sum)(options, values, accumulator, split) +
           TYPED(sum)(options, values + split, accumulator ? accumulator + split : accumulator, count - split);
  }
  size_t packets = count / PACKET * PACKET;
  ELEMENT rest = NARROW(rms_sum_in_order)(options, values + packets, accumulator ? accumulator + packets : accumulator,
                                          count - packets);
  return packets ? rest + WIDE(rms_sum_packets)(options, values, accumulator, packets) : rest;
}

static void TYPED(sum_squares)(const rms_step_options *options, const rms_tensor *tensors, size_t count) {
  ELEMENT *sums = options->sum_squares;
  for (size_t k = 0; k < count; k++) {
    if (!tensors[k].gradient) continue;
    *sums++ = TYPED(sum)(options, tensors[k].gradient, tensors[k].accumulator, gradient_length(&tensors[k]));
  }
}

/* max(n, limit), by which a clip by norm divides; a NaN stays. */
static ELEMENT TYPED(norm_of_tensor)(ELEMENT sum_squares, ELEMENT limit) {
  ELEMENT norm = ROOT(sum_squares);
  return limit > norm ? limit : norm;
}

/* limit * min(1 / n, 1 / limit), the factor of every gradient; NaN where the norm is not finite. */
static ELEMENT TYPED(factor_of_all)(const rms_step_options *options, size_t gradients) {
  ELEMENT norm = ROOT(TYPED(sum)(NULL, options->sum_squares, NULL, gradients));
  ELEMENT by_norm = 1 / norm;
  ELEMENT by_limit = (ELEMENT)(1 / options->clip_norm);
  return (ELEMENT)options->clip_norm * (by_norm < by_limit ? by_norm : by_limit) + (norm - norm);
}

/* The elements [first, last) of one tensor. `norm` is that of all tensors, or of this one. */
static void TYPED(range)(const rms_step_options *options, const rms_tensor *tensor, ELEMENT norm, size_t first,
                         size_t last) {
  if (!tensor->gradient || options->flags & RMS_HOLD) {
    /* Keras 2.11 averages the variables that have a gradient; Keras 3 all. */
    int averages = tensor->average && options->rule != RMS_RULE_KERAS_2_11;
    if (tensor->accumulator || averages) TYPED(keep)(options, tensor, first, last);
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
