/* SPDX-License-Identifier: MIT */
/* A message on its way to its connection's worker: for send.c and send_parts.c. */
#ifndef WSI_CONN_POSTED_H
#define WSI_CONN_POSTED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/blob.h"
#include "core/mailbox.h"

struct wsock_conn;

enum wsi_posted_kind {
    WSI_POSTED_MESSAGE,
    WSI_POSTED_CONTROL,
    WSI_POSTED_BEGIN, /* of a message in parts */
    WSI_POSTED_APPEND,
    WSI_POSTED_END,
};

struct wsi_posted {
    struct wsi_mail mail;
    struct wsock_conn *conn; /* a reference */
    struct wsi_blob *frame;  /* (nullable) a shared one instead of the bytes below */
    struct wsi_posted *next; /* in a list of those that wait */
    size_t counted;          /* in posted_bytes */
    size_t len;
    uint8_t kind;  /* enum wsi_posted_kind */
    bool compress; /* with the connection's own context, when its turn comes; of BEGIN:
                      the message is compressed */
    uint8_t byte0; /* of the frame; of BEGIN: the opcode */
    uint8_t data[];
};

/** @return (owned, nullable) one of so many bytes, which are copied. */
struct wsi_posted *wsi_posted_new(enum wsi_posted_kind kind, const void *data,
                                  size_t len);

/** Send it on its way, counted as so many bytes until wsi_posted_done().
 * @param posted (consumed) */
void wsi_posted_post(struct wsock_conn *conn, struct wsi_posted *posted, size_t counted);

/** Write what a message or control frame has to say. On the worker. @return 0;
 *  WSOCK_ENOMEM; WSOCK_ECLOSED. */
int wsi_posted_write(struct wsock_conn *conn, const struct wsi_posted *posted);

/** It has been dealt with, with this result. @param posted (consumed) */
void wsi_posted_done(struct wsi_posted *posted, int r);

#endif
