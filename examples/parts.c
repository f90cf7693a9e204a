/* SPDX-License-Identifier: MIT */
/*
 * Large messages in parts: parts FILE [URL]. A connection to /download gets the file as
 * one binary message that is read as it leaves, however large it is; of one to /upload
 * the bytes of each message are counted as they come, and told when it ends. Neither is
 * ever in memory as a whole.
 */
#include <stdio.h>
#include <stdlib.h>

#include <wsock/wsock.h>

enum { PART = 16 * 1024 };

/* ---- /download ---- */

struct download {
    FILE *file;
    size_t len; /* of what was read and not appended yet */
    char part[PART];
};

static void forget_download(void *user)
{
    struct download *download = user;

    fclose(download->file);
    free(download);
}

/* Append until there is no room, which on_drain will tell, or no more to read. */
static void go_on(wsock_conn *conn, void *user)
{
    struct download *download = wsock_conn_get_user(conn);
    int r = 0;

    (void)user;
    while (download != NULL && r == 0) {
        if (download->len == 0)
            download->len = fread(download->part, 1, PART, download->file);
        if (download->len == 0)
            break;
        r = wsock_conn_send_append(conn, download->part, download->len);
        if (r == 0)
            download->len = 0;
    }
    if (r == WSOCK_EAGAIN || r == WSOCK_ECLOSED)
        return;
    if (download == NULL || r < 0 || ferror(download->file))
        wsock_conn_close(conn, 1011, "the file cannot be read");
    else if (wsock_conn_send_end(conn) == 0)
        wsock_conn_close(conn, 1000, "");
}

static void on_open(wsock_conn *conn, void *user)
{
    struct download *download = calloc(1, sizeof *download);

    if (download != NULL)
        download->file = fopen(user, "rb");
    if (download == NULL || download->file == NULL) {
        free(download);
        wsock_conn_close(conn, 1011, "the file cannot be read");
        return;
    }
    wsock_conn_set_user(conn, download, forget_download);
    if (wsock_conn_send_begin(conn, WSOCK_BINARY) == 0)
        go_on(conn, NULL);
}

/* ---- /upload ---- */

static void on_part(wsock_conn *conn, int type, const void *data, size_t len, int flags,
                    void *user)
{
    unsigned long long *count = wsock_conn_get_user(conn);
    char text[64];

    (void)type;
    (void)data;
    (void)user;
    if (count == NULL) {
        count = calloc(1, sizeof *count);
        if (count == NULL || wsock_conn_set_user(conn, count, free) < 0) {
            free(count);
            wsock_conn_reset(conn);
            return;
        }
    }
    *count = (flags & WSOCK_PART_FIRST ? 0 : *count) + len;
    if (flags & WSOCK_PART_LAST) {
        int n = snprintf(text, sizeof text, "%llu bytes", *count);

        wsock_conn_send(conn, WSOCK_TEXT, text, (size_t)n);
    }
}

/* ---- both ---- */

static int set_up(wsock_server *server, char *file, const char *url)
{
    wsock_endpoint *download = NULL, *upload = NULL;
    int r = wsock_server_endpoint(server, &download, "/download");

    if (r == 0)
        r = wsock_endpoint_on_open(download, on_open, file, NULL);
    if (r == 0)
        r = wsock_endpoint_on_drain(download, go_on, NULL, NULL);
    if (r == 0)
        r = wsock_server_endpoint(server, &upload, "/upload");
    if (r == 0)
        r = wsock_endpoint_on_part(upload, on_part, NULL, NULL);
    /* Both limits count whole messages, and here one may be anything. */
    if (r == 0)
        r = wsock_endpoint_set(upload, "max_message_bytes", "off");
    if (r == 0)
        r = wsock_endpoint_set(upload, "max_fragments", "off");
    if (r == 0)
        r = wsock_server_listen(server, url);
    wsock_endpoint_unref(download);
    wsock_endpoint_unref(upload);
    return r;
}

int main(int argc, char **argv)
{
    wsock_runtime *runtime = NULL;
    wsock_server *server = NULL;
    char url[256];
    int r;

    if (argc < 2) {
        fprintf(stderr, "usage: parts FILE [URL]\n");
        return 2;
    }
    r = wsock_runtime_new(&runtime);
    if (r == 0)
        r = wsock_server_new(runtime, &server);
    if (r == 0)
        r = set_up(server, argv[1], argc > 2 ? argv[2] : "ws://127.0.0.1:8080");
    if (r == 0 && wsock_server_url(server, url, sizeof url, 0) > 0) {
        printf("listening on %s\n", url);
        fflush(stdout);
        r = wsock_runtime_run(runtime, WSOCK_RUN_SIGNALS);
    }
    if (r < 0)
        fprintf(stderr, "parts: %s\n", wsock_server_error(server));
    wsock_server_free(server);
    wsock_runtime_free(runtime);
    return r < 0;
}
