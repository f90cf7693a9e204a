/* SPDX-License-Identifier: MIT */
/*
 * GB/s of every variant of masking and of the UTF-8 check that works on this
 * processor, beside the loop that handles one byte after the other. Each figure is
 * the best of several rounds; the data stays in the cache and starts at an odd
 * address, as a payload behind a frame's header does. With --check the status is 1 when
 * what the library calls misses a limit at 16 KiB.
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "proto/cpu.h"
#include "proto/mask.h"
#include "proto/simd.h"
#include "proto/utf8.h"

#define ROUNDS   15
#define ROUND_NS 4000000
#define MOST     16384
#define MISALIGN 6
#define MIXED_WAY \
    "Zażółć gęślą jaźń, съешь же ещё этих булок, いろはにほへと, \U0001F600 and plain "

static const size_t sizes[] = {64, 1024, 16384};
#define SIZES (sizeof sizes / sizeof sizes[0])

static uint8_t room[MOST + MISALIGN] __attribute__((aligned(64)));
static uint8_t *const data = room + MISALIGN;

/* Not variants: the loop over bytes, and what the library calls. */
static const struct wsi_simd bytes = {.name = "bytes"};
static const struct wsi_simd chosen = {.name = "as chosen"};

typedef size_t work_fn(const struct wsi_simd *simd, size_t len);

static size_t mask_work(const struct wsi_simd *simd, size_t len)
{
    static const uint8_t key[4] = {0x37, 0xfa, 0x21, 0x3d};

    if (simd == &chosen)
        wsi_mask(data, data, len, key, 0);
    else if (simd != &bytes)
        wsi_mask_with(simd, data, data, len, key, 0);
    else
        for (size_t i = 0; i < len; i++)
            data[i] ^= key[i % 4];
    return len;
}

static size_t utf8_work(const struct wsi_simd *simd, size_t len)
{
    wsi_utf8_state state = 0;

    if (simd == &chosen)
        return wsi_utf8_check(&state, data, len);
    if (simd != &bytes)
        return wsi_utf8_check_with(simd, &state, data, len);
    return wsi_utf8_step_bytes(&state, data, len);
}

static uint64_t now_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000000U + (uint64_t)ts.tv_nsec;
}

static double gigabytes_a_second(work_fn *work, const struct wsi_simd *simd, size_t len)
{
    double best = 0;

    for (int round = 0; round < ROUNDS; round++) {
        const uint64_t start = now_ns();
        uint64_t end = start, total = 0;

        while (end - start < ROUND_NS) {
            for (int i = 0; i < 64; i++)
                total += work(simd, len);
            end = now_ns();
        }
        const double rate = (double)total / (double)(end - start);

        best = rate > best ? rate : best;
    }
    return best;
}

static void fill(const char *text)
{
    const size_t period = strlen(text);

    for (size_t i = 0; i < MOST; i++)
        data[i] = (uint8_t)text[i % period];
}

/* @return how many times the loop over bytes it is at the largest size. */
static double row(const struct wsi_simd *simd, work_fn *work, double bytewise[SIZES])
{
    double times = 0;

    printf("  %-10s", simd->name);
    for (size_t i = 0; i < SIZES; i++) {
        const double rate = gigabytes_a_second(work, simd, sizes[i]);

        if (simd == &bytes)
            bytewise[i] = rate;
        times = rate / bytewise[i];
        printf(" %8.2f  (%5.1fx)", rate, times);
    }
    printf("\n");
    return times;
}

/* @return whether what the library calls is so many times as fast. */
static bool table(const char *what, const char *text, work_fn *work, double limit)
{
    double bytewise[SIZES], times;

    fill(text);
    printf("%-12s %8s %18s %18s\n", what, "64 B", "1 KiB", "16 KiB");
    row(&bytes, work, bytewise);
    for (size_t n = 0; wsi_cpu_variant(n) != NULL; n++)
        row(wsi_cpu_variant(n), work, bytewise);
    times = row(&chosen, work, bytewise);
    if (times < limit)
        fprintf(stderr, "%s: %.1f times the loop over bytes, below %.0f\n", what, times,
                limit);
    return times >= limit;
}

int main(int argc, char **argv)
{
    const bool check = argc == 2 && strcmp(argv[1], "--check") == 0;
    int missed = 0;

    if (argc > 1 && !check) {
        fprintf(stderr, "usage: bench_simd [--check]\n");
        return 2;
    }
    printf("GB/s (times the loop over bytes)\n");
    missed += !table("mask", "x", mask_work, 8);
    missed += !table("utf8 ascii", "The quick brown fox jumps over the lazy dog. ",
                     utf8_work, 10);
    missed += !table("utf8 mixed", MIXED_WAY, utf8_work, 3);
    return check && missed > 0;
}
