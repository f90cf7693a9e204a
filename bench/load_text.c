/* SPDX-License-Identifier: MIT */
/*
 * The load generator for the echo of texts, compressed or not, as light as load.c: the
 * frames are made, compressed and masked beforehand and replayed, each message on its own
 * without a context, which is valid whatever the server keeps. Answers depend on the
 * server's compressor, so they are counted by the headers of their frames and not
 * compared; --verify does that, in a run of its own: it keeps each answer, inflates it
 * with the context that was agreed, and compares.
 *
 * A connection sends D messages, waits until D answers are whole, and goes on with the
 * next D of the set, from a place of its own.
 *
 * The generator never sleeps: it asks epoll again and again, and counts the time between
 * the last event and the next as idle. Otherwise a server that is slower than it would
 * pay, in its own CPU time, for waking it after most answers, and one that is faster
 * would not.
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

#include "corpus.h"
#include "support.h"
#include "text_options.h"
#include "wire.h"

/* The frame of an answer that is being received. */
struct reader {
    unsigned char header[10];
    size_t header_have;
    uint64_t payload_left; /* meaningful when the header is whole */
    bool inside_message;   /* its last data frame had no FIN */
};

struct conn {
    struct wire wire;
    size_t next;   /* the message of the set that is sent next */
    size_t unsent; /* bytes of the batch that the socket has not taken yet */
    size_t owed;   /* answers still to come; 0 between batches */
    size_t left;   /* batches this connection may still begin */
    struct reader reader;

    /* --verify only */
    unsigned char *answer;
    size_t answer_len;
    size_t expected; /* the message of the set that is answered next */
    z_stream inflater;
};

struct load {
    struct generator generator; /* first */
    const struct text_options *options;
    struct target target;
    struct corpus corpus;
    struct conn *conns;
    unsigned char *frames; /* of the whole set, one behind the other */
    size_t *frame_at;      /* count + 1 of them: where each begins, and the end */
    unsigned char *text;   /* --verify: room for an inflated answer */
    int64_t silent_since;  /* on the clock, of generator.idle_since */
    int epoll_fd;
};

/* What was done is messages, and bytes that left for them; a round is a batch. */
static struct load *load_of(struct generator *g)
{
    return (struct load *)(void *)g;
}

static unsigned first_byte(const struct load *load)
{
    return load->options->mode == MODE_PLAIN ? BYTE0_TEXT : BYTE0_TEXT | BYTE0_RSV1;
}

/* Before */

static void build_frames(struct load *load)
{
    const struct corpus *corpus = &load->corpus;
    const bool plain = load->options->mode == MODE_PLAIN;
    size_t at = 0;

    load->frames = must_alloc(corpus->count, corpus->stride + HEADER_MAX);
    load->frame_at = must_alloc(corpus->count + 1, sizeof *load->frame_at);
    for (size_t i = 0; i < corpus->count; i++) {
        const size_t len = plain ? corpus->size : corpus->deflated_len[i];

        load->frame_at[i] = at;
        at += put_frame(load->frames + at, first_byte(load),
                        plain ? corpus_text(corpus, i) : corpus_deflated(corpus, i), len);
    }
    load->frame_at[corpus->count] = at;
}

static const char *offer(const struct text_options *o)
{
    static char line[256];
    char windows[80] = "";

    if (o->mode == MODE_PLAIN)
        return "";
    if (o->settings.window_bits < 15)
        snprintf(windows, sizeof windows,
                 "; server_max_window_bits=%d; client_max_window_bits=%d",
                 o->settings.window_bits, o->settings.window_bits);
    snprintf(line, sizeof line,
             "Sec-WebSocket-Extensions: permessage-deflate; client_no_context_takeover"
             "%s%s\r\n",
             o->mode == MODE_SHARED ? "; server_no_context_takeover" : "", windows);
    return line;
}

static void check_answer(const struct text_options *o, const char *head)
{
    const bool keeps = strstr(head, "server_no_context_takeover") == NULL;

    if ((strstr(head, "permessage-deflate") != NULL) != (o->mode != MODE_PLAIN))
        die("the server did not agree on the compression that was asked for");
    if (o->mode == MODE_PLAIN)
        return;
    if (keeps != (o->mode == MODE_DEDICATED))
        die("the server keeps its context, or not, unlike the mode");
    if (strstr(head, "client_no_context_takeover") == NULL)
        die("the server keeps the client's context");
}

static void open_connections(struct load *load)
{
    const struct text_options *o = load->options;

    load->conns = must_alloc(o->connections, sizeof *load->conns);
    for (size_t i = 0; i < o->connections; i++) {
        struct conn *conn = &load->conns[i];
        char head[RESPONSE_MAX];

        wire_open(&conn->wire, &load->target, head);
        check_answer(o, head);
        conn->next = corpus_index(&load->corpus, i, o->connections, 0);
        conn->expected = conn->next;
        if (o->verify) {
            conn->answer = must_alloc(load->corpus.stride + TAIL_SIZE, 1);
            if (inflateInit2(&conn->inflater, -o->settings.window_bits) != Z_OK)
                die("zlib does not begin to inflate");
        }
        must_watch(load->epoll_fd, conn->wire.fd, EPOLLIN | EPOLLOUT | EPOLLET, conn);
    }
}

/* Sending */

static void send_rest(struct load *load, struct conn *conn)
{
    const size_t end = load->frame_at[conn->next + load->options->depth];

    wire_send_rest(&conn->wire, load->frames + end, &conn->unsent);
}

static void begin_batch(struct load *load, struct conn *conn)
{
    const size_t depth = load->options->depth;

    if (conn->left == 0)
        return;
    conn->left--;
    conn->owed = depth;
    conn->unsent = load->frame_at[conn->next + depth] - load->frame_at[conn->next];
    load->generator.active++;
    send_rest(load, conn);
}

static void end_batch(struct load *load, struct conn *conn)
{
    if (conn->unsent > 0)
        die("an answer came before its message was sent");
    conn->next = (conn->next + load->options->depth) % load->corpus.count;
    load->generator.active--;
    begin_batch(load, conn);
}

/* Receiving */

static void keep_payload(struct load *load, struct conn *conn, const unsigned char *data,
                         size_t len)
{
    if (len > load->corpus.stride - conn->answer_len)
        die("an answer is longer than it can be");
    memcpy(conn->answer + conn->answer_len, data, len);
    conn->answer_len += len;
}

static void inflate_answer(struct load *load, struct conn *conn)
{
    z_stream *z = &conn->inflater;

    memcpy(conn->answer + conn->answer_len, TAIL, TAIL_SIZE);
    z->next_in = conn->answer;
    z->avail_in = (unsigned)(conn->answer_len + TAIL_SIZE);
    z->next_out = load->text;
    z->avail_out = (unsigned)load->corpus.size + 1;
    if (load->options->mode == MODE_SHARED)
        inflateReset(z);
    if (inflate(z, Z_SYNC_FLUSH) != Z_OK || z->avail_in != 0 || z->avail_out != 1)
        die("an answer does not inflate to the length of its message");
}

static void verify_answer(struct load *load, struct conn *conn)
{
    const unsigned char *answer = conn->answer;

    if (load->options->mode != MODE_PLAIN) {
        inflate_answer(load, conn);
        answer = load->text;
    } else if (conn->answer_len != load->corpus.size) {
        die("an answer has not the length of its message");
    }
    if (memcmp(answer, corpus_text(&load->corpus, conn->expected), load->corpus.size) !=
        0)
        die("an answer differs from its message");
    conn->expected = (conn->expected + 1) % load->corpus.count;
    conn->answer_len = 0;
}

static void finish_frame(struct load *load, struct conn *conn)
{
    struct reader *reader = &conn->reader;
    const unsigned byte0 = reader->header[0];

    reader->header_have = 0;
    if ((byte0 & BYTE0_CONTROL) != 0)
        return;
    reader->inside_message = (byte0 & BYTE0_FIN) == 0;
    if (reader->inside_message)
        return;
    if (load->options->verify)
        verify_answer(load, conn);
    if (conn->owed == 0)
        die("an answer came that nothing asked for");
    load->generator.done++;
    conn->owed--;
}

static size_t header_size(const struct reader *reader)
{
    if (reader->header_have < 2)
        return 2;
    return reader->header[1] < 126 ? 2 : reader->header[1] == 126 ? 4 : 10;
}

static void begin_frame(struct load *load, struct reader *reader)
{
    const unsigned byte0 = reader->header[0];
    const size_t size = reader->header_have;

    if ((byte0 & BYTE0_CONTROL) != 0) {
        if ((byte0 & BYTE0_OPCODE) == 8)
            die("the server closed a connection");
    } else if (reader->inside_message ? (byte0 & ~BYTE0_FIN) != 0
                                      : (byte0 | BYTE0_FIN) != first_byte(load)) {
        die("an answer is no text, or compressed when it must not be, or not when it "
            "must");
    }
    reader->payload_left = size == 2 ? reader->header[1] : 0;
    for (size_t i = 2; i < size; i++)
        reader->payload_left = reader->payload_left << 8 | reader->header[i];
    if ((byte0 & BYTE0_CONTROL) == 0)
        load->generator.extra += reader->payload_left;
}

/* @return false while the header is not whole. */
static bool read_header(struct load *load, struct reader *reader,
                        const unsigned char **data, size_t *len)
{
    while (reader->header_have < header_size(reader)) {
        if (*len == 0)
            return false;
        reader->header[reader->header_have++] = *(*data)++;
        (*len)--;
        if (reader->header_have == header_size(reader))
            begin_frame(load, reader);
    }
    return true;
}

static void read_frames(struct load *load, struct conn *conn, const unsigned char *data,
                        size_t len)
{
    struct reader *reader = &conn->reader;

    while (read_header(load, reader, &data, &len)) {
        const size_t piece = len < reader->payload_left ? len
                                                        : (size_t)reader->payload_left;

        if (load->options->verify && (reader->header[0] & BYTE0_CONTROL) == 0)
            keep_payload(load, conn, data, piece);
        data += piece;
        len -= piece;
        reader->payload_left -= piece;
        if (reader->payload_left > 0)
            return;
        finish_frame(load, conn);
    }
}

/* As in load.c: a finished batch leaves a new edge to come. */
static void receive(struct load *load, struct conn *conn)
{
    struct wire_bytes got = {0};

    while (wire_next(&conn->wire, &got)) {
        const size_t owed = conn->owed;

        read_frames(load, conn, got.data, got.len);
        if (owed > 0 && conn->owed == 0) {
            end_batch(load, conn);
            return;
        }
    }
}

/* Idle time is CPU time too, so that other programs on the core do not matter. */
static void note_idleness(struct load *load, bool idle)
{
    if (idle && load->generator.idle_since == 0) {
        load->generator.idle_since = clock_ns(CLOCK_PROCESS_CPUTIME_ID);
        load->silent_since = clock_ns(CLOCK_MONOTONIC);
    } else if (!idle && load->generator.idle_since != 0) {
        load->generator.idle += clock_ns(CLOCK_PROCESS_CPUTIME_ID) -
                                load->generator.idle_since;
        load->generator.idle_since = 0;
    } else if (idle && clock_ns(CLOCK_MONOTONIC) - load->silent_since >
                           (int64_t)STALL_MS * (NS_PER_S / 1000)) {
        die("no answer came for 10 s");
    }
}

static void turn(struct generator *g)
{
    struct load *load = load_of(g);
    struct epoll_event events[EVENTS_MAX];
    const int count = must_wait(load->epoll_fd, events, 0, NULL);

    note_idleness(load, count == 0);
    for (int i = 0; i < count; i++) {
        struct conn *conn = events[i].data.ptr;

        if (conn->unsent > 0)
            send_rest(load, conn);
        if (events[i].events & ~(uint32_t)EPOLLOUT)
            receive(load, conn);
    }
}

/* Runs */

static void begin_all(struct generator *g, size_t batches)
{
    struct load *load = load_of(g);

    for (size_t i = 0; i < load->options->connections; i++) {
        load->conns[i].left = batches;
        if (load->conns[i].owed == 0)
            begin_batch(load, &load->conns[i]);
    }
}

static void report(const struct load *load, const struct sample *from,
                   const struct sample *to)
{
    const struct text_options *o = load->options;
    const struct sample_rates r = between(from, to);

    if (o->run.json) {
        printf("{\"seconds\": %.6f, \"messages\": %.0f, \"bytes_out\": %.0f, ", r.seconds,
               r.done, r.extra);
        print_cpu_json(&r, o->run.pid);
        return;
    }
    printf("%.0f messages in %.3f s: %.0f/s, %.4f bytes out a byte; ", r.done, r.seconds,
           r.done / r.seconds, r.extra / (r.done * (double)o->size));
    print_cpu(&r, o->run.pid, "message");
}

static void load_fini(struct load *load)
{
    for (size_t i = 0; i < load->options->connections; i++) {
        wire_close(&load->conns[i].wire);
        free(load->conns[i].answer);
        inflateEnd(&load->conns[i].inflater);
    }
    corpus_fini(&load->corpus);
    free(load->conns);
    free(load->frames);
    free(load->frame_at);
    free(load->text);
    close(load->epoll_fd);
}

int main(int argc, char **argv)
{
    struct text_options options;
    struct load load = {.options = &options, .epoll_fd = must_epoll()};
    struct sample from, to;

    text_options_parse(&options, argc, argv);
    generator_init(&load.generator, begin_all, turn, &options.run);
    parse_url(&load.target, options.url);
    if (load.target.tls)
        die("no TLS here");
    load.target.extensions = offer(&options);
    corpus_init(&load.corpus, options.count, options.size, options.seed,
                &options.settings);
    load.text = must_alloc(options.size + 1, 1);
    build_frames(&load);
    open_connections(&load);
    if (options.verify)
        run_by_count(&load.generator, options.count / options.depth, &from, &to);
    else
        run_by_time(&load.generator, &from, &to);
    report(&load, &from, &to);
    load_fini(&load);
    return 0;
}
