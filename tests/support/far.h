/* SPDX-License-Identifier: MIT */
/*
 * The far end of a compressed connection, straight on zlib and knowing nothing of the
 * library's own compression: it reads the frames that a scripted peer was sent, inflates
 * what has RSV1 with the context that was agreed, and compresses what it feeds.
 */
#ifndef WSI_TEST_FAR_H
#define WSI_TEST_FAR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <zlib.h>

#include "stage.h"

enum { FAR_RSV1 = 0x40 };

struct far {
    z_stream inflater, deflater;
    bool keeps_in, keeps_out; /* a context between messages: received, sent */
    bool is_client;           /* then it masks */
    bool compressed;          /* the message whose frames are coming is */

    /* The frame that far_next() took. */
    unsigned byte0;
    size_t wire_len; /* of its payload as it travelled */
    struct script_bytes data;
};

/** Windows of so many bits: what it may be sent, and what it sends. */
void far_init(struct far *far, bool is_client, int bits_in, bool keeps_in, int bits_out,
              bool keeps_out);
void far_fini(struct far *far);

/** A server's connection on a worker that is open after this offer ("" for none), with
 *  the far end that fits what was agreed. @return (borrowed) */
struct wsock_conn *far_accept(struct far *far, struct stage *stage,
                              struct script_peer *peer, unsigned worker,
                              const char *offer);

/** Take the next frame that was sent to the peer; fails when its payload does not inflate
 *  to its end. @return false when there is none. */
bool far_next(struct far *far, struct script_peer *peer);

/** The next frame is this message. @param byte0 with FIN, and RSV1 if it must have that.
 */
#define far_got(far, peer, byte0, data, len) \
    far_got_at((far), (peer), (byte0), (data), (len), __FILE__, __LINE__)
void far_got_at(struct far *far, struct script_peer *peer, unsigned byte0,
                const void *data, size_t len, const char *file, int line);

/** Compress a message: what its frames would carry. */
void far_deflate(struct far *far, struct script_bytes *out, const void *data, size_t len);

/** Feed a payload as it is. */
void far_feed_raw(struct far *far, struct script_peer *peer, unsigned byte0,
                  const void *data, size_t len);

/** Feed a compressed message in so many fragments. @param opcode without FIN and RSV1. */
void far_feed(struct far *far, struct script_peer *peer, unsigned opcode,
              const void *data, size_t len, size_t fragments);

#endif
