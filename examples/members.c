/* SPDX-License-Identifier: MIT */
/*
 * Rooms for those who are let in: members [URL]. A bearer token (RFC 6750) tells who
 * somebody is; in /rooms/NAME they hear each other. A room tells who comes and goes,
 * however many connections somebody has; "@bob hello" is for Bob's alone.
 *
 * A room keeps its last lines. Who comes is told "* at EPOCH-OFFSET", from where each
 * line of the room is one further (those with a star are for one alone). Who comes back
 * with what that has become, to /rooms/NAME?since=EPOCH-OFFSET, hears what it missed
 * first.
 */
#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <wsock/wsock.h>

enum { LINE_MAX_BYTES = 1000 };

/* A real program keeps hashes of tokens, and compares those. */
static const struct {
    const char *name, *token;
} users[] = {{"ann", "ann-token"}, {"bob", "bob-token"}};

static void forget_room(void *room)
{
    wsock_room_unref(room);
}

/* Where a client says that it was: nowhere yet, unless it says so. @return 0 or 1 */
static int get_position(const wsock_request *request, wsock_position *out)
{
    const char *since = wsock_request_query(request, "since");
    char *end;

    *out = (wsock_position){.size = sizeof *out};
    if (since == NULL)
        return 1;
    out->epoch = strtoull(since, &end, 16);
    if (*end != '-' || !isdigit((unsigned char)end[1]))
        return 0;
    out->offset = strtoull(end + 1, &end, 10);
    return *end == '\0';
}

static void on_request(wsock_request *request, void *user)
{
    const char *name = NULL;
    wsock_position since;

    (void)user;
    for (size_t i = 0; i < sizeof users / sizeof *users; i++) {
        if (wsock_secret_equal(wsock_request_bearer_token(request), users[i].token))
            name = users[i].name;
    }
    if (name == NULL) {
        wsock_request_add_header(request, "WWW-Authenticate", "Bearer");
        wsock_request_reject(request, 401, "say who you are\n");
    } else if (!get_position(request, &since)) {
        wsock_request_reject(request, 400, "no such position\n");
    } else if (wsock_request_set_identity(request, name) < 0) {
        wsock_request_reject(request, 500, NULL);
    } else {
        wsock_request_accept(request, NULL);
    }
}

/* ---- who is there ---- */

static void tell_room(wsock_room *room, const wsock_member *member, const char *what)
{
    char line[LINE_MAX_BYTES];
    const int len = snprintf(line, sizeof line, "%s %s", member->identity, what);

    wsock_room_broadcast(room, WSOCK_TEXT, line, (size_t)len);
}

static void on_join(wsock_room *room, const wsock_member *member, void *user)
{
    (void)user;
    if (member->first)
        tell_room(room, member, "comes");
}

static void on_leave(wsock_room *room, const wsock_member *member, void *user)
{
    (void)user;
    if (member->last)
        tell_room(room, member, "goes");
}

static int add_name(const wsock_person *person, void *user)
{
    char *line = user;
    const size_t len = strlen(line);

    snprintf(line + len, LINE_MAX_BYTES - len, " %s", person->identity);
    return 0;
}

static void welcome(wsock_conn *conn, wsock_room *room, const wsock_joined *joined)
{
    char line[LINE_MAX_BYTES];
    int len = snprintf(line, sizeof line, "* at %016" PRIx64 "-%" PRIu64 "%s",
                       joined->epoch, joined->offset - joined->count,
                       joined->recovered ? "" : ", what was before is gone");

    wsock_conn_send(conn, WSOCK_TEXT, line, (size_t)len);
    strcpy(line, "* here:");
    wsock_room_people(room, add_name, line);
    wsock_conn_send(conn, WSOCK_TEXT, line, strlen(line));
}

/* ---- connections ---- */

static int get_room(wsock_server *server, wsock_room **out, const char *name)
{
    static const char *const options[] = {"history_messages", "50", "history_time", "1h",
                                          NULL};
    int r = wsock_server_make_room(server, out, name, options);

    if (r == 0)
        r = wsock_room_on_join(*out, on_join, NULL, NULL);
    if (r == 0)
        r = wsock_room_on_leave(*out, on_leave, NULL, NULL);
    return r;
}

static void on_open(wsock_conn *conn, void *user)
{
    const wsock_request *request = wsock_conn_request(conn);
    wsock_joined joined = {.size = sizeof joined};
    wsock_position since;
    wsock_room *room = NULL;
    int r = get_room(user, &room, wsock_request_param(request, "room"));

    get_position(request, &since);
    if (r == 0)
        r = wsock_room_join_since(room, conn, &since, &joined);
    if (r < 0) {
        wsock_room_unref(room);
        wsock_conn_close(conn, 1008, wsock_strerror(r));
        return;
    }
    wsock_conn_set_user(conn, room, forget_room);
    welcome(conn, room, &joined);
}

/* "@bob hello" */
static void say_to_one(wsock_conn *conn, wsock_room *room, const char *data, int len)
{
    const char *space = memchr(data, ' ', (size_t)len);
    const int name_len = space != NULL ? (int)(space - data) - 1 : len - 1;
    char name[LINE_MAX_BYTES + 1], line[2 * LINE_MAX_BYTES];

    snprintf(name, sizeof name, "%.*s", name_len, data + 1);
    snprintf(line, sizeof line, "%s to you:%.*s", wsock_conn_identity(conn),
             len - 1 - name_len, data + 1 + name_len);
    if (wsock_room_send_to(room, name, WSOCK_TEXT, line, strlen(line)) > 0)
        return;
    snprintf(line, sizeof line, "* %s does not hear you", name);
    wsock_conn_send(conn, WSOCK_TEXT, line, strlen(line));
}

static void on_message(wsock_conn *conn, int type, const void *data, size_t len,
                       void *user)
{
    wsock_room *room = wsock_conn_get_user(conn);
    char line[2 * LINE_MAX_BYTES];

    (void)user;
    if (room == NULL) /* it could not join, and is being closed */
        return;
    if (type != WSOCK_TEXT || memchr(data, '\0', len) != NULL) {
        wsock_conn_close(conn, 1003, "lines of text only");
    } else if (len > 0 && *(const char *)data == '@') {
        say_to_one(conn, room, data, (int)len);
    } else {
        snprintf(line, sizeof line, "%s: %.*s", wsock_conn_identity(conn), (int)len,
                 (const char *)data);
        wsock_room_broadcast(room, WSOCK_TEXT, line, strlen(line));
    }
}

static int set_up(wsock_server *server, const char *url)
{
    wsock_endpoint *rooms = NULL;
    int r = wsock_server_endpoint(server, &rooms, "/rooms/{room}");

    if (r == 0)
        r = wsock_endpoint_on_request(rooms, on_request, NULL, NULL);
    if (r == 0)
        r = wsock_endpoint_on_open(rooms, on_open, server, NULL);
    if (r == 0)
        r = wsock_endpoint_on_message(rooms, on_message, NULL, NULL);
    if (r == 0)
        r = wsock_endpoint_set_int64(rooms, "max_message_bytes", LINE_MAX_BYTES);
    if (r == 0)
        r = wsock_server_listen(server, url);
    wsock_endpoint_unref(rooms);
    return r;
}

int main(int argc, char **argv)
{
    wsock_runtime *runtime = NULL;
    wsock_server *server = NULL;
    char url[256];
    int r = wsock_runtime_new(&runtime);

    if (r == 0)
        r = wsock_server_new(runtime, &server);
    if (r == 0)
        r = set_up(server, argc > 1 ? argv[1] : "ws://127.0.0.1:8080");
    if (r == 0 && wsock_server_url(server, url, sizeof url, 0) > 0) {
        printf("listening on %s\n", url);
        fflush(stdout);
        r = wsock_runtime_run(runtime, WSOCK_RUN_SIGNALS);
    }
    if (r < 0)
        fprintf(stderr, "members: %s\n", wsock_server_error(server));
    wsock_server_free(server);
    wsock_runtime_free(runtime);
    return r < 0;
}
