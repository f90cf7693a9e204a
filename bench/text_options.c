/* SPDX-License-Identifier: MIT */
#include "text_options.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char usage[] =
    "usage: load_text [options] ws://ADDRESS:PORT/PATH\n"
    "       bare_zlib [options]\n"
    "  --mode MODE       plain: no compression; shared: no context is kept; dedicated:\n"
    "                    the server keeps its context (shared)\n"
    "  --connections N   connections to open (16)\n"
    "  --depth D         messages sent at once, then awaited together; load_text (1)\n"
    "  --size BYTES      of each text (1024)\n"
    "  --count N         different texts; a multiple of depth times connections (256)\n"
    "  --seed N          what they are made from (1)\n"
    "  --level N, --memory-level N, --window-bits N   of zlib (6, 8, 15)\n"
    "  --seconds S       length of the measured window (1)\n"
    "  --warmup S        traffic before it (0.2)\n"
    "  --pid PID         read the CPU clock of this server at both ends of the window\n"
    "  --verify          no window: send every text once on each connection, inflate "
    "the\n"
    "                    answers and compare them; load_text\n"
    "  --inflate-only    no answers; bare_zlib\n"
    "  --json            print the result as one JSON object\n";

static const char *const modes[] = {"plain", "shared", "dedicated"};

enum {
    CONNECTIONS = RUN_VALUES,
    DEPTH,
    SIZE,
    COUNT,
    SEED,
    LEVEL,
    MEMORY_LEVEL,
    WINDOW_BITS,
    MODE,
    VERIFY,
    INFLATE_ONLY,
    HELP
};

static const struct option option_table[] = {
    {"connections", required_argument, NULL, CONNECTIONS},
    {"depth", required_argument, NULL, DEPTH},
    {"size", required_argument, NULL, SIZE},
    {"count", required_argument, NULL, COUNT},
    {"seed", required_argument, NULL, SEED},
    {"level", required_argument, NULL, LEVEL},
    {"memory-level", required_argument, NULL, MEMORY_LEVEL},
    {"window-bits", required_argument, NULL, WINDOW_BITS},
    {"mode", required_argument, NULL, MODE},
    {"verify", no_argument, NULL, VERIFY},
    {"inflate-only", no_argument, NULL, INFLATE_ONLY},
    RUN_OPTION_TABLE,
    {"pid", required_argument, NULL, RUN_PID},
    {"help", no_argument, NULL, HELP},
    {0},
};

static enum text_mode parse_mode(const char *text)
{
    if (text == NULL)
        return MODE_SHARED;
    for (int i = 0; i <= MODE_DEDICATED; i++)
        if (strcmp(text, modes[i]) == 0)
            return (enum text_mode)i;
    die("the mode is plain, shared or dedicated");
    return MODE_SHARED;
}

static void check(const struct text_options *o)
{
    if (o->connections == 0 || o->connections > 10000 || o->depth == 0)
        die("--connections must be 1 to 10000, --depth 1 or more");
    if (o->count == 0 || o->count % (o->connections * o->depth) != 0)
        die("--count must be a multiple of connections times depth");
    if (o->size < 64 || o->size > 16 << 20)
        die("--size must be 64 bytes to 16 MiB");
}

void text_options_parse(struct text_options *options, int argc, char **argv)
{
    const char *values[HELP + 1] = {NULL};
    const char *url = parse_options(values, option_table, usage, argc, argv);

    *options = (struct text_options){
        .mode = parse_mode(values[MODE]),
        .settings = {(int)number_or(values[LEVEL], 6),
                     (int)number_or(values[MEMORY_LEVEL], 8),
                     (int)number_or(values[WINDOW_BITS], 15)},
        .connections = (size_t)number_or(values[CONNECTIONS], 16),
        .depth = (size_t)number_or(values[DEPTH], 1),
        .size = (size_t)number_or(values[SIZE], 1024),
        .count = (size_t)number_or(values[COUNT], 256),
        .seed = (uint64_t)number_or(values[SEED], 1),
        .run = run_options_of(values, 1, 0.2),
        .verify = values[VERIFY] != NULL,
        .inflate_only = values[INFLATE_ONLY] != NULL,
        .url = url,
    };
    check(options);
}
