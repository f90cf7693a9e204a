/* SPDX-License-Identifier: MIT */
/*
 * A connection to one of several addresses, the first that answers: Happy Eyeballs, RFC
 * 8305. Families take turns (section 4); a next attempt begins when one failed, or
 * brought nothing for 250 ms (section 5), and the first socket that connects wins. Both
 * kinds of addresses come from one lookup, so there is no waiting between them (section
 * 3).
 */
#ifndef WSI_IO_DIAL_H
#define WSI_IO_DIAL_H

#include <stddef.h>

#include "io/address.h"
#include "io/loop.h"

enum { WSI_DIAL_DELAY_MS = 250 };

struct wsi_dial; /* one race */

/**
 * How it ended, on the loop's thread and never inside wsi_dial_start(). The race ends
 * with this call and must not be cancelled any more.
 *
 * @param fd      (owned) connected; -1 when no address answered.
 * @param address (borrowed until return) that it is connected to; else the last that
 * failed.
 * @param error   0, or the errno of that failure.
 */
typedef void (*wsi_dial_fn)(void *user, int fd, const struct wsi_address *address,
                            int error);

/** Where connections come from. An address of another family cannot be connected to. */
struct wsi_sources {
    struct wsi_address v4, v6; /* length 0: none */
};

/** @param addresses (borrowed until return) one at least, the preferred first.
 *  @param sources   (borrowed until return, nullable) NULL: the system chooses. @return
 * 0; WSOCK_ENOMEM. */
int wsi_dial_start(struct wsi_dial **out, struct wsi_loop *loop,
                   const struct wsi_address *addresses, size_t count,
                   const struct wsi_sources *sources, wsi_dial_fn done, void *user);

/** After this, done is not called. */
void wsi_dial_cancel(struct wsi_dial *dial);

#endif
