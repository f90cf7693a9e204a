/* SPDX-License-Identifier: MIT */
/*
 * permessage-deflate (RFC 7692) on connections: who compresses and inflates with what.
 *
 *   shared     a message is compressed by whoever sends it, on his thread, with a
 *              compressor lent by the pool; it is inflated with the worker's inflater.
 *              Between messages the connection holds nothing. One that leaves in parts
 *              keeps the compressor on loan from its begin to its end, and one that
 *              comes in parts an inflater of its own; both are in the account of memory
 *              (pressure.h).
 *   dedicated  what may refer to earlier messages has a context of its own in
 *              wsock_conn.extra, made with the first message; it is compressed on the
 *              worker, in the order in which it leaves.
 *
 * Each direction goes by what was agreed: a dedicated connection whose peer asked us not
 * to keep a context sends as a shared one does.
 */
#ifndef WSI_CONN_COMPRESS_H
#define WSI_CONN_COMPRESS_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>

#include "core/blob.h"
#include "core/buf.h"
#include "core/option.h"
#include "proto/deflate.h"
#include "proto/pmd.h"
#include "proto/session.h"

struct wsi_pool;
struct wsock_conn;

/* ---- compressors on loan ---- */

/** A compressor without memory of messages, and the buffer it fills. */
struct wsi_compressor {
    struct wsi_compressor *next;
    struct wsi_deflate_settings settings;
    struct wsi_deflater *deflater;
    struct wsi_buf out;
};

/** Those that nobody uses at the moment; a part of the pool of workers. */
struct wsi_compressors {
    pthread_mutex_t lock;
    struct wsi_compressor *idle;
    unsigned idle_count;
};

void wsi_compressors_init(struct wsi_compressors *compressors);
void wsi_compressors_fini(struct wsi_compressors *compressors);

/** Borrow one until the message has ended. @return (nullable) NULL without memory. Any
 * thread. */
struct wsi_compressor *wsi_compressor_take(struct wsi_compressors *compressors,
                                           const struct wsi_deflate_settings *settings);
void wsi_compressor_give(struct wsi_compressors *compressors,
                         struct wsi_compressor *compressor);

/** Compress a message that refers to none before it; the payload is in
 * compressor->out. @return false when that failed, or made it no shorter: send it as it
 * is. */
bool wsi_compressor_run(struct wsi_compressor *compressor, const void *data, size_t len);

/**
 * A message as a frame of a server's, compressed without context for windows of so many
 * bits, by the options of whoever sends it.
 *
 * @param opcode WSI_OP_TEXT or WSI_OP_BINARY.
 * @return (owned, nullable) NULL when it is to be sent as it is. Any thread.
 */
struct wsi_blob *wsi_compress_frame(struct wsi_pool *pool,
                                    const struct wsi_options *options,
                                    unsigned window_bits, unsigned opcode,
                                    const void *data, size_t len);

/* ---- what was agreed ---- */

/** What the options of an endpoint or a client are willing to do. */
struct wsi_pmd_config wsi_compress_config(const struct wsi_options *options);

/** The handshake agreed on these. Before the connection is open. */
void wsi_conn_agree_compression(struct wsock_conn *conn,
                                const struct wsi_pmd_params *params);

/* ---- messages out ---- */

/** The settings with which a connection's messages are compressed. */
struct wsi_deflate_settings wsi_conn_deflate_settings(const struct wsock_conn *conn);

/** Compress with the connection's own context. On the worker, in the order of sending.
 * @return whether `out`, the worker's scratch, has the payload until wsi_conn_deflated();
 * false: send it as it is. */
bool wsi_conn_deflate(struct wsock_conn *conn, const void *data, size_t len,
                      const struct wsi_buf **out);

/** The message was sent, either way: give back what a large one took. */
void wsi_conn_deflated(struct wsock_conn *conn);

/** The connection's own context. @return (borrowed from conn, nullable) made now if need
 *  be; NULL without memory. On the worker. */
struct wsi_deflater *wsi_conn_own_deflater(struct wsock_conn *conn);

/** A message that was compressed elsewhere goes to the peer: ours is a new context. */
void wsi_conn_forget_sent(struct wsock_conn *conn);

/* ---- messages in ---- */

/**
 * Inflate a message and, if it is text, check that it is UTF-8.
 *
 * @param event in: compressed; out: its data is in the worker's scratch, valid until
 *              wsi_conn_inflated(). Untouched on failure.
 * @return 0, or -1 when the connection has failed: 1007, 1009 or 1011.
 */
int wsi_conn_inflate(struct wsock_conn *conn, struct wsi_event *event);

/** The inflater of a message that comes in parts. @return (borrowed from conn, nullable)
 *  NULL without memory. */
struct wsi_inflater *wsi_conn_part_inflater(struct wsock_conn *conn);
/** That message has ended. */
void wsi_conn_part_inflated(struct wsock_conn *conn);

/** Fail the connection for what inflating answered, or WSOCK_EUTF8. */
void wsi_conn_fail_inflate(struct wsock_conn *conn, int error);

/** The message was delivered: give back what a large one took. */
void wsi_conn_inflated(struct wsock_conn *conn);

#endif
