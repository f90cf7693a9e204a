/* SPDX-License-Identifier: MIT */
/*
 * Compressing and inflating the payload of messages, RFC 7692 section 7.2, with zlib.
 * What was agreed is the caller's (pmd.h), and so is where the objects live: a connection
 * with contexts of its own owns one of each, all others borrow from a pool.
 *
 * Either object takes a message whole or in pieces: append ..., end. Output is appended
 * to a buffer that the caller may empty between the pieces.
 */
#ifndef WSI_PROTO_DEFLATE_H
#define WSI_PROTO_DEFLATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/buf.h"

/* ---- compressing ---- */

struct wsi_deflater;

struct wsi_deflate_settings {
    uint8_t window_bits;  /* 8 to 15: at most what was agreed for this direction */
    uint8_t memory_level; /* 1 to 9, as zlib counts */
    uint8_t level;        /* 0 to 9, as zlib counts */
    bool takeover;        /* a message may refer to those before */
};

/** @return 0; WSOCK_ENOMEM. */
int wsi_deflater_new(struct wsi_deflater **out,
                     const struct wsi_deflate_settings *settings);

/** Takes NULL. */
void wsi_deflater_free(struct wsi_deflater *deflater);

/**
 * The next message refers to none before it. Due after a message was abandoned, and after
 * a message that was compressed elsewhere went to the same peer, whose window has that
 * now.
 */
void wsi_deflater_reset(struct wsi_deflater *deflater);

/** The bytes of heap that it holds, without those of libdeflate, which come with the
 * first whole message of one that keeps no context. */
size_t wsi_deflater_held_bytes(const struct wsi_deflater *deflater);

/**
 * Compress a piece of a message. Output may come much later than its input.
 *
 * @param limit_bytes what out may hold at most.
 * @return 0; WSOCK_ENOMEM; WSOCK_ETOOBIG. On failure the message is lost and the context
 *         begins anew; what was appended to `out` since the message began is for the
 *         caller to drop.
 */
int wsi_deflater_append(struct wsi_deflater *deflater, struct wsi_buf *out,
                        const void *data, size_t len, size_t limit_bytes);

/** Finish the message: what `out` got since it began is the payload of its frames, the
 * first of which has RSV1. Returns as wsi_deflater_append() does. */
int wsi_deflater_end(struct wsi_deflater *deflater, struct wsi_buf *out,
                     size_t limit_bytes);

/** Whether a whole message of that length is faster to compress without a context:
 *  libdeflate takes it then. */
bool wsi_deflate_prefers_no_context(unsigned window_bits, size_t len);

/** Both in one, for a message that is at hand as a whole; `out` grows as far as it needs.
 * Without takeover libdeflate does it, if the build has it and the message suits. */
int wsi_deflater_message(struct wsi_deflater *deflater, struct wsi_buf *out,
                         const void *data, size_t len);

/* ---- inflating ---- */

struct wsi_inflater;

/**
 * @param window_bits 8 to 15: at least what was agreed for this direction. A peer that
 *                    goes beyond it is refused where zlib has no more of the output, and
 *                    otherwise understood: that depends on how the input is cut.
 * @param takeover    false: forget each message when it ends.
 * @return 0; WSOCK_ENOMEM.
 */
int wsi_inflater_new(struct wsi_inflater **out, unsigned window_bits, bool takeover);

/** Takes NULL. */
void wsi_inflater_free(struct wsi_inflater *inflater);

/** The next message begins without a context: for a message that was abandoned. */
void wsi_inflater_reset(struct wsi_inflater *inflater);

/** The bytes of heap that it holds; its window comes with the first message. */
size_t wsi_inflater_held_bytes(const struct wsi_inflater *inflater);

/**
 * Inflate a piece of a message.
 *
 * @param limit_bytes what the whole message may inflate to, its earlier pieces included.
 *                    Nothing beyond one byte more is ever inflated, and `out` grows with
 *                    what really comes, so that a bomb costs no more than a message.
 * @return 0; WSOCK_ETOOBIG (close with 1009); WSOCK_EPROTOCOL, when this is no DEFLATE
 *         stream (1007); WSOCK_ENOMEM. On failure the message is lost and the context
 *         begins anew; `out` then holds rubbish behind what it held before.
 */
int wsi_inflater_append(struct wsi_inflater *inflater, struct wsi_buf *out,
                        const void *data, size_t len, uint64_t limit_bytes);

/** Finish the message. Also WSOCK_EPROTOCOL when the stream is not at its end: cut short,
 * or with bytes behind it. Text is the caller's to check. */
int wsi_inflater_end(struct wsi_inflater *inflater, struct wsi_buf *out,
                     uint64_t limit_bytes);

/** Both in one, for a payload that is at hand as a whole. */
int wsi_inflater_message(struct wsi_inflater *inflater, struct wsi_buf *out,
                         const void *data, size_t len, uint64_t limit_bytes);

#endif
