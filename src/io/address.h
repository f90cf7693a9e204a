/* SPDX-License-Identifier: MIT */
/* Socket addresses and listening sockets: TCP over IPv4 and IPv6, and Unix. */
#ifndef WSI_IO_ADDRESS_H
#define WSI_IO_ADDRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

struct wsi_address {
    socklen_t len;
    union {
        struct sockaddr any;
        struct sockaddr_storage storage;
    } u;
};

enum { WSI_ADDRESS_TEXT_MAX = 128 };

/** "127.0.0.1:80", "[::1]:80", "unix:/run/x.sock", "unix:" for an unnamed peer, "" for
 * length 0. A v4 address mapped into v6 reads as the v4 address it is. @return out. */
const char *wsi_address_text(const struct wsi_address *address,
                             char out[WSI_ADDRESS_TEXT_MAX]);

/** 0 for a Unix socket. */
uint16_t wsi_address_port(const struct wsi_address *address);
void wsi_address_set_port(struct wsi_address *address, uint16_t port);

/** From a numeric IPv4 or IPv6 address; false when it is a name. */
bool wsi_address_numeric(struct wsi_address *out, const char *host, uint16_t port);
/** @return 0; WSOCK_EINVAL when the path is too long. */
int wsi_address_unix(struct wsi_address *out, const char *path);

/** Every address of this machine: dual-stack v6, or v4 where there is no v6. */
void wsi_address_any(struct wsi_address *out, uint16_t port);

/** What wsi_address_any() makes, and its like of v4. */
bool wsi_address_is_any(const struct wsi_address *a);

/** Of a socket's own end. */
int wsi_address_local(struct wsi_address *out, int fd);

/**
 * getaddrinfo() for TCP: blocks, and reports its own codes.
 *
 * @param count (out) at most max.
 * @return 0, or a nonzero EAI_ code (EAI_SYSTEM: errno tells more).
 */
int wsi_address_getaddrinfo(const char *host, uint16_t port, struct wsi_address *out,
                            size_t max, size_t *count);

/** Look a name up now, in this thread (for listeners; connections use resolve.h).
 *  @return the number of addresses, at most max; WSOCK_ERESOLVE; WSOCK_ENOMEM. */
int wsi_address_lookup(struct wsi_address *out, size_t max, const char *host,
                       uint16_t port);

/**
 * Open a listening socket, nonblocking and close-on-exec. An address in use is an error:
 * the socket binds without SO_REUSEPORT. A Unix path whose socket nobody listens on any
 * more is replaced; any other file there is an error.
 *
 * @param shareable set SO_REUSEPORT after binding, so that wsi_listen_join() may follow.
 * @param fd (out, owned)
 * @return 0; WSOCK_EADDRINUSE, WSOCK_EADDRNOTAVAIL, WSOCK_EACCESS, WSOCK_EMFILE,
 * WSOCK_ESYSTEM (errno tells more).
 */
int wsi_listen(const struct wsi_address *address, int backlog, bool shareable, int *fd);

/**
 * Listen on a socket that somebody else made and bound, through a descriptor of our own.
 * It becomes nonblocking, for its maker too.
 *
 * @param fd (out, owned)
 * @return as wsi_listen().
 */
int wsi_listen_given(int given, int backlog, int *fd);

/**
 * A descriptor of our own for a socket that somebody else made and connected.
 *
 * @param peer (out) to whom.
 * @param fd   (out, owned)
 * @return 0; WSOCK_EINVAL for what is no connected stream socket; else as wsi_listen().
 * errno tells more.
 */
int wsi_connected_given(int given, struct wsi_address *peer, int *fd);

/** One more socket on the address of a shareable one. */
int wsi_listen_join(int first_fd, int backlog, int *fd);

/** The WSOCK_E* code for an errno of socket calls. */
int wsi_error_from_errno(int error);

#endif
