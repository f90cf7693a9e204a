/* SPDX-License-Identifier: MIT */
/*
 * Every variant of masking and of the UTF-8 check that works on this processor,
 * against plain loops. Plain C without cmocka, because it also runs cross-built under
 * an emulator (scripts/test-neon). Prints each failed case; exits 1 if there was one.
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "proto/cpu.h"
#include "proto/simd.h"
#include "utf8_oracle.h"

#define MOST    256 /* every length up to this */
#define ALIGN   64  /* at every alignment below this */
#define LONGEST 20000

static unsigned long failures, checks;
static const struct wsi_simd *simd;

static uint32_t random_state = 2463534242U;

static uint32_t random_below(uint32_t limit)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 17;
    random_state ^= random_state << 5;
    return random_state % limit;
}

static void fill(uint8_t *data, size_t len)
{
    for (size_t i = 0; i < len; i++)
        data[i] = (uint8_t)random_below(256);
}

static bool expect(bool good)
{
    checks++;
    if (!good)
        failures++;
    /* A variant that is wrong everywhere need not say so a million times. */
    return good || failures > 50;
}

/* Texts to cut and to damage; each is repeated to the length that is needed. */
static const char *const samples[] = {
    "The quick brown fox jumps over the lazy dog. ",
    "Zażółć gęślą jaźń, naïve café — 10 € ",
    "Съешь же ещё этих мягких французских булок",
    "いろはにほへとちりぬるを色は匂へど散りぬるを",
    "\U0001F600\U0001F680\U00010000\U0010FFFF",
    "plain and then \U0001F600 é 中 plain for long enough to be a block of its own ",
    "\x7f\xc2\x80\u07ff\u0800\ud7ff\ue000\uffff\U00010000\U0010ffff",
};
#define SAMPLES (sizeof samples / sizeof samples[0])

/* What no text may hold; the last byte of each is where it ends being possible. */
static const char *const bad[] = {
    "\x80",
    "\xbf",
    "\xc0",
    "\xc1",
    "\xf5",
    "\xf8",
    "\xfe",
    "\xff",
    "\xc2\x41",
    "\xc3\xc3",
    "\xdf\xe0",
    "\xe0\x80",
    "\xe0\x9f",
    "\xe1\x41",
    "\xe1\x80\x41",
    "\xe1\x80\xc2",
    "\xed\xa0",
    "\xed\xbf",
    "\xef\xbf\xe1",
    "\xf0\x80",
    "\xf0\x8f",
    "\xf0\x90\x41",
    "\xf1\xf1",
    "\xf1\x80\x80\x41",
    "\xf3\xbf\xc2",
    "\xf4\x90",
    "\xf4\xbf",
    "\xf4\x8f\xbf\xf4",
    "\xc2\x80\x80",
    "\xc2\x80\xbf",
    "\xe1\x80\x80\x80",
    "\xf1\x80\x80\x80\x80",
};
#define BAD (sizeof bad / sizeof bad[0])

static void write_text(uint8_t *text, size_t len, size_t sample)
{
    const size_t period = strlen(samples[sample]);

    for (size_t i = 0; i < len; i++)
        text[i] = (uint8_t)samples[sample][i % period];
}

/* One text, as it is and in two pieces. */
static void check_text(const uint8_t *text, size_t len, size_t cut, const char *what)
{
    bool whole = false;
    const size_t good = oracle_check(text, len, &whole);
    wsi_utf8_state state = 0;
    size_t got = wsi_utf8_check_with(simd, &state, text, len);

    if (!expect(got == good && (got < len || (state == 0) == whole)))
        printf("%s: utf8 %s: length %zu: bad at %zu, not %zu, state %x\n", simd->name,
               what, len, got, good, (unsigned)state);

    state = 0;
    got = wsi_utf8_check_with(simd, &state, text, cut);
    if (got == cut)
        got += wsi_utf8_check_with(simd, &state, text + cut, len - cut);
    if (!expect(got == good && (got < len || (state == 0) == whole)))
        printf("%s: utf8 %s: length %zu, cut at %zu: bad at %zu, not %zu\n", simd->name,
               what, len, cut, got, good);
}

/* A variant skips nothing bad, stops between characters, and gives up late. */
static void check_skip(const uint8_t *text, size_t len)
{
    bool whole = false;
    const size_t good = oracle_check(text, len, &whole);
    const size_t got = simd->utf8_skip(text, len);
    const bool bounded = got <= good;

    (void)oracle_check(text, bounded ? got : 0, &whole);
    if (!expect(bounded && whole && good - got < 128))
        printf("%s: utf8: skips %zu of %zu good bytes of %zu\n", simd->name, got, good,
               len);
}

static void utf8_at_every_alignment_and_length(void)
{
    static uint8_t room[ALIGN + MOST + 64] __attribute__((aligned(64)));

    for (size_t sample = 0; sample < SAMPLES; sample++)
        for (size_t align = 0; align < ALIGN; align++)
            for (size_t len = 0; len <= MOST; len++) {
                uint8_t *text = room + align;

                memset(room, 0x80, sizeof room);
                write_text(text, len, sample);
                check_text(text, len, random_below((uint32_t)len + 1), "as it should be");
                check_skip(text, len);
                if (len == 0)
                    continue;
                text[random_below((uint32_t)len)] = (uint8_t)random_below(256);
                check_text(text, len, random_below((uint32_t)len + 1), "damaged");
                check_skip(text, len);
            }
}

static void utf8_with_every_error_at_every_place(void)
{
    uint8_t text[MOST];

    for (size_t sample = 0; sample < SAMPLES; sample++)
        for (size_t which = 0; which < BAD; which++)
            for (size_t at = 0; at < MOST - 8; at++) {
                write_text(text, sizeof text, sample);
                /* The text before it must be whole, or the error is another. */
                for (size_t i = at; i > 0 && at - i < 4; i--)
                    text[i - 1] = 'x';
                memcpy(text + at, bad[which], strlen(bad[which]));
                check_text(text, sizeof text, at, "with an error");
                check_text(text, at + strlen(bad[which]), at / 2,
                           "that ends in an error");
            }
}

static void utf8_of_random_texts(void)
{
    uint8_t *text = malloc(LONGEST);

    if (text == NULL)
        exit(1);
    for (int round = 0; round < 400; round++) {
        const size_t len = 1 + random_below(LONGEST);

        write_text(text, len, random_below(SAMPLES));
        for (uint32_t hits = random_below(3); hits > 0; hits--)
            text[random_below((uint32_t)len)] = (uint8_t)random_below(256);
        check_text(text, len, random_below((uint32_t)len + 1), "at random");
        check_skip(text, len);
    }
    free(text);
}

static void check_mask(uint8_t *out, const uint8_t *in, size_t len, size_t offset)
{
    static uint8_t before[LONGEST];
    uint8_t key[4];
    bool good = true;

    fill(key, sizeof key);
    memcpy(before, in, len);
    const uint8_t left = out[-1], right = out[len];

    wsi_mask_with(simd, out, in, len, key, offset);
    for (size_t i = 0; i < len; i++)
        good = good && out[i] == (before[i] ^ key[(offset + i) % 4]);
    if (!expect(good && out[-1] == left && out[len] == right))
        printf("%s: mask: length %zu, offset %zu, in at %u, %s\n", simd->name, len,
               offset, (unsigned)((uintptr_t)in % ALIGN),
               out == in ? "in place" : "copying");
}

static void mask_at_every_alignment_length_and_offset(void)
{
    static uint8_t in[1 + ALIGN + MOST + 1] __attribute__((aligned(64)));
    static uint8_t out[1 + ALIGN + MOST + 1] __attribute__((aligned(64)));

    fill(in, sizeof in);
    for (size_t align = 0; align < ALIGN; align++)
        for (size_t offset = 0; offset < 8; offset++)
            for (size_t len = 0; len <= MOST; len++) {
                check_mask(out + 1 + random_below(ALIGN), in + 1 + align, len, offset);
                check_mask(in + 1 + align, in + 1 + align, len, offset);
            }
}

static void mask_of_random_lengths(void)
{
    uint8_t *in = malloc(LONGEST + 2), *out = malloc(LONGEST + 2);

    if (in == NULL || out == NULL)
        exit(1);
    fill(in, LONGEST + 2);
    fill(out, LONGEST + 2);
    for (int round = 0; round < 200; round++) {
        const size_t len = random_below(LONGEST - ALIGN);
        const size_t at = 1 + random_below(ALIGN);

        check_mask(out + 1 + random_below(ALIGN), in + at, len, random_below(UINT32_MAX));
        check_mask(in + at, in + at, len, random_below(UINT32_MAX));
    }
    free(in);
    free(out);
}

/* Bytes before and behind the data belong to others: here, touching them is fatal. */
static void nothing_is_touched_outside(void)
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    uint8_t *map = mmap(NULL, 3 * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    const uint8_t key[4] = {1, 2, 3, 4};

    if (map == MAP_FAILED || mprotect(map + page, page, PROT_READ | PROT_WRITE) != 0)
        exit(1);
    for (size_t len = 0; len <= MOST; len++) {
        uint8_t *const places[] = {map + page, map + 2 * page - len};

        for (size_t place = 0; place < 2; place++) {
            wsi_mask_with(simd, places[place], places[place], len, key, len);
            for (size_t sample = 0; sample < SAMPLES; sample++) {
                write_text(places[place], len, sample);
                check_text(places[place], len, len / 2, "at the edge of a page");
            }
        }
    }
    munmap(map, 3 * page);
}

int main(int argc, char **argv)
{
    for (size_t n = 0; wsi_cpu_variant(n) != NULL; n++) {
        const unsigned long before = failures;

        simd = wsi_cpu_variant(n);
        checks = 0;
        mask_at_every_alignment_length_and_offset();
        mask_of_random_lengths();
        utf8_at_every_alignment_and_length();
        utf8_with_every_error_at_every_place();
        utf8_of_random_texts();
        nothing_is_touched_outside();
        printf("%-7s %lu checks, %lu failed\n", simd->name, checks, failures - before);
    }
    /* A cross run names the variant that it is for, lest it tests the plain one only. */
    if (argc > 1 && strcmp(wsi_cpu_best()->name, argv[1]) != 0) {
        printf("the best variant is %s, not %s\n", wsi_cpu_best()->name, argv[1]);
        failures++;
    }
    return failures != 0;
}
