/* SPDX-License-Identifier: MIT */
/* The scripted backend. */
#include "test.h"

#include "script_backend.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "io/loop_internal.h"

static void append(struct script_bytes *bytes, const void *data, size_t len)
{
    if (bytes->capacity - bytes->len < len) {
        bytes->capacity = 2 * bytes->capacity + len + 64;
        bytes->data = realloc(bytes->data, bytes->capacity);
        assert_non_null(bytes->data);
    }
    if (len != 0)
        memcpy(bytes->data + bytes->len, data, len);
    bytes->len += len;
}

static struct script *script_of_loop(struct wsi_loop *loop)
{
    return WSI_CONTAINER_OF(loop->backend, struct script, backend);
}

static struct script_peer *peer_of(struct script *script, const struct wsi_stream *stream)
{
    for (size_t i = 0; i < script->peers; i++)
        if (script->peer[i]->stream == stream)
            return script->peer[i];
    return NULL;
}

static int script_open(struct wsi_loop *loop, void **state)
{
    struct script *script = script_of_loop(loop);

    script->loop = loop;
    *state = script;
    return 0;
}

static void script_fini(struct wsi_loop *loop, void *state)
{
    (void)loop;
    ((struct script *)state)->loop = NULL;
}

static unsigned readiness(struct script_peer *peer)
{
    unsigned ready = 0;

    if (peer->stream == NULL)
        return 0;
    if (peer->received < peer->input.len || peer->eof ||
        peer->received >= peer->read_resets)
        ready |= WSI_WATCH_READ;
    if (peer->write_room != 0 || peer->sent >= peer->write_resets)
        ready |= WSI_WATCH_WRITE;
    ready &= peer->watch;
    if (peer->hangup && (peer->watch != 0 || !peer->hangup_reported))
        ready |= WSI_READY_HANGUP;
    return ready;
}

static bool something_is_ready(struct script *script)
{
    for (size_t i = 0; i < script->peers; i++)
        if (readiness(script->peer[i]) != 0)
            return true;
    return false;
}

static void script_wait(void *state, int timeout_ms)
{
    struct script *script = state;
    unsigned ready[SCRIPT_PEERS_MAX];
    const size_t peers = script->peers;

    script->waits++;
    if (timeout_ms != 0 && !script->woken && !something_is_ready(script)) {
        if (timeout_ms < 0)
            fail_msg("the loop would sleep for ever");
        script->now_us += (uint64_t)timeout_ms * 1000;
    }
    script->woken = false;
    wsi_loop_woke(script->loop);
    /* The batch is fixed before the first callback, as with epoll. */
    for (size_t i = 0; i < peers; i++)
        ready[i] = readiness(script->peer[i]);
    for (size_t i = 0; i < peers; i++) {
        struct script_peer *peer = script->peer[i];

        if (ready[i] & WSI_READY_HANGUP)
            peer->hangup_reported = true;
        if (ready[i] != 0)
            wsi_loop_stream_ready(peer->stream, ready[i]);
    }
}

static void script_wake(void *state)
{
    ((struct script *)state)->woken = true;
}

static int script_add_stream(void *state, struct wsi_stream *stream, unsigned watch)
{
    struct script *script = state;

    for (size_t i = 0; i < script->peers; i++) {
        struct script_peer *peer = script->peer[i];

        if (peer->fd == stream->fd && peer->stream == NULL) {
            peer->stream = stream;
            peer->watch = watch;
            return 0;
        }
    }
    fail_msg("no such scripted socket");
    return -1;
}

static void script_watch_stream(void *state, struct wsi_stream *stream, unsigned watch)
{
    struct script_peer *peer = peer_of(state, stream);

    peer->watches++;
    peer->watch = watch;
    peer->hangup_reported = false;
}

static void script_remove_stream(void *state, struct wsi_stream *stream)
{
    struct script_peer *peer = peer_of(state, stream);

    peer->stream = NULL;
    peer->fd = -1;
}

static int script_add_listener(void *state, struct wsi_listener *listener)
{
    (void)state;
    (void)listener;
    return 0;
}

static int script_watch_listener(void *state, struct wsi_listener *listener, bool on)
{
    (void)state;
    (void)listener;
    (void)on;
    return 0;
}

static void script_remove_listener(void *state, struct wsi_listener *listener)
{
    (void)state;
    (void)listener;
}

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

static ssize_t script_receive(void *state, struct wsi_stream *stream, void *buf,
                              size_t len)
{
    struct script_peer *peer = peer_of(state, stream);

    peer->receives++;
    if (peer->read_again != 0) {
        peer->read_again--;
        return -EAGAIN;
    }
    if (peer->received >= peer->read_resets)
        return -ECONNRESET;
    len = least(len, peer->input.len - peer->received);
    len = least(len, peer->read_max);
    len = least(len, peer->read_resets - peer->received);
    if (len == 0)
        return peer->eof ? 0 : -EAGAIN;
    memcpy(buf, peer->input.data + peer->received, len);
    peer->received += len;
    return (ssize_t)len;
}

static ssize_t script_send_pieces(void *state, struct wsi_stream *stream,
                                  const struct iovec *iov, int count)
{
    struct script_peer *peer = peer_of(state, stream);
    size_t left = peer->write_max;
    size_t n = 0;

    peer->sends++;
    peer->pieces += (unsigned)count;
    assert_true(count > 0);
    if (peer->sent >= peer->write_resets)
        return -EPIPE;
    if (peer->write_room == 0)
        return -EAGAIN;
    left = least(left, peer->write_room);
    left = least(left, peer->write_resets - peer->sent);
    for (int i = 0; i < count && left > 0; i++) {
        const size_t len = least(iov[i].iov_len, left);

        assert_true(iov[i].iov_len > 0);
        append(&peer->output, iov[i].iov_base, len);
        left -= len;
        n += len;
    }
    if (peer->write_room != SCRIPT_UNLIMITED)
        peer->write_room -= n;
    peer->sent += n;
    return (ssize_t)n;
}

static ssize_t script_send(void *state, struct wsi_stream *stream, const void *data,
                           size_t len)
{
    const struct iovec only = {.iov_base = (void *)data, .iov_len = len};

    return script_send_pieces(state, stream, &only, 1);
}

static uint64_t script_now_us(void *user)
{
    return ((struct script *)user)->now_us;
}

void script_init(struct script *script)
{
    *script = (struct script){
        .now_us = 1000000,
        .backend =
            {
                .name = "script",
                .sockets = &wsi_sockets_kernel,
                .init = script_open,
                .fini = script_fini,
                .wait = script_wait,
                .wake = script_wake,
                .add_stream = script_add_stream,
                .watch_stream = script_watch_stream,
                .remove_stream = script_remove_stream,
                .add_listener = script_add_listener,
                .watch_listener = script_watch_listener,
                .remove_listener = script_remove_listener,
                .receive = script_receive,
                .send = script_send,
                .send_pieces = script_send_pieces,
            },
        .clock = {.now_us = script_now_us, .user = script},
    };
}

int script_loop_try(struct script *script, struct wsi_loop **out)
{
    script_init(script);
    return wsi_loop_new(out, &(struct wsi_loop_config){
                                 .backend = &script->backend,
                                 .clock = &script->clock,
                             });
}

struct wsi_loop *script_loop_new(struct script *script)
{
    struct wsi_loop *loop = NULL;

    assert_int_equal(script_loop_try(script, &loop), 0);
    return loop;
}

int script_peer_init(struct script *script, struct script_peer *peer)
{
    int fd[2];

    assert_int_equal(
        socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fd), 0);
    assert_true(script->peers < SCRIPT_PEERS_MAX);
    *peer = (struct script_peer){
        .read_max = SCRIPT_UNLIMITED,
        .read_resets = SCRIPT_UNLIMITED,
        .write_max = SCRIPT_UNLIMITED,
        .write_room = SCRIPT_UNLIMITED,
        .write_resets = SCRIPT_UNLIMITED,
        .fd = fd[0],
        .far_fd = fd[1],
    };
    script->peer[script->peers++] = peer;
    return fd[0];
}

void script_peer_fini(struct script *script, struct script_peer *peer)
{
    assert_null(peer->stream);
    for (size_t i = 0; i < script->peers; i++)
        if (script->peer[i] == peer) {
            script->peer[i] = script->peer[--script->peers];
            break;
        }
    close(peer->far_fd);
    free(peer->input.data);
    free(peer->output.data);
}

void script_feed(struct script_peer *peer, const void *data, size_t len)
{
    append(&peer->input, data, len);
}

bool script_fin(struct script_peer *peer)
{
    char byte;
    const ssize_t n = recv(peer->far_fd, &byte, 1, MSG_DONTWAIT | MSG_PEEK);

    return n == 0 || (n < 0 && errno == ECONNRESET);
}

void script_sleep(struct script *script, uint64_t ms)
{
    script->now_us += ms * 1000;
}

bool script_is_busy(struct script *script)
{
    struct wsi_loop *loop = script->loop;

    return something_is_ready(script) || loop->dirty.first != NULL ||
           !wsi_mailbox_is_empty(&loop->mailbox);
}
