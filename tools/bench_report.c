/* SPDX-License-Identifier: MIT */
/* How `wsock bench` tells what it measured: for people, and as JSON. */
#include <stdio.h>

#include <jansson.h>

#include "bench.h"

static uint64_t errors_of(const struct result *r)
{
    return r->lost + r->wrong + r->missing;
}

static const char *duration(char *out, size_t size, uint64_t ns)
{
    if (ns < 1000000)
        snprintf(out, size, "%.1f us", (double)ns / 1e3);
    else if (ns < 1000000000)
        snprintf(out, size, "%.2f ms", (double)ns / 1e6);
    else
        snprintf(out, size, "%.2f s", (double)ns / 1e9);
    return out;
}

static void print_latency(const struct histogram *h)
{
    char text[5][32];

    if (h->count == 0) {
        printf("%-10s nothing came back\n", "latency");
        return;
    }
    printf("%-10s p50 %s, p90 %s, p99 %s, p99.9 %s, max %s\n", "latency",
           duration(text[0], sizeof text[0], histogram_at(h, 500)),
           duration(text[1], sizeof text[1], histogram_at(h, 900)),
           duration(text[2], sizeof text[2], histogram_at(h, 990)),
           duration(text[3], sizeof text[3], histogram_at(h, 999)),
           duration(text[4], sizeof text[4], h->max));
}

/* What was agreed on, and whether it had anything to do. */
static void print_extensions(const struct plan *p, const struct result *r)
{
    if (r->extensions[0] == '\0')
        return;
    printf("%-10s %s; MB/s counts messages before it\n", "extension", r->extensions);
    if (p->payload_bytes < r->compressed_from)
        printf("%-10s below compression_min_bytes (%lld B) messages are sent as they "
               "are: these were\n",
               "", (long long)r->compressed_from);
}

static void report_text(const struct plan *p, const struct result *r)
{
    const double bytes = (double)r->came * (double)p->payload_bytes;

    printf("%s: %lld connections, %lld B, depth %lld, %.1f s%s\n", p->url,
           (long long)p->connections, (long long)p->payload_bytes, (long long)p->depth,
           r->seconds, p->is_fanout ? ", fan-out" : "");
    printf("%-10s %llu sent, %llu %s, %.0f /s, %.2f MB/s\n", "messages",
           (unsigned long long)r->sent, (unsigned long long)r->came,
           p->is_fanout ? "delivered" : "answered", (double)r->came / r->seconds,
           bytes / r->seconds / 1e6);
    print_extensions(p, r);
    print_latency(&r->latency);
    printf("%-10s %llu", "errors", (unsigned long long)errors_of(r));
    if (errors_of(r) > 0)
        printf(": %llu connections, %llu wrong, %llu missing; first: %s",
               (unsigned long long)r->lost, (unsigned long long)r->wrong,
               (unsigned long long)r->missing,
               r->first_error[0] != '\0' ? r->first_error : "messages did not come back");
    putchar('\n');
}

static json_t *microseconds(uint64_t ns)
{
    return json_real((double)ns / 1e3);
}

/* null when there is nothing to tell. */
static json_t *latency_json(const struct histogram *h)
{
    if (h->count == 0)
        return json_null();
    return json_pack(
        "{s:o, s:o, s:o, s:o, s:o, s:o}", "p50", microseconds(histogram_at(h, 500)),
        "p90", microseconds(histogram_at(h, 900)), "p99",
        microseconds(histogram_at(h, 990)), "p99_9", microseconds(histogram_at(h, 999)),
        "max", microseconds(h->max), "mean", microseconds(h->sum / h->count));
}

static void report_json(const struct plan *p, const struct result *r)
{
    json_t *root = json_pack(
        "{s:s, s:s, s:I, s:I, s:I, s:I, s:b, s:f, s:b, s:I, s:I, s:f, s:f}", "url",
        p->url, "extensions", r->extensions, "connections", (json_int_t)p->connections,
        "payload_bytes", (json_int_t)p->payload_bytes, "depth", (json_int_t)p->depth,
        "workers", (json_int_t)p->workers, "fanout", p->is_fanout, "seconds", r->seconds,
        "interrupted", r->is_interrupted, "sent", (json_int_t)r->sent, "messages",
        (json_int_t)r->came, "messages_per_second", (double)r->came / r->seconds,
        "bytes_per_second", (double)r->came * (double)p->payload_bytes / r->seconds);

    json_object_set_new(root, "latency_us", latency_json(&r->latency));
    json_object_set_new(
        root, "errors",
        json_pack("{s:I, s:I, s:I, s:I, s:s}", "total", (json_int_t)errors_of(r),
                  "connections", (json_int_t)r->lost, "wrong", (json_int_t)r->wrong,
                  "missing", (json_int_t)r->missing, "first", r->first_error));
    json_dumpf(root, stdout, JSON_COMPACT | JSON_REAL_PRECISION(9));
    putchar('\n');
    json_decref(root);
}

int bench_report(const struct plan *plan, const struct result *result)
{
    if (plan->is_json)
        report_json(plan, result);
    else
        report_text(plan, result);
    return fflush(stdout) == 0 ? 0 : -1;
}
