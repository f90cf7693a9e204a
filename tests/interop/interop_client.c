/* SPDX-License-Identifier: MIT */
/*
 * libwsock as the client for the servers of the other languages: interop_client
 * [NAME=VALUE...] URL, the former being options of the client. The handlers note what
 * came, the main thread waits for it; the first surprise ends the program with status 1.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <wsock/wsock.h>

enum { LONGEST = 300000, ROW = 8, DEADLINE_S = 20 };

struct message {
    int type;
    size_t len;
    uint8_t data[LONGEST];
};

/* What the handlers saw of the connection in hand. */
struct seen {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    int opened;
    int messages;
    int pongs;
    int closed;
    size_t next;                  /* which of these on_message fills */
    struct message received[ROW]; /* more are never under way */
    wsock_close_info close;
    char text[256]; /* of the close, or the payload of the pong */
};

static struct seen seen = {.lock = PTHREAD_MUTEX_INITIALIZER,
                           .changed = PTHREAD_COND_INITIALIZER};

/* Whom to meet, and how. */
static struct {
    wsock_runtime *runtime;
    const char *url;
    char *const *options;
    char *const *options_end;
} peer;

static void note(int *counter)
{
    (*counter)++;
    pthread_cond_signal(&seen.changed);
    pthread_mutex_unlock(&seen.lock);
}

static void on_open(wsock_conn *conn, void *user)
{
    (void)conn;
    (void)user;
    pthread_mutex_lock(&seen.lock);
    note(&seen.opened);
}

static void on_message(wsock_conn *conn, int type, const void *data, size_t len,
                       void *user)
{
    (void)conn;
    (void)user;
    pthread_mutex_lock(&seen.lock);
    struct message *message = &seen.received[seen.next++ % ROW];
    message->type = type;
    message->len = len;
    if (len > 0 && len <= LONGEST)
        memcpy(message->data, data, len);
    note(&seen.messages);
}

static void on_pong(wsock_conn *conn, const void *data, size_t len, void *user)
{
    (void)conn;
    (void)user;
    pthread_mutex_lock(&seen.lock);
    snprintf(seen.text, sizeof seen.text, "%.*s", (int)len, (const char *)data);
    note(&seen.pongs);
}

static void on_close(wsock_conn *conn, const wsock_close_info *info, void *user)
{
    (void)conn;
    (void)user;
    pthread_mutex_lock(&seen.lock);
    seen.close = *info;
    snprintf(seen.text, sizeof seen.text, "%s", info->reason);
    if (info->cause != WSOCK_CAUSE_CLOSED)
        fprintf(stderr, "interop_client: %s\n", info->detail);
    note(&seen.closed);
}

static void die(const char *what, const char *how)
{
    fprintf(stderr, "interop_client: %s: %s\n", what, how);
    exit(1);
}

/* Waits until something was counted, takes it, and prints that it is well. */
static void wait_for(int *counter, const char *what)
{
    struct timespec until;
    int r = 0;

    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += DEADLINE_S;
    pthread_mutex_lock(&seen.lock);
    while (*counter == 0 && r == 0 && (seen.closed == 0 || counter == &seen.closed))
        r = pthread_cond_timedwait(&seen.changed, &seen.lock, &until);
    if (*counter == 0)
        die(what, r == 0 ? "the connection ended" : "nothing came");
    (*counter)--;
    pthread_mutex_unlock(&seen.lock);
    printf("ok %s\n", what);
}

static void check(int r, const char *what)
{
    if (r < 0)
        die(what, wsock_strerror(r));
}

/* The next message that was not expected yet. */
static void expect_message(int type, const void *data, size_t len, const char *what)
{
    static size_t expected;

    wait_for(&seen.messages, what);
    const struct message *message = &seen.received[expected++ % ROW];
    if (message->type != type || message->len != len ||
        memcmp(message->data, data, len) != 0)
        die(what, "another echo");
}

static void echo(wsock_conn *conn, int type, const void *data, size_t len)
{
    char what[64];

    snprintf(what, sizeof what, "%s of %zu bytes", type == WSOCK_TEXT ? "text" : "binary",
             len);
    check(wsock_conn_send(conn, type, data, len), what);
    expect_message(type, data, len, what);
}

/* Bytes that do not compress, the same in all languages. */
static void noise(uint8_t *out, size_t len)
{
    uint32_t state = 1;

    for (size_t i = 0; i < len; i++) {
        state = state * 1103515245 + 12345;
        out[i] = (uint8_t)(state >> 24);
    }
}

static void repeat(uint8_t *out, size_t period, size_t len)
{
    for (size_t i = period; i < len; i++)
        out[i] = out[i - period];
}

static void echo_texts(wsock_conn *conn)
{
    static const struct {
        const char *part;
        size_t count;
    } texts[] = {{"", 1},       {"a", 1},       {"Hello", 1}, {"κόσμε ☃ 😀 übung", 1},
                 {"€", 100000}, {"wsock ", 171}};
    static uint8_t text[LONGEST];

    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        const size_t period = strlen(texts[i].part), len = period * texts[i].count;

        memcpy(text, texts[i].part, period);
        repeat(text, period, len);
        echo(conn, WSOCK_TEXT, text, len);
    }
}

static void echo_binary(wsock_conn *conn)
{
    static const size_t sizes[] = {0, 1, 125, 126, 65535, 65536, LONGEST};
    static uint8_t block[LONGEST];

    for (size_t i = 0; i < LONGEST; i++)
        block[i] = (uint8_t)(i * 7 + 255);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        echo(conn, WSOCK_BINARY, block, sizes[i]);
    noise(block, 65536);
    echo(conn, WSOCK_BINARY, block, 65536);
    repeat(block, 10000, 60000);
    echo(conn, WSOCK_BINARY, block, 60000);
}

/* Without waiting in between. They differ in their number only, which is what a context
 * is for; their letters do not compress by themselves. */
static void echo_row(wsock_conn *conn)
{
    char texts[ROW][64];
    uint8_t letters[48];

    noise(letters, sizeof letters);
    for (int i = 0; i < ROW; i++) {
        int len = snprintf(texts[i], sizeof texts[i], "row %d ", i);

        for (size_t k = 0; k < sizeof letters; k++)
            texts[i][len++] = (char)('0' + letters[k] % 64);
        texts[i][len] = '\0';
        check(wsock_conn_send(conn, WSOCK_TEXT, texts[i], (size_t)len), "row");
    }
    for (int i = 0; i < ROW; i++)
        expect_message(WSOCK_TEXT, texts[i], strlen(texts[i]), texts[i]);
}

static void set_options(wsock_client *client)
{
    for (char *const *option = peer.options; option < peer.options_end; option++) {
        char name[64];
        const size_t len = strcspn(*option, "=");

        if ((*option)[len] == '\0' || len >= sizeof name)
            die(*option, "not NAME=VALUE");
        memcpy(name, *option, len);
        name[len] = '\0';
        check(wsock_client_set(client, name, *option + len + 1), *option);
    }
}

static wsock_client *new_client(const char *path)
{
    wsock_client *client = NULL;
    char url[256];

    snprintf(url, sizeof url, "%s%s", peer.url, path);
    check(wsock_runtime_client(peer.runtime, &client, url), url);
    set_options(client);
    check(wsock_client_on_open(client, on_open, NULL, NULL), "on_open");
    check(wsock_client_on_message(client, on_message, NULL, NULL), "on_message");
    check(wsock_client_on_pong(client, on_pong, NULL, NULL), "on_pong");
    check(wsock_client_on_close(client, on_close, NULL, NULL), "on_close");
    return client;
}

static wsock_conn *open_conn(const char *path)
{
    wsock_client *client = new_client(path);
    wsock_conn *conn = NULL;
    char extensions[160];

    check(wsock_client_connect(client, &conn), "connect");
    wsock_client_unref(client);
    wait_for(&seen.opened, path);
    check(wsock_conn_extensions(conn, extensions, sizeof extensions), "extensions");
    printf("agreed %s\n", extensions);
    return conn;
}

/* The peer's close frame; a peer may leave the reason out when it only answers. */
static void expect_close(wsock_conn *conn, int code, const char *reason, int began)
{
    wait_for(&seen.closed, began == WSOCK_BY_US ? "close" : "close by the server");
    if (seen.close.cause != WSOCK_CAUSE_CLOSED || seen.close.code != code ||
        seen.close.began != began)
        die("close", "another end");
    if (strcmp(seen.text, reason) != 0 && !(began == WSOCK_BY_US && *seen.text == '\0'))
        die("close", seen.text);
    wsock_conn_unref(conn);
}

static void run_path(const char *path, int code, const char *reason)
{
    wsock_conn *conn = open_conn(path);

    echo_texts(conn);
    echo_binary(conn);
    echo_row(conn);
    check(wsock_conn_send_ping(conn, "are you there", 13), "ping");
    wait_for(&seen.pongs, "ping");
    if (strcmp(seen.text, "are you there") != 0)
        die("pong", seen.text);
    check(wsock_conn_close(conn, code, reason), "close");
    expect_close(conn, code, reason, WSOCK_BY_US);
}

int main(int argc, char **argv)
{
    wsock_conn *conn;

    if (argc < 2) {
        fprintf(stderr, "usage: interop_client [NAME=VALUE...] URL\n");
        return 2;
    }
    peer.options = argv + 1;
    peer.options_end = argv + argc - 1;
    peer.url = argv[argc - 1];
    check(wsock_runtime_new(&peer.runtime), "runtime");
    run_path("/echo", 1000, "bye");
    run_path("/fragments", 4001, "see you ☃");

    conn = open_conn("/ping");
    expect_message(WSOCK_TEXT, "pong libwsock", 13, "answer to a ping");
    check(wsock_conn_close(conn, 1000, NULL), "close");
    expect_close(conn, 1000, "", WSOCK_BY_US);

    conn = open_conn("/close");
    expect_close(conn, 4001, "asked", WSOCK_BY_PEER);
    check(wsock_runtime_free(peer.runtime), "free");
    return 0;
}
