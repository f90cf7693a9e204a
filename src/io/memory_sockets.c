/* SPDX-License-Identifier: MIT */
/*
 * Names, connections and bytes of the network in memory.
 *
 * What is sent becomes a packet in the peer's list, with the moment of its arrival; so do
 * FIN and RST, behind it. Who sends to an end that has gone learns so once its last
 * packet has arrived; until then the bytes go nowhere. Connections end as over Unix
 * sockets: unread bytes at a close make it a reset.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <wsock/error.h>

#include "core/alloc.h"
#include "io/memory_internal.h"

enum {
    FIRST_FD = 1 << 30, /* no kernel comes that far */
    FIRST_PORT = 49152, /* RFC 6335 section 6: what nobody registers */
    LAST_PORT = 65535,
};

struct name {
    struct wsi_list node;
    uint32_t number;
    char host[];
};

static void lock(struct wsi_memory *memory)
{
    pthread_mutex_lock(&memory->lock);
}

static void unlock(struct wsi_memory *memory)
{
    pthread_mutex_unlock(&memory->lock);
}

/* ---- endpoints ---- */

struct wsi_endpoint *wsi_memory_find(struct wsi_memory *memory, int fd)
{
    const size_t index = (size_t)fd - FIRST_FD;

    return fd >= FIRST_FD && index < memory->table_used ? memory->table[index] : NULL;
}

/* Numbers are given out once: whoever keeps one too long finds nothing. */
static bool take_fd(struct wsi_memory *memory, struct wsi_endpoint *end)
{
    if (memory->table_used == memory->table_size) {
        const size_t size = memory->table_size != 0 ? 2 * memory->table_size : 16;
        struct wsi_endpoint **table = wsi_realloc(memory->table, size * sizeof *table);

        if (table == NULL)
            return false;
        memory->table = table;
        memory->table_size = size;
    }
    end->fd = FIRST_FD + (int)memory->table_used;
    memory->table[memory->table_used++] = end;
    return true;
}

static struct wsi_endpoint *new_endpoint(struct wsi_memory *memory)
{
    struct wsi_endpoint *end = wsi_zalloc(sizeof *end);

    if (end == NULL || !take_fd(memory, end)) {
        wsi_free(end);
        return NULL;
    }
    wsi_list_append(&memory->sockets, &end->node);
    wsi_list_init(&end->due);
    wsi_list_init(&end->waiting);
    wsi_list_init(&end->backlog);
    wsi_list_init(&end->incoming);
    return end;
}

static void drop(struct wsi_endpoint *end, struct wsi_packet *packet)
{
    end->incoming_bytes -= packet->len - packet->taken;
    wsi_list_remove(&packet->node);
    wsi_free(packet);
}

static void free_endpoint(struct wsi_memory *memory, struct wsi_endpoint *end)
{
    if (end == NULL)
        return;
    memory->table[end->fd - FIRST_FD] = NULL;
    WSI_LIST_EACH(node, &end->incoming)
    {
        drop(end, WSI_CONTAINER_OF(node, struct wsi_packet, node));
    }
    wsi_list_remove(&end->node);
    wsi_list_remove(&end->due);
    wsi_list_remove(&end->waiting);
    wsi_free(end);
}

/* ---- packets ---- */

static bool is_here(const struct wsi_memory *memory, const struct wsi_endpoint *end,
                    const struct wsi_packet *packet)
{
    return !memory->held && !end->held && packet->at_us <= wsi_memory_now_us(memory);
}

static struct wsi_packet *last_of(const struct wsi_endpoint *end)
{
    return wsi_list_is_empty(&end->incoming)
               ? NULL
               : WSI_CONTAINER_OF(end->incoming.prev, struct wsi_packet, node);
}

static struct wsi_packet *new_packet(const struct wsi_memory *memory,
                                     const struct wsi_endpoint *to, size_t len)
{
    struct wsi_packet *packet = wsi_alloc(sizeof *packet + len);
    const struct wsi_packet *before = last_of(to);

    if (packet == NULL)
        return NULL;
    *packet = (struct wsi_packet){.at_us = wsi_memory_now_us(memory) + memory->delay_us,
                                  .len = len};
    /* None overtakes another, though the delay became shorter. */
    if (before != NULL && before->at_us > packet->at_us)
        packet->at_us = before->at_us;
    return packet;
}

static void put(struct wsi_endpoint *to, struct wsi_packet *packet)
{
    wsi_list_append(&to->incoming, &packet->node);
    to->incoming_bytes += packet->len;
    to->hangup_reported = false;
}

void wsi_memory_reset(struct wsi_memory *memory, struct wsi_endpoint *end)
{
    WSI_LIST_EACH(node, &end->incoming)
    {
        struct wsi_packet *packet = WSI_CONTAINER_OF(node, struct wsi_packet, node);

        if (!is_here(memory, end, packet))
            drop(end, packet);
    }
    end->error = ECONNRESET;
    end->hangup_reported = false;
}

/* The last that it hears of its peer. */
static void put_end(struct wsi_memory *memory, struct wsi_endpoint *to, bool resets)
{
    struct wsi_packet *packet = new_packet(memory, to, 0);

    if (packet == NULL) {
        wsi_memory_reset(memory, to);
        return;
    }
    packet->resets = resets;
    put(to, packet);
}

struct wsi_packet *wsi_memory_arrived(const struct wsi_memory *memory,
                                      const struct wsi_endpoint *end)
{
    struct wsi_packet *packet;

    if (wsi_list_is_empty(&end->incoming))
        return NULL;
    packet = WSI_CONTAINER_OF(end->incoming.next, struct wsi_packet, node);
    return is_here(memory, end, packet) ? packet : NULL;
}

bool wsi_memory_is_reset(const struct wsi_memory *memory, const struct wsi_endpoint *end)
{
    const struct wsi_packet *packet = wsi_memory_arrived(memory, end);

    return packet != NULL ? packet->resets : end->error != 0;
}

bool wsi_memory_is_broken(const struct wsi_memory *memory, const struct wsi_endpoint *end)
{
    const struct wsi_packet *last = last_of(end);

    return end->error != 0 ||
           (end->peer == NULL && (last == NULL || is_here(memory, end, last)));
}

static void close_endpoint(struct wsi_memory *memory, struct wsi_endpoint *end,
                           bool harshly)
{
    struct wsi_endpoint *peer = end->peer;
    struct wsi_list *node;

    while ((node = wsi_list_pop(&end->backlog)) != NULL)
        close_endpoint(memory, WSI_CONTAINER_OF(node, struct wsi_endpoint, waiting),
                       true);
    if (peer != NULL && end->error == 0) {
        harshly |= end->incoming_bytes != 0;
        if (harshly || !end->fin_sent)
            put_end(memory, peer, harshly);
    }
    if (peer != NULL)
        peer->peer = NULL;
    free_endpoint(memory, end);
}

/* ---- names and addresses ---- */

static const struct name *name_of(struct wsi_memory *memory, const char *host)
{
    const size_t len = strlen(host);
    uint32_t count = 0;
    struct name *name;

    WSI_LIST_EACH(node, &memory->names)
    {
        name = WSI_CONTAINER_OF(node, struct name, node);
        if (strcmp(name->host, host) == 0)
            return name;
        count++;
    }
    name = wsi_alloc(sizeof *name + len + 1);
    if (name == NULL)
        return NULL;
    memcpy(name->host, host, len + 1);
    name->number = count + 1;
    wsi_list_append(&memory->names, &name->node);
    return name;
}

void wsi_memory_init_names(struct wsi_memory *memory)
{
    wsi_list_init(&memory->names);
    wsi_address_numeric(&memory->source, "127.0.0.1", 0);
    memory->next_port = FIRST_PORT;
}

void wsi_memory_free_names(struct wsi_memory *memory)
{
    struct wsi_list *node;

    while ((node = wsi_list_pop(&memory->names)) != NULL)
        wsi_free(WSI_CONTAINER_OF(node, struct name, node));
}

/* The first name is 10.0.0.1, the second 10.0.0.2. "*" is for listeners. */
static bool memory_lookup(void *state, const char *host, uint16_t port,
                          struct wsi_address *out)
{
    struct wsi_memory *memory = state;
    char text[sizeof "10.255.255.255"];
    const struct name *name;

    if (strcmp(host, "localhost") == 0)
        return wsi_address_numeric(out, "127.0.0.1", port);
    if (strcmp(host, "*") == 0)
        return wsi_address_numeric(out, "::", port);
    lock(memory);
    name = name_of(memory, host);
    unlock(memory);
    if (name == NULL)
        return false;
    snprintf(text, sizeof text, "10.%u.%u.%u", name->number >> 16 & 255,
             name->number >> 8 & 255, name->number & 255);
    return wsi_address_numeric(out, text, port);
}

static bool is_same(const struct wsi_address *a, const struct wsi_address *b)
{
    return a->len == b->len && memcmp(&a->u, &b->u, a->len) == 0;
}

static uint16_t take_port(struct wsi_memory *memory)
{
    const uint16_t port = memory->next_port;

    memory->next_port = port == LAST_PORT ? FIRST_PORT : (uint16_t)(port + 1);
    return port;
}

/* ---- connections ---- */

static struct wsi_endpoint *listener_at(struct wsi_memory *memory,
                                        const struct wsi_address *address)
{
    struct wsi_endpoint *found = NULL;

    WSI_LIST_EACH(node, &memory->sockets)
    {
        struct wsi_endpoint *end = WSI_CONTAINER_OF(node, struct wsi_endpoint, node);

        if (!end->listens)
            continue;
        if (is_same(&end->local, address))
            return end;
        if (wsi_address_is_any(&end->local) &&
            wsi_address_port(&end->local) == wsi_address_port(address))
            found = end;
    }
    return found;
}

static int memory_listen(void *state, const struct wsi_address *address, int backlog,
                         bool shareable, int *fd)
{
    struct wsi_memory *memory = state;
    struct wsi_address wanted = *address;
    struct wsi_endpoint *end = NULL;
    int r = WSOCK_EADDRINUSE;

    (void)backlog, (void)shareable;
    lock(memory);
    if (wanted.u.any.sa_family != AF_UNIX && wsi_address_port(&wanted) == 0)
        wsi_address_set_port(&wanted, take_port(memory));
    if (listener_at(memory, &wanted) == NULL) {
        end = new_endpoint(memory);
        r = WSOCK_ENOMEM;
    }
    if (end != NULL) {
        end->local = wanted;
        end->listens = true;
        *fd = end->fd;
        r = 0;
    }
    unlock(memory);
    return r;
}

static int memory_local(void *state, struct wsi_address *out, int fd)
{
    struct wsi_memory *memory = state;

    lock(memory);
    *out = wsi_memory_find(memory, fd)->local;
    unlock(memory);
    return 0;
}

static void join(struct wsi_memory *memory, struct wsi_endpoint *ours,
                 struct wsi_endpoint *theirs, const struct wsi_address *to,
                 const struct wsi_address *from)
{
    ours->remote = theirs->local = *to;
    if (to->u.any.sa_family == AF_UNIX) {
        theirs->remote = (struct wsi_address){.len = sizeof(sa_family_t)};
        theirs->remote.u.any.sa_family = AF_UNIX;
    } else {
        theirs->remote = from != NULL ? *from : memory->source;
        if (from == NULL || wsi_address_port(from) == 0)
            wsi_address_set_port(&theirs->remote, take_port(memory));
    }
    ours->local = theirs->remote;
    ours->peer = theirs;
    theirs->peer = ours;
    theirs->ready_us = wsi_memory_now_us(memory) + memory->delay_us;
    ours->ready_us = theirs->ready_us + memory->delay_us;
}

static int memory_connect(void *state, const struct wsi_address *to,
                          const struct wsi_address *from)
{
    struct wsi_memory *memory = state;
    struct wsi_endpoint *listener = listener_at(memory, to);
    struct wsi_endpoint *ours, *theirs = NULL;

    if (listener == NULL)
        return -ECONNREFUSED;
    ours = new_endpoint(memory);
    if (ours != NULL)
        theirs = new_endpoint(memory);
    if (theirs == NULL) {
        free_endpoint(memory, ours);
        return -ENOBUFS;
    }
    join(memory, ours, theirs, to, from);
    wsi_list_append(&listener->backlog, &theirs->waiting);
    return ours->fd;
}

struct wsi_endpoint *wsi_memory_waiting(const struct wsi_memory *memory,
                                        const struct wsi_endpoint *listener)
{
    struct wsi_endpoint *end;

    if (memory->held || wsi_list_is_empty(&listener->backlog))
        return NULL;
    end = WSI_CONTAINER_OF(listener->backlog.next, struct wsi_endpoint, waiting);
    return end->ready_us <= wsi_memory_now_us(memory) ? end : NULL;
}

static int memory_accept(void *state, int fd, struct wsi_address *peer)
{
    struct wsi_memory *memory = state;
    struct wsi_endpoint *end = wsi_memory_waiting(memory, wsi_memory_find(memory, fd));

    if (end == NULL)
        return -EAGAIN;
    wsi_list_remove(&end->waiting);
    *peer = end->remote;
    return end->fd;
}

static int memory_adopt(void *state, int fd)
{
    return wsi_memory_find(state, fd) != NULL ? 0 : -EBADF;
}

/* Who finds that out while it connects was refused. */
static int memory_error(void *state, int fd)
{
    struct wsi_memory *memory = state;
    const struct wsi_endpoint *end = wsi_memory_find(memory, fd);

    return wsi_memory_is_broken(memory, end) ? ECONNRESET : 0;
}

static int memory_shutdown(void *state, int fd)
{
    struct wsi_memory *memory = state;
    struct wsi_endpoint *end = wsi_memory_find(memory, fd);

    if (wsi_memory_is_broken(memory, end))
        return -ENOTCONN;
    end->fin_sent = true;
    if (end->peer != NULL)
        put_end(memory, end->peer, false);
    return 0;
}

static void memory_close(void *state, int fd, bool harshly)
{
    struct wsi_memory *memory = state;

    lock(memory);
    close_endpoint(memory, wsi_memory_find(memory, fd), harshly);
    unlock(memory);
}

static void memory_remove_path(void *state, const char *path)
{
    (void)state, (void)path; /* no file was made */
}

const struct wsi_sockets wsi_memory_sockets = {
    .lookup = memory_lookup,
    .listen = memory_listen,
    .local = memory_local,
    .accept = memory_accept,
    .connect = memory_connect,
    .adopt = memory_adopt,
    .error = memory_error,
    .shutdown = memory_shutdown,
    .close = memory_close,
    .remove_path = memory_remove_path,
};

/* ---- bytes ---- */

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

ssize_t wsi_memory_receive(void *state, struct wsi_stream *stream, void *buf, size_t len)
{
    struct wsi_memory *memory = state;
    struct wsi_endpoint *end = wsi_memory_find(memory, stream->fd);
    struct wsi_packet *packet = wsi_memory_arrived(memory, end);
    size_t filled = 0;

    if (wsi_memory_is_reset(memory, end))
        return -ECONNRESET;
    if (packet == NULL)
        return -EAGAIN;
    if (memory->chunk != 0)
        len = least(len, memory->chunk);
    while (packet != NULL && packet->len != 0 && filled < len) {
        const size_t n = least(packet->len - packet->taken, len - filled);

        memcpy((uint8_t *)buf + filled, packet->data + packet->taken, n);
        filled += n;
        packet->taken += n;
        end->incoming_bytes -= n;
        if (packet->taken < packet->len)
            break;
        drop(end, packet);
        packet = wsi_memory_arrived(memory, end);
    }
    end->fin_read |= filled == 0;
    return (ssize_t)filled;
}

size_t wsi_memory_room(const struct wsi_memory *memory, const struct wsi_endpoint *end)
{
    const size_t used = end->peer != NULL ? end->peer->incoming_bytes : 0;

    return used < memory->room ? memory->room - used : 0;
}

static void fill(struct wsi_packet *packet, const struct iovec *iov, int count)
{
    size_t filled = 0;

    for (int i = 0; i < count && filled < packet->len; i++) {
        const size_t n = least(iov[i].iov_len, packet->len - filled);

        memcpy(packet->data + filled, iov[i].iov_base, n);
        filled += n;
    }
}

ssize_t wsi_memory_send_pieces(void *state, struct wsi_stream *stream,
                               const struct iovec *iov, int count)
{
    struct wsi_memory *memory = state;
    struct wsi_endpoint *end = wsi_memory_find(memory, stream->fd);
    struct wsi_packet *packet;
    size_t len = 0;

    if (wsi_memory_is_broken(memory, end))
        return end->error != 0 ? -end->error : -EPIPE;
    for (int i = 0; i < count; i++)
        len += iov[i].iov_len;
    len = least(len, wsi_memory_room(memory, end));
    if (memory->chunk != 0)
        len = least(len, memory->chunk);
    if (len == 0)
        return -EAGAIN;
    if (end->peer == NULL)
        return (ssize_t)len; /* lost, as it will hear */
    packet = new_packet(memory, end->peer, len);
    if (packet == NULL)
        return -ENOBUFS;
    fill(packet, iov, count);
    put(end->peer, packet);
    return (ssize_t)len;
}

ssize_t wsi_memory_send(void *state, struct wsi_stream *stream, const void *data,
                        size_t len)
{
    const struct iovec only = {.iov_base = (void *)data, .iov_len = len};

    return wsi_memory_send_pieces(state, stream, &only, 1);
}
