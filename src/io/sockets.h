/* SPDX-License-Identifier: MIT */
/*
 * Where a backend's sockets come from and how they end: the kernel's (sockets.c), or
 * those of a network in memory (memory.c). What is called for every message stands in
 * backend.h. A descriptor is whatever the backend says that it is.
 */
#ifndef WSI_IO_SOCKETS_H
#define WSI_IO_SOCKETS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "io/address.h"

struct wsi_loop;

/* All but the texts answer a negative errno when they fail. `state` is the backend's. */
struct wsi_sockets {
    /** The address of a name, at once. @return true; false when there is none. NULL:
     * names are the system's, and looking them up takes its time. */
    bool (*lookup)(void *state, const char *host, uint16_t port, struct wsi_address *out);
    /** As wsi_listen(). Any thread. */
    int (*listen)(void *state, const struct wsi_address *address, int backlog,
                  bool shareable, int *fd);
    /** The address of its own end. Any thread. */
    int (*local)(void *state, struct wsi_address *out, int fd);
    /** The next connection of a listener, ready for use. @return the descriptor. */
    int (*accept)(void *state, int fd, struct wsi_address *peer);
    /** Begin to connect; it is done when it becomes writable. @param from (nullable) the
     * address of its own end. @return the descriptor. */
    int (*connect)(void *state, const struct wsi_address *to,
                   const struct wsi_address *from);
    /** Make one ready that somebody else made. */
    int (*adopt)(void *state, int fd);
    /** The error that waits in it, 0 for none. */
    int (*error)(void *state, int fd);
    /** End the direction of sending. */
    int (*shutdown)(void *state, int fd);
    void (*close)(void *state, int fd, bool reset);
    /** The listener of a Unix path is gone. */
    void (*remove_path)(void *state, const char *path);
};

extern const struct wsi_sockets wsi_sockets_kernel;

/** The address of a descriptor's own end; of length 0 when there is none to be had. */
void wsi_socket_local(struct wsi_loop *loop, struct wsi_address *out, int fd);
/** For who holds a descriptor of a loop and no stream. */
void wsi_socket_close(struct wsi_loop *loop, int fd);

#endif
