/* SPDX-License-Identifier: MIT */
/* The command line of load_text and bare_zlib, which must agree on what is sent. */
#ifndef BENCH_TEXT_OPTIONS_H
#define BENCH_TEXT_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "corpus.h"
#include "support.h"

enum text_mode {
    MODE_PLAIN,
    MODE_SHARED,    /* no context is kept, in neither direction */
    MODE_DEDICATED, /* the server keeps its context, the client does not */
};

struct text_options {
    enum text_mode mode;
    struct deflate_settings settings;
    size_t connections, depth;
    size_t size, count; /* of the texts */
    uint64_t seed;
    struct run_options run;
    bool verify;
    bool inflate_only;
    const char *url; /* NULL: none was given */
};

void text_options_parse(struct text_options *options, int argc, char **argv);

#endif
