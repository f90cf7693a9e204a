/* SPDX-License-Identifier: MIT */
/*
 * Within `wsock bench`: what it shall do (bench_arguments.c), what it sends
 * (bench_payload.c), what came of it, and how that is told (bench_report.c).
 */
#ifndef BENCH_H
#define BENCH_H

#include <stddef.h>
#include <stdint.h>

#include "histogram.h"
#include "tool.h"

#define LIST_MAX 64
/* A fan-out message says when it was sent and by which connection, six bits a letter. */
#define STAMP_LETTERS  9
#define SENDER_LETTERS 4

struct plan {
    const char *url;
    const char *headers[LIST_MAX];
    const char *subprotocols[LIST_MAX];
    const char *sets[LIST_MAX];
    size_t header_count;
    size_t subprotocol_count;
    size_t set_count;
    struct way way;
    int64_t connections;
    int64_t payload_bytes;
    int64_t depth;
    int64_t duration_ms;
    int64_t workers;
    int type;
    int is_fanout;
    int is_json;
};

struct result {
    uint64_t sent;
    uint64_t came;    /* answered or delivered while it ran */
    uint64_t lost;    /* connections */
    uint64_t wrong;   /* messages */
    uint64_t missing; /* messages */
    double seconds;
    int is_interrupted;
    const char *first_error; /* "" when there was none */
    const char *extensions;  /* of the first connection that opened */
    int64_t compressed_from; /* bytes; smaller messages leave as they are */
    struct histogram latency;
};

extern const struct option_rule bench_rules[];

/** Read the arguments. @return -1 to go on, else the exit status. */
int bench_arguments(struct plan *plan, int argc, char **argv);

/** Fill a payload. */
void bench_fill(char *out, size_t len);

/** Print it. @return 0, or -1 when standard output cannot take it. */
int bench_report(const struct plan *plan, const struct result *result);

#endif
