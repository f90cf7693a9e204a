/* SPDX-License-Identifier: MIT */
/*
 * Addresses, their text, and how a listening socket comes to be.
 *
 * SO_REUSEPORT and a port in use: two sockets that both set the option before bind()
 * share a port, whoever made them, so a second server would start without a word and take
 * half of the connections. The first socket therefore binds without it, which fails when
 * the port is in use, and sets it afterwards, which admits those that join.
 */
#include "io/address.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <wsock/error.h>

/* The union's member of a family. The storage is aligned for all of them. */
static struct sockaddr_in *v4(struct wsi_address *a)
{
    return (struct sockaddr_in *)(void *)&a->u;
}

static struct sockaddr_in6 *v6(struct wsi_address *a)
{
    return (struct sockaddr_in6 *)(void *)&a->u;
}

static const struct sockaddr_in *const_v4(const struct wsi_address *a)
{
    return (const struct sockaddr_in *)(const void *)&a->u;
}

static const struct sockaddr_in6 *const_v6(const struct wsi_address *a)
{
    return (const struct sockaddr_in6 *)(const void *)&a->u;
}

/* ---- text ---- */

static void unix_text(const struct wsi_address *address, char *out)
{
    const struct sockaddr_un *un = (const struct sockaddr_un *)(const void *)&address->u;
    const size_t start = offsetof(struct sockaddr_un, sun_path);
    size_t len = address->len > start ? address->len - start : 0;
    size_t n = 0;

    if (len > sizeof un->sun_path)
        len = sizeof un->sun_path;
    if (len > 0 && un->sun_path[0] != '\0')
        len = strnlen(un->sun_path, len);
    memcpy(out, "unix:", 5);
    n = 5;
    for (size_t i = 0; i < len; i++) {
        const char c = un->sun_path[i];

        /* An abstract name begins with NUL, by custom shown as '@'. The rest is what
         * somebody else chose, and may go to a log. */
        if (i == 0 && c == '\0')
            out[n++] = '@';
        else
            out[n++] = (char)((unsigned char)c < ' ' || c == 0x7f ? '?' : c);
    }
    out[n] = '\0';
}

static void v6_text(const struct sockaddr_in6 *in6, char *out)
{
    char host[INET6_ADDRSTRLEN] = "", scope[16] = "";

    inet_ntop(AF_INET6, &in6->sin6_addr, host, sizeof host);
    if (in6->sin6_scope_id != 0)
        snprintf(scope, sizeof scope, "%%%u", (unsigned)in6->sin6_scope_id);
    snprintf(out, WSI_ADDRESS_TEXT_MAX, "[%s%s]:%u", host, scope,
             (unsigned)ntohs(in6->sin6_port));
}

static void v4_text(const void *host_bytes, uint16_t port, char *out)
{
    char host[INET_ADDRSTRLEN] = "";

    inet_ntop(AF_INET, host_bytes, host, sizeof host);
    snprintf(out, WSI_ADDRESS_TEXT_MAX, "%s:%u", host, (unsigned)port);
}

const char *wsi_address_text(const struct wsi_address *address,
                             char out[WSI_ADDRESS_TEXT_MAX])
{
    const struct sockaddr_in6 *in6 = const_v6(address);

    switch (address->u.any.sa_family) {
    case AF_INET:
        v4_text(&const_v4(address)->sin_addr, wsi_address_port(address), out);
        break;
    case AF_INET6:
        if (IN6_IS_ADDR_V4MAPPED(&in6->sin6_addr))
            v4_text(&in6->sin6_addr.s6_addr[12], wsi_address_port(address), out);
        else
            v6_text(in6, out);
        break;
    case AF_UNIX:
        unix_text(address, out);
        break;
    default:
        snprintf(out, WSI_ADDRESS_TEXT_MAX, "%s", address->len == 0 ? "" : "?");
        break;
    }
    return out;
}

uint16_t wsi_address_port(const struct wsi_address *address)
{
    switch (address->u.any.sa_family) {
    case AF_INET:
        return ntohs(const_v4(address)->sin_port);
    case AF_INET6:
        return ntohs(const_v6(address)->sin6_port);
    default:
        return 0;
    }
}

void wsi_address_set_port(struct wsi_address *address, uint16_t port)
{
    if (address->u.any.sa_family == AF_INET)
        v4(address)->sin_port = htons(port);
    else if (address->u.any.sa_family == AF_INET6)
        v6(address)->sin6_port = htons(port);
}

/* ---- making ---- */

static void set_v4(struct wsi_address *out, struct in_addr addr, uint16_t port)
{
    memset(&out->u, 0, sizeof out->u);
    out->len = sizeof(struct sockaddr_in);
    v4(out)->sin_family = AF_INET;
    v4(out)->sin_addr = addr;
    v4(out)->sin_port = htons(port);
}

static void set_v6(struct wsi_address *out, struct in6_addr addr, uint32_t scope,
                   uint16_t port)
{
    memset(&out->u, 0, sizeof out->u);
    out->len = sizeof(struct sockaddr_in6);
    v6(out)->sin6_family = AF_INET6;
    v6(out)->sin6_addr = addr;
    v6(out)->sin6_scope_id = scope;
    v6(out)->sin6_port = htons(port);
}

/* The zone behind '%' (RFC 4007 section 11): an interface's name or number. */
static bool parse_scope(const char *text, uint32_t *scope)
{
    char *end;
    unsigned long number;

    *scope = if_nametoindex(text);
    if (*scope != 0)
        return true;
    if (text[0] < '0' || text[0] > '9')
        return false;
    number = strtoul(text, &end, 10);
    *scope = (uint32_t)number;
    return *end == '\0' && number <= UINT32_MAX;
}

bool wsi_address_numeric(struct wsi_address *out, const char *host, uint16_t port)
{
    char head[INET6_ADDRSTRLEN];
    const size_t len = strcspn(host, "%");
    struct in_addr addr4;
    struct in6_addr addr6;
    uint32_t scope = 0;

    if (inet_pton(AF_INET, host, &addr4) == 1) {
        set_v4(out, addr4, port);
        return true;
    }
    if (len >= sizeof head)
        return false;
    memcpy(head, host, len);
    head[len] = '\0';
    if (inet_pton(AF_INET6, head, &addr6) != 1)
        return false;
    if (host[len] == '%' && !parse_scope(host + len + 1, &scope))
        return false;
    set_v6(out, addr6, scope, port);
    return true;
}

int wsi_address_unix(struct wsi_address *out, const char *path)
{
    struct sockaddr_un *un = (struct sockaddr_un *)(void *)&out->u;
    const size_t len = strlen(path);

    if (len == 0 || len >= sizeof un->sun_path)
        return WSOCK_EINVAL;
    memset(&out->u, 0, sizeof out->u);
    un->sun_family = AF_UNIX;
    memcpy(un->sun_path, path, len + 1);
    out->len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len + 1);
    return 0;
}

void wsi_address_any(struct wsi_address *out, uint16_t port)
{
    const int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const struct in_addr any4 = {.s_addr = htonl(INADDR_ANY)};

    /* Any other failure is none of the family's and shows again when listening. */
    if (fd < 0 && errno == EAFNOSUPPORT)
        set_v4(out, any4, port);
    else
        set_v6(out, in6addr_any, 0, port);
    if (fd >= 0)
        close(fd);
}

bool wsi_address_is_any(const struct wsi_address *a)
{
    if (a->u.any.sa_family == AF_INET)
        return const_v4(a)->sin_addr.s_addr == htonl(INADDR_ANY);
    return a->u.any.sa_family == AF_INET6 &&
           IN6_IS_ADDR_UNSPECIFIED(&const_v6(a)->sin6_addr);
}

int wsi_address_local(struct wsi_address *out, int fd)
{
    struct wsi_address found = {.len = sizeof found.u};

    if (getsockname(fd, &found.u.any, &found.len) < 0)
        return wsi_error_from_errno(errno);
    *out = found;
    return 0;
}

int wsi_address_getaddrinfo(const char *host, uint16_t port, struct wsi_address *out,
                            size_t max, size_t *count)
{
    const struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    struct addrinfo *list = NULL;
    const int error = getaddrinfo(host, NULL, &hints, &list);
    size_t n = 0;

    if (error != 0)
        return error;
    for (const struct addrinfo *ai = list; ai != NULL && n < max; ai = ai->ai_next) {
        if (ai->ai_family != AF_INET && ai->ai_family != AF_INET6)
            continue;
        memset(&out[n], 0, sizeof out[n]);
        memcpy(&out[n].u, ai->ai_addr, ai->ai_addrlen);
        out[n].len = ai->ai_addrlen;
        wsi_address_set_port(&out[n], port);
        n++;
    }
    freeaddrinfo(list);
    *count = n;
    return n != 0 ? 0 : EAI_NONAME;
}

int wsi_address_lookup(struct wsi_address *out, size_t max, const char *host,
                       uint16_t port)
{
    size_t count;
    const int error = wsi_address_getaddrinfo(host, port, out, max, &count);

    if (error == EAI_MEMORY || (error == EAI_SYSTEM && errno == ENOMEM))
        return WSOCK_ENOMEM;
    return error != 0 ? WSOCK_ERESOLVE : (int)count;
}

/* ---- listening ---- */

/* Closes fd; errno stays that of the failure. */
static int fail(int fd)
{
    const int error = errno;

    if (fd >= 0)
        close(fd);
    errno = error;
    return wsi_error_from_errno(error);
}

static int set_option(int fd, int level, int name, int value)
{
    return setsockopt(fd, level, name, &value, sizeof value);
}

static int new_socket(int family, int *out)
{
    const int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return fail(fd);
    if (family != AF_UNIX && set_option(fd, SOL_SOCKET, SO_REUSEADDR, 1) < 0)
        return fail(fd);
    /* Off, whatever the system's default. bind() turns it on for all but "::" and mapped
     * addresses. */
    if (family == AF_INET6 && set_option(fd, IPPROTO_IPV6, IPV6_V6ONLY, 0) < 0)
        return fail(fd);
    *out = fd;
    return 0;
}

/* Whether the file at a Unix address is a socket that nobody listens on: then it is
 * removed. errno is EEXIST for a file of another kind, else EADDRINUSE. */
static bool remove_stale(const struct wsi_address *address)
{
    const struct sockaddr_un *un = (const struct sockaddr_un *)(const void *)&address->u;
    const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    struct stat before, now;
    bool stale = false;

    if (fd < 0)
        return false;
    if (lstat(un->sun_path, &before) == 0) {
        /* Looked at twice, for another server may have replaced it in the meantime. */
        stale = S_ISSOCK(before.st_mode) &&
                connect(fd, &address->u.any, address->len) < 0 && errno == ECONNREFUSED &&
                lstat(un->sun_path, &now) == 0 && now.st_ino == before.st_ino &&
                now.st_dev == before.st_dev && unlink(un->sun_path) == 0;
        errno = S_ISSOCK(before.st_mode) ? EADDRINUSE : EEXIST;
    }
    if (!stale) {
        fail(fd);
        return false;
    }
    close(fd);
    return true;
}

int wsi_listen(const struct wsi_address *address, int backlog, bool shareable, int *out)
{
    const int family = address->u.any.sa_family;
    int fd = -1;
    int r = new_socket(family, &fd);

    if (r < 0)
        return r;
    r = bind(fd, &address->u.any, address->len);
    if (r < 0 && errno == EADDRINUSE && family == AF_UNIX && remove_stale(address))
        r = bind(fd, &address->u.any, address->len);
    if (r < 0) {
        r = fail(fd);
        if (errno == ENOENT) /* no such directory */
            return WSOCK_ESYSTEM;
        return errno == EEXIST ? WSOCK_EADDRINUSE : r;
    }
    if (shareable && family != AF_UNIX && set_option(fd, SOL_SOCKET, SO_REUSEPORT, 1) < 0)
        return fail(fd);
    if (listen(fd, backlog) < 0)
        return fail(fd);
    *out = fd;
    return 0;
}

int wsi_listen_given(int given, int backlog, int *out)
{
    const int fd = fcntl(given, F_DUPFD_CLOEXEC, 0);
    int flags;

    if (fd < 0)
        return wsi_error_from_errno(errno);
    flags = fcntl(fd, F_GETFL);
    if (flags < 0 || listen(fd, backlog) < 0 ||
        fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
        return fail(fd);
    *out = fd;
    return 0;
}

int wsi_connected_given(int given, struct wsi_address *peer, int *out)
{
    struct wsi_address found = {.len = sizeof found.u};
    socklen_t len = sizeof(int);
    int type = 0, fd;

    if (getpeername(given, &found.u.any, &found.len) < 0 ||
        getsockopt(given, SOL_SOCKET, SO_TYPE, &type, &len) < 0)
        return WSOCK_EINVAL;
    if (type != SOCK_STREAM) {
        errno = EPROTOTYPE;
        return WSOCK_EINVAL;
    }
    fd = fcntl(given, F_DUPFD_CLOEXEC, 0);
    if (fd < 0)
        return wsi_error_from_errno(errno);
    *peer = found;
    *out = fd;
    return 0;
}

int wsi_listen_join(int first_fd, int backlog, int *out)
{
    struct wsi_address address;
    int fd = -1;
    int r = wsi_address_local(&address, first_fd);

    if (r == 0)
        r = new_socket(address.u.any.sa_family, &fd);
    if (r < 0)
        return r;
    if (set_option(fd, SOL_SOCKET, SO_REUSEPORT, 1) < 0 ||
        bind(fd, &address.u.any, address.len) < 0 || listen(fd, backlog) < 0)
        return fail(fd);
    *out = fd;
    return 0;
}

int wsi_error_from_errno(int error)
{
    switch (error) {
    case ENOMEM:
    case ENOBUFS:
        return WSOCK_ENOMEM;
    case EADDRINUSE:
        return WSOCK_EADDRINUSE;
    case EADDRNOTAVAIL:
        return WSOCK_EADDRNOTAVAIL;
    case EACCES:
    case EPERM:
        return WSOCK_EACCESS;
    case EMFILE:
    case ENFILE:
        return WSOCK_EMFILE;
    case ECONNREFUSED:
    case ENOENT: /* a Unix socket that is not there */
        return WSOCK_ECONNREFUSED;
    case ECONNRESET:
    case EPIPE:
        return WSOCK_ECONNRESET;
    case ENETUNREACH:
    case EHOSTUNREACH:
    case ENETDOWN:
    case EHOSTDOWN:
        return WSOCK_EUNREACHABLE;
    case ETIMEDOUT:
        return WSOCK_ETIMEDOUT;
    default:
        return WSOCK_ESYSTEM;
    }
}
