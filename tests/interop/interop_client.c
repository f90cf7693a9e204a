/* SPDX-License-Identifier: MIT */
/*
 * libwsock as the client for the servers of the other languages: interop_client URL. The
 * handlers note what came, the main thread waits for it; the first surprise ends the
 * program with status 1.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <wsock/wsock.h>

enum { LONGEST = 300000, DEADLINE_S = 20 };

/* What the handlers saw of the connection in hand. */
struct seen {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    int opened;
    int messages;
    int pongs;
    int closed;
    int type;
    size_t len;
    uint8_t data[LONGEST];
    wsock_close_info close;
    char text[256]; /* of the close, or the payload of the pong */
};

static struct seen seen = {.lock = PTHREAD_MUTEX_INITIALIZER,
                           .changed = PTHREAD_COND_INITIALIZER};

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
    seen.type = type;
    seen.len = len;
    if (len > 0 && len <= LONGEST)
        memcpy(seen.data, data, len);
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

static void expect_message(int type, const void *data, size_t len, const char *what)
{
    wait_for(&seen.messages, what);
    if (seen.type != type || seen.len != len || memcmp(seen.data, data, len) != 0)
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

static void echo_all(wsock_conn *conn)
{
    static const char *const texts[] = {"", "Hello", "κόσμε ☃ 😀 übung"};
    static const size_t sizes[] = {0, 1, 125, 126, 65535, 65536, LONGEST};
    static uint8_t block[LONGEST];

    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        echo(conn, WSOCK_TEXT, texts[i], strlen(texts[i]));
    for (size_t i = 0; i < LONGEST; i++)
        block[i] = (uint8_t)(i * 7 + 255);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        echo(conn, WSOCK_BINARY, block, sizes[i]);
    for (size_t i = 0; i + 3 <= LONGEST; i += 3)
        memcpy(block + i, "€", 3);
    echo(conn, WSOCK_TEXT, block, LONGEST);
}

static wsock_client *new_client(wsock_runtime *runtime, const char *base,
                                const char *path)
{
    wsock_client *client = NULL;
    char url[256];

    snprintf(url, sizeof url, "%s%s", base, path);
    check(wsock_runtime_client(runtime, &client, url), url);
    check(wsock_client_on_open(client, on_open, NULL, NULL), "on_open");
    check(wsock_client_on_message(client, on_message, NULL, NULL), "on_message");
    check(wsock_client_on_pong(client, on_pong, NULL, NULL), "on_pong");
    check(wsock_client_on_close(client, on_close, NULL, NULL), "on_close");
    return client;
}

static wsock_conn *open_conn(wsock_runtime *runtime, const char *base, const char *path)
{
    wsock_client *client = new_client(runtime, base, path);
    wsock_conn *conn = NULL;

    check(wsock_client_connect(client, &conn), "connect");
    wsock_client_unref(client);
    wait_for(&seen.opened, path);
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

static void run_path(wsock_runtime *runtime, const char *base, const char *path, int code,
                     const char *reason)
{
    wsock_conn *conn = open_conn(runtime, base, path);

    echo_all(conn);
    check(wsock_conn_send_ping(conn, "are you there", 13), "ping");
    wait_for(&seen.pongs, "ping");
    if (strcmp(seen.text, "are you there") != 0)
        die("pong", seen.text);
    check(wsock_conn_close(conn, code, reason), "close");
    expect_close(conn, code, reason, WSOCK_BY_US);
}

int main(int argc, char **argv)
{
    wsock_runtime *runtime = NULL;

    if (argc != 2) {
        fprintf(stderr, "usage: interop_client URL\n");
        return 2;
    }
    check(wsock_runtime_new(&runtime), "runtime");
    run_path(runtime, argv[1], "/echo", 1000, "bye");
    run_path(runtime, argv[1], "/fragments", 4001, "see you ☃");

    wsock_conn *conn = open_conn(runtime, argv[1], "/ping");
    expect_message(WSOCK_TEXT, "pong libwsock", 13, "answer to a ping");
    check(wsock_conn_close(conn, 1000, NULL), "close");
    expect_close(conn, 1000, "", WSOCK_BY_US);

    conn = open_conn(runtime, argv[1], "/close");
    expect_close(conn, 4001, "asked", WSOCK_BY_PEER);
    check(wsock_runtime_free(runtime), "free");
    return 0;
}
