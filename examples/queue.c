/* SPDX-License-Identifier: MIT */
/*
 * queue [URL]: a program with a loop of its own. Lines from the standard input go to all
 * who are connected to /talk, and what they say is printed. All of it happens on this
 * thread, so nothing needs a lock; at the end of the input it stops.
 */
#include <poll.h>
#include <stdio.h>
#include <unistd.h>

#include <wsock/wsock.h>

static void on_open(wsock_conn *conn, void *user)
{
    wsock_room *room = user;

    wsock_room_join(room, conn);
}

static void on_message(wsock_conn *conn, int type, const void *data, size_t len,
                       void *user)
{
    (void)type;
    (void)user;
    printf("%llu: %.*s\n", (unsigned long long)wsock_conn_id(conn), (int)len,
           (const char *)data);
    fflush(stdout);
}

/* @return false at the end of the input. */
static int turn(wsock_queue *queue, wsock_room *room)
{
    struct pollfd ready[] = {{.fd = STDIN_FILENO, .events = POLLIN},
                             {.fd = wsock_queue_fd(queue), .events = POLLIN}};
    char line[1000];
    ssize_t n;

    /* Armed, the descriptor tells; if something waits already, it need not. */
    poll(ready, 2, wsock_queue_arm(queue) == 0 ? -1 : 0);
    wsock_queue_dispatch(queue, 0, 0); /* handlers run in here */
    if (ready[0].revents == 0)
        return 1;
    n = read(STDIN_FILENO, line, sizeof line);
    if (n > 0)
        wsock_room_broadcast(room, WSOCK_TEXT, line, (size_t)n);
    return n > 0;
}

int main(int argc, char **argv)
{
    wsock_runtime *runtime = NULL;
    wsock_queue *queue = NULL;
    wsock_server *server = NULL;
    wsock_endpoint *talk = NULL;
    wsock_room *room = NULL;
    char url[256];
    int r = wsock_runtime_new(&runtime);

    if (r == 0)
        r = wsock_runtime_queue(runtime, &queue);
    if (r == 0)
        r = wsock_server_new(runtime, &server);
    if (r == 0)
        r = wsock_server_set_queue(server, queue); /* before its endpoints */
    if (r == 0)
        r = wsock_server_room(server, &room, "talk");
    if (r == 0)
        r = wsock_server_endpoint(server, &talk, "/talk");
    if (r == 0)
        r = wsock_endpoint_on_open(talk, on_open, room, NULL);
    if (r == 0)
        r = wsock_endpoint_on_message(talk, on_message, NULL, NULL);
    if (r == 0)
        r = wsock_server_listen(server, argc > 1 ? argv[1] : "ws://127.0.0.1:8080");
    if (r == 0 && wsock_server_url(server, url, sizeof url, 0) > 0) {
        printf("listening on %s\n", url);
        fflush(stdout);
        while (turn(queue, room))
            continue;
    }
    if (r < 0)
        fprintf(stderr, "queue: %s\n", wsock_server_error(server));
    wsock_endpoint_unref(talk);
    wsock_room_unref(room);
    wsock_server_free(server);
    wsock_runtime_free(runtime); /* dispatches what the end has to say */
    wsock_queue_unref(queue);
    return r < 0;
}
