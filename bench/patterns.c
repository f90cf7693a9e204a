/* SPDX-License-Identifier: MIT */
/*
 * What it takes to find the patterns that match a name, among 10, 10,000 and 1,000,000
 * subscriptions to different patterns: ns, the median of rounds that are interleaved.
 * "One name" is the same again and again, so that what it touches is in the cache;
 * "names" are as many different ones as there are subscriptions, up to 65,536. With
 * --check the status is 1 when one name takes more than 2 times as long among 1,000,000
 * as among 10.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <wsock/error.h>

#include "core/alloc.h"
#include "room/pattern.h"
#include "support.h"

enum { ROUNDS = 15, MATCHES = 100000, SIZES = 3, NAMES = 65536, FOUND = 3 };

static const size_t sizes[SIZES] = {10, 10000, 1000000};

/* What a name of that many tokens is, and the pattern that matches it alone. */
static const struct {
    const char *what;
    const char *pattern, *name;
} kinds[] = {
    {"3 tokens", "match.%zu.*", "match.%zu.chat"},
    {"12 tokens", "a.b.c.d.e.f.g.h.i.%zu.*.l", "a.b.c.d.e.f.g.h.i.%zu.k.l"},
};
enum { KINDS = sizeof kinds / sizeof kinds[0] };

static struct wsi_patterns patterns[KINDS][SIZES];
static char (*names[KINDS][SIZES])[48];

static void add(struct wsi_patterns *to, const char *pattern)
{
    if (wsi_patterns_add(to, pattern, to) < 0)
        die("out of memory");
}

/* Beside those of each name, two that match all. */
static void fill(int kind, int size)
{
    struct wsi_patterns *to = &patterns[kind][size];
    const size_t count = sizes[size] < NAMES ? sizes[size] : NAMES;
    char text[48];

    wsi_patterns_init(to);
    add(to, ">");
    add(to, kind == 0 ? "match.>" : "a.b.c.*.>");
    for (size_t i = 2; i < sizes[size]; i++) {
        snprintf(text, sizeof text, kinds[kind].pattern, i); /* NOLINT: of our own */
        add(to, text);
    }
    names[kind][size] = must_alloc(count, sizeof *names[kind][size]);
    for (size_t i = 0; i < count; i++)
        snprintf(names[kind][size][i], sizeof *names[kind][size],
                 kinds[kind].name, /* NOLINT: of our own */
                 2 + i * 7919 % (sizes[size] - 2));
}

/* @return ns of a match. */
static double measure(int kind, int size, bool many)
{
    const size_t count = many && sizes[size] > NAMES ? NAMES : many ? sizes[size] : 1;
    const int64_t from = clock_ns(CLOCK_THREAD_CPUTIME_ID);
    void *out[FOUND];
    size_t found = 0;

    for (size_t i = 0; i < MATCHES; i++)
        found += wsi_patterns_match(&patterns[kind][size], out, FOUND,
                                    names[kind][size][i % count]);
    if (found != (size_t)MATCHES * FOUND)
        die("a name does not match what it should");
    return (double)(clock_ns(CLOCK_THREAD_CPUTIME_ID) - from) / MATCHES;
}

static int compare(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static double results[KINDS][SIZES][2][ROUNDS];

static double median(int kind, int size, int many)
{
    qsort(results[kind][size][many], ROUNDS, sizeof(double), compare);
    return results[kind][size][many][ROUNDS / 2];
}

int main(int argc, char **argv)
{
    const bool check = argc > 1 && strcmp(argv[1], "--check") == 0;
    double few, lots, worst = 0;

    for (int kind = 0; kind < KINDS; kind++)
        for (int size = 0; size < SIZES; size++)
            fill(kind, size);
    for (int round = 0; round < ROUNDS; round++)
        for (int kind = 0; kind < KINDS; kind++)
            for (int size = 0; size < SIZES; size++)
                for (int many = 0; many < 2; many++)
                    results[kind][size][many][round] = measure(kind, size, many != 0);
    printf("%-12s %14s %12s %12s\n", "name of", "subscriptions", "one name", "names");
    for (int kind = 0; kind < KINDS; kind++) {
        few = median(kind, 0, 0);
        lots = median(kind, SIZES - 1, 0);
        worst = lots / few > worst ? lots / few : worst;
        for (int size = 0; size < SIZES; size++)
            printf("%-12s %14zu %9.0f ns %9.0f ns\n", kinds[kind].what, sizes[size],
                   median(kind, size, 0), median(kind, size, 1));
    }
    printf("one name, 1000000 over 10: %.2f\n", worst);
    return check && worst > 2;
}
