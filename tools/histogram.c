/* SPDX-License-Identifier: MIT */
/* The log-linear histogram of `wsock bench`. */
#include "histogram.h"

/* Values below HISTOGRAM_PARTS have a cell each; above, the highest bit chooses the row
 * and the six bits behind it the cell. */
static unsigned cell_of(uint64_t value)
{
    unsigned shift = 0;
    unsigned cell = 0;

    if (value < HISTOGRAM_PARTS)
        return (unsigned)value;
    shift = 57 - (unsigned)__builtin_clzll(value); /* so that 64 to 127 remain */
    cell = (shift + 1) * HISTOGRAM_PARTS + ((unsigned)(value >> shift) - HISTOGRAM_PARTS);
    return cell < HISTOGRAM_SIZE ? cell : HISTOGRAM_SIZE - 1;
}

/* The highest value of a cell. */
static uint64_t top_of(unsigned cell)
{
    const unsigned shift = cell / HISTOGRAM_PARTS;
    const uint64_t part = cell % HISTOGRAM_PARTS;

    if (shift == 0)
        return part;
    return ((part + HISTOGRAM_PARTS + 1) << (shift - 1)) - 1;
}

void histogram_add(struct histogram *histogram, uint64_t value)
{
    histogram->cells[cell_of(value)]++;
    histogram->count++;
    histogram->sum += value;
    if (value > histogram->max)
        histogram->max = value;
}

void histogram_merge(struct histogram *into, const struct histogram *from)
{
    for (unsigned i = 0; i < HISTOGRAM_SIZE; i++)
        into->cells[i] += from->cells[i];
    into->count += from->count;
    into->sum += from->sum;
    if (from->max > into->max)
        into->max = from->max;
}

uint64_t histogram_at(const struct histogram *histogram, unsigned per_mille)
{
    const uint64_t wanted = (histogram->count * per_mille + 999) / 1000;
    uint64_t seen = 0;

    for (unsigned i = 0; i < HISTOGRAM_SIZE; i++) {
        seen += histogram->cells[i];
        if (seen >= wanted && seen > 0)
            return top_of(i) < histogram->max ? top_of(i) : histogram->max;
    }
    return histogram->max;
}
