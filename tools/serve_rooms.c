/* SPDX-License-Identifier: MIT */
/*
 * The rooms of `wsock serve`: who is in which, and what reaches them in what order.
 *
 * A room here is one room of the library with members of both kinds. Something said in it
 * leaves in two encodings, one for each kind, under the room's lock: so all members see
 * one order, whatever they speak. Where only one kind is present, as in a room of raw
 * members, one broadcast does it.
 */
#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "serve_rooms.h"

/* ---- the registry ---- */

static int compare_rooms(const void *a, const void *b)
{
    return strcmp(room_name(a), room_name(b));
}

static int compare_identities(const void *a, const void *b)
{
    const struct session *x = a;
    const struct session *y = b;

    return strcmp(x->identity, y->identity);
}

const char *room_name(const struct room *room)
{
    return wsock_room_name(room->handle);
}

static void room_free(struct room *room)
{
    wsock_room_unref(room->handle);
    pthread_mutex_destroy(&room->lock);
    free(room);
}

/* A room of that name, not in the tree yet. The library judges the name. */
static int room_new(struct rooms *rooms, struct room **out, const char *name)
{
    struct room *room = calloc(1, sizeof *room);
    int r = WSOCK_ENOMEM;

    if (room == NULL)
        return r;
    r = wsock_server_room(rooms->server, &room->handle, name);
    if (r < 0) {
        free(room);
        return r;
    }
    room->rooms = rooms;
    room->refs = 1;
    pthread_mutex_init(&room->lock, NULL);
    *out = room;
    return 0;
}

int room_get(struct rooms *rooms, struct room **out, const char *name)
{
    struct room *made = NULL;
    struct room **found = NULL;
    const int r = room_new(rooms, &made, name);

    if (r < 0)
        return r;
    pthread_mutex_lock(&rooms->lock);
    found = tsearch(made, &rooms->room_tree, compare_rooms);
    if (found != NULL) {
        if (*found != made)
            (*found)->refs++;
        *out = *found;
    }
    pthread_mutex_unlock(&rooms->lock);
    if (found == NULL || *out != made)
        room_free(made);
    return found != NULL ? 0 : WSOCK_ENOMEM;
}

void room_drop(struct room *room)
{
    struct rooms *rooms = room != NULL ? room->rooms : NULL;
    int last = 0;

    if (room == NULL)
        return;
    pthread_mutex_lock(&rooms->lock);
    last = --room->refs == 0;
    if (last)
        tdelete(room, &rooms->room_tree, compare_rooms);
    pthread_mutex_unlock(&rooms->lock);
    if (last)
        room_free(room);
}

int session_claim(struct session *session, const char *wanted)
{
    struct rooms *rooms = session->rooms;
    const unsigned long long id = wsock_conn_id(session->conn);
    struct session **found = NULL;

    pthread_mutex_lock(&rooms->lock);
    for (int n = 1; n <= 10; n++) {
        if (wanted == NULL)
            snprintf(session->identity, sizeof session->identity, "guest-%llu", id);
        else if (n == 1)
            snprintf(session->identity, sizeof session->identity, "%s", wanted);
        else
            snprintf(session->identity, sizeof session->identity, "%s-%llu", wanted,
                     n < 10 ? (unsigned long long)n : id);
        found = tsearch(session, &rooms->identity_tree, compare_identities);
        if (found == NULL || *found == session)
            break;
        /* Somebody called himself guest-17: then one more suffix makes it ours. */
        wanted = wanted == NULL ? "guest" : wanted;
    }
    session->has_identity = found != NULL && *found == session;
    pthread_mutex_unlock(&rooms->lock);
    return session->has_identity ? 0 : WSOCK_ENOMEM;
}

static void session_free(void *user)
{
    struct session *session = user;

    wsock_timer_unref(session->timer);
    room_drop(session->home);
    free(session);
}

struct member *session_member(const struct session *session, const char *name)
{
    struct member *member = session->members;

    while (member != NULL && strcmp(room_name(member->room), name) != 0)
        member = member->next_of_session;
    return member;
}

/* ---- broadcasts, with the room's lock held ---- */

struct audience {
    int is_v1;
    const wsock_conn *except;
};

static int is_in_audience(wsock_conn *conn, void *user)
{
    const struct audience *audience = user;
    const struct session *session = wsock_conn_get_user(conn);

    return conn != audience->except && session->is_v1 == audience->is_v1;
}

static void broadcast_raw(struct room *room, int type, const void *data, size_t len)
{
    struct audience audience = {.is_v1 = 0};

    if (room->v1_count == 0)
        wsock_room_broadcast(room->handle, type, data, len);
    else if (room->raw_count > 0)
        wsock_room_broadcast_if(room->handle, is_in_audience, &audience, type, data, len);
}

static void broadcast_v1(struct room *room, wsock_conn *except, const char *text)
{
    struct audience audience = {.is_v1 = 1, .except = except};

    if (text == NULL || room->v1_count == 0)
        return;
    if (room->raw_count == 0)
        wsock_room_broadcast_except(room->handle, except, WSOCK_TEXT, text, strlen(text));
    else
        wsock_room_broadcast_if(room->handle, is_in_audience, &audience, WSOCK_TEXT, text,
                                strlen(text));
}

static void broadcast_presence(struct room *room, const struct session *who,
                               const char *field)
{
    char *text = NULL;

    if (room->v1_count == 0)
        return;
    text = v1_presence(room, field, who->identity);
    broadcast_v1(room, who->conn, text);
    free(text);
}

/* ---- members ---- */

static void link_member(struct member *member)
{
    struct room *room = member->room;

    member->next = room->members;
    if (room->members != NULL)
        room->members->prev = member;
    room->members = member;
    if (member->session->is_v1)
        room->v1_count++;
    else
        room->raw_count++;
}

static void unlink_member(struct member *member)
{
    struct room *room = member->room;

    if (member->prev != NULL)
        member->prev->next = member->next;
    else
        room->members = member->next;
    if (member->next != NULL)
        member->next->prev = member->prev;
    if (member->session->is_v1)
        room->v1_count--;
    else
        room->raw_count--;
}

int room_join(struct room *room, struct session *session, const json_t *id)
{
    struct member *member = calloc(1, sizeof *member);
    int r = 0;

    if (member == NULL)
        return WSOCK_ENOMEM;
    *member = (struct member){.room = room, .session = session};
    pthread_mutex_lock(&room->lock);
    r = wsock_room_join(room->handle, session->conn);
    if (r == 0) {
        link_member(member);
        /* Before anything can be said in the room, and so before all that it will hear.
         */
        if (session->is_v1)
            v1_send_joined(session, room, id);
        broadcast_presence(room, session, "joined");
    }
    pthread_mutex_unlock(&room->lock);
    if (r < 0) {
        free(member);
        return r;
    }
    pthread_mutex_lock(&room->rooms->lock);
    room->refs++;
    pthread_mutex_unlock(&room->rooms->lock);
    member->next_of_session = session->members;
    session->members = member;
    return 0;
}

void room_leave(struct member *member)
{
    struct room *room = member->room;
    struct session *session = member->session;
    struct member **link = &session->members;

    pthread_mutex_lock(&room->lock);
    unlink_member(member);
    wsock_room_leave(room->handle, session->conn);
    broadcast_presence(room, session, "left");
    pthread_mutex_unlock(&room->lock);
    while (*link != member)
        link = &(*link)->next_of_session;
    *link = member->next_of_session;
    free(member);
    room_drop(room);
}

void room_publish(struct room *room, const struct session *from, const struct post *post)
{
    char *text = NULL;
    size_t v1_count = 0;

    pthread_mutex_lock(&room->lock);
    v1_count = room->v1_count;
    pthread_mutex_unlock(&room->lock);
    if (v1_count > 0)
        text = v1_msg(room, from->identity, post);
    pthread_mutex_lock(&room->lock);
    /* The first such member came in between: rare, so it may be encoded here. */
    if (text == NULL && room->v1_count > 0)
        text = v1_msg(room, from->identity, post);
    broadcast_raw(room, post->raw_type, post->raw, post->raw_len);
    broadcast_v1(room, NULL, text);
    pthread_mutex_unlock(&room->lock);
    free(text);
}

/* ---- handlers ---- */

static void raw_message(struct session *session, int type, const void *data, size_t len)
{
    const struct post post = {
        .event = "message",
        .raw_type = type,
        .raw = data,
        .raw_len = len,
    };

    /* There is no way to tell a raw member, and to drop what it says would be worse. */
    if (wsock_room_may_publish(session->home->handle, session->conn) == WSOCK_ERATE)
        wsock_conn_close(session->conn, 1008, "more than max_publish_rate");
    else
        room_publish(session->home, session, &post);
}

static void on_message(wsock_conn *conn, int type, const void *data, size_t len,
                       void *user)
{
    struct session *session = wsock_conn_get_user(conn);

    (void)user;
    if (session->is_v1)
        v1_message(session, type, data, len);
    else
        raw_message(session, type, data, len);
}

/* A raw member may say who it is in the query: /rooms/lobby?name=Ann. */
static void raw_open(struct session *session)
{
    const char *name = wsock_request_query(wsock_conn_request(session->conn), "name");
    int r = 0;

    if (name != NULL && !name_is_good(name, strlen(name)))
        name = NULL;
    r = session_claim(session, name);
    if (r == 0)
        r = room_join(session->home, session, NULL);
    if (r < 0)
        wsock_conn_close(session->conn, 1011, wsock_strerror(r));
}

static void on_open(wsock_conn *conn, void *user)
{
    struct session *session = wsock_conn_get_user(conn);

    (void)user;
    session->conn = conn;
    if (session->is_v1)
        v1_open(session);
    else
        raw_open(session);
}

static void on_close(wsock_conn *conn, const wsock_close_info *info, void *user)
{
    struct session *session = wsock_conn_get_user(conn);
    struct rooms *rooms = session->rooms;

    (void)info;
    (void)user;
    if (session->timer != NULL)
        wsock_timer_stop(session->timer);
    for (struct member *member = session->members, *next; member != NULL; member = next) {
        next = member->next_of_session;
        room_leave(member);
    }
    pthread_mutex_lock(&rooms->lock);
    if (session->has_identity)
        tdelete(session, &rooms->identity_tree, compare_identities);
    session->has_identity = 0;
    pthread_mutex_unlock(&rooms->lock);
}

static void refuse(wsock_request *request, int code)
{
    if (code == WSOCK_EINVAL)
        wsock_request_reject(
            request, 400,
            "no name for a room: 1 to 255 bytes, words divided by single "
            "dots, without '*', '>' and control characters\n");
    else
        wsock_request_reject(request, 503, wsock_strerror(code));
}

static void on_request(wsock_request *request, void *user)
{
    struct rooms *rooms = user;
    const char *name = wsock_request_param(request, "name");
    const int is_v1 = wsock_request_offers(request, SUBPROTOCOL);
    struct session *session = NULL;
    int r = WSOCK_ENOMEM;

    if (name == NULL && !is_v1) {
        wsock_request_reject(request, 400,
                             "/rooms needs the subprotocol " SUBPROTOCOL
                             "; without it connect to /rooms/NAME\n");
        return;
    }
    session = calloc(1, sizeof *session);
    if (session != NULL) {
        session->rooms = rooms;
        session->is_v1 = is_v1;
        r = name != NULL ? room_get(rooms, &session->home, name) : 0;
    }
    if (r == 0)
        r = wsock_request_set_user(request, session, session_free);
    if (r < 0) {
        if (session != NULL)
            session_free(session);
        refuse(request, r);
        return;
    }
    wsock_request_accept(request, is_v1 ? SUBPROTOCOL : NULL);
}

static int add_endpoint(struct rooms *rooms, const char *pattern)
{
    wsock_endpoint *endpoint = NULL;
    int r = wsock_server_endpoint(rooms->server, &endpoint, pattern);

    if (r == 0)
        r = wsock_endpoint_on_request(endpoint, on_request, rooms, NULL);
    if (r == 0)
        r = wsock_endpoint_on_open(endpoint, on_open, NULL, NULL);
    if (r == 0)
        r = wsock_endpoint_on_message(endpoint, on_message, NULL, NULL);
    if (r == 0)
        r = wsock_endpoint_on_close(endpoint, on_close, NULL, NULL);
    wsock_endpoint_unref(endpoint);
    return r;
}

int rooms_new(struct rooms **out, wsock_runtime *runtime, wsock_server *server,
              int64_t heartbeat_ms)
{
    struct rooms *rooms = calloc(1, sizeof *rooms);
    int r = 0;

    if (rooms == NULL)
        return WSOCK_ENOMEM;
    rooms->runtime = runtime;
    rooms->server = server;
    rooms->heartbeat_ms = heartbeat_ms;
    pthread_mutex_init(&rooms->lock, NULL);
    json_object_seed(0); /* while there is one thread */
    *out = rooms;
    r = add_endpoint(rooms, "/rooms");
    return r == 0 ? add_endpoint(rooms, "/rooms/{name}") : r;
}

void rooms_free(struct rooms *rooms)
{
    if (rooms == NULL)
        return;
    pthread_mutex_destroy(&rooms->lock);
    free(rooms);
}
