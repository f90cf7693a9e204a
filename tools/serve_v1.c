/* SPDX-License-Identifier: MIT */
/*
 * The frames of wsock.rooms.v1 that `wsock serve` speaks: hello, join, leave and pub come
 * in; welcome, joined, left, msg, presence and hb go out. docs/command.md lists the
 * fields.
 *
 * Everything that a member sends is bounded before it costs anything: the size of a
 * frame, its depth, the requests of a batch, the length of names, events and ids.
 *
 *     open --hello--> welcomed --join/leave/pub--> ...
 *       `-- handshake_timeout --> close 4408
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base64.h"
#include "serve_rooms.h"

/* ---- sending ---- */

/* Send a frame and drop it. Who asks but does not read the answers is cut off, because an
 * answer that went missing could never be made up for. */
static void send_frame(struct session *session, json_t *frame)
{
    char *text = frame != NULL ? json_dumps(frame, JSON_COMPACT) : NULL;
    int r = WSOCK_ENOMEM;

    json_decref(frame);
    if (text != NULL)
        r = wsock_conn_send(session->conn, WSOCK_TEXT, text, strlen(text));
    free(text);
    if (r == WSOCK_EAGAIN)
        wsock_conn_close(session->conn, CLOSE_NOT_READING, "answers are not read");
    else if (r < 0 && r != WSOCK_ECLOSED)
        wsock_conn_close(session->conn, 1011, wsock_strerror(r));
}

/* An answer: within {"re", "ok"} when the request had an id, else as a frame of its own.
 * Requests whose answer is only `true` are not answered without one. Takes `answer`. */
static void reply(struct session *session, const json_t *id, json_t *answer)
{
    if (id != NULL)
        send_frame(session, json_pack("{s:O, s:o}", "re", id, "ok", answer));
    else if (json_is_object(answer))
        send_frame(session, answer);
    else
        json_decref(answer);
}

static void reply_error(struct session *session, const json_t *id, const char *code,
                        const char *text, int retry)
{
    json_t *err = json_pack("{s:s, s:s, s:b}", "code", code, "text", text, "retry",
                            retry);

    send_frame(session, json_pack("{s:O?, s:o}", "re", id, "err", err));
}

/* ---- frames of rooms ---- */

static json_t *list_members(const struct room *room)
{
    json_t *list = json_array();

    for (const struct member *m = room->members; m != NULL; m = m->next)
        json_array_append_new(list, json_string(m->session->identity));
    return list;
}

void v1_send_joined(struct session *session, const struct room *room, const json_t *id)
{
    const size_t count = room->raw_count + room->v1_count;
    json_t *frame = json_pack("{s:s, s:s, s:I, s:b}", "type", "joined", "room",
                              room_name(room), "count", (json_int_t)count, "recovered",
                              0);

    if (count <= MEMBERS_LISTED)
        json_object_set_new(frame, "members", list_members(room));
    reply(session, id, frame);
}

char *v1_presence(const struct room *room, const char *field, const char *identity)
{
    const size_t count = room->raw_count + room->v1_count;
    json_t *frame = json_pack("{s:s, s:s, s:I}", "type", "presence", "room",
                              room_name(room), "count", (json_int_t)count);
    char *text = NULL;

    if (count <= MEMBERS_LISTED)
        json_object_set_new(frame, field, json_pack("[s]", identity));
    text = frame != NULL ? json_dumps(frame, JSON_COMPACT) : NULL;
    json_decref(frame);
    return text;
}

static json_int_t wall_clock_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    return (json_int_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* The data of a raw member's message, as the others get it. */
static json_t *data_of_raw(const struct post *post)
{
    json_t *object = NULL;
    char *text = NULL;

    if (post->raw_type == WSOCK_TEXT)
        return json_stringn(post->raw, post->raw_len);
    text = base64_encode(post->raw, post->raw_len);
    object = text != NULL ? json_pack("{s:s}", "b64", text) : NULL;
    free(text);
    return object;
}

char *v1_msg(const struct room *room, const char *from, const struct post *post)
{
    json_t *data = post->data != NULL ? json_incref(post->data) : data_of_raw(post);
    json_t *frame = NULL;
    char *text = NULL;

    if (data == NULL)
        return NULL;
    frame = json_pack("{s:s, s:s, s:s, s:o, s:s, s:I}", "type", "msg", "room",
                      room_name(room), "event", post->event, "data", data, "from", from,
                      "time", wall_clock_ms());
    text = frame != NULL ? json_dumps(frame, JSON_COMPACT) : NULL;
    json_decref(frame);
    return text;
}

/* ---- fields ---- */

int name_is_good(const char *name, size_t len)
{
    if (len == 0 || len > NAME_MAX_BYTES)
        return 0;
    for (size_t i = 0; i < len; i++) {
        if ((unsigned char)name[i] < 0x20 || name[i] == 0x7f)
            return 0;
    }
    return 1;
}

/* A string without NUL and of at most max bytes; NULL otherwise. */
static const char *short_string(const json_t *value, size_t max)
{
    const char *text = json_string_value(value);
    const size_t len = json_string_length(value);

    return text != NULL && len <= max && strlen(text) == len ? text : NULL;
}

/* The id of a request: a number or a short string. @return 0 when it is something else.
 */
static int take_id(const json_t *request, const json_t **id)
{
    *id = json_object_get(request, "id");
    return *id == NULL || json_is_integer(*id) || short_string(*id, ID_MAX_BYTES) != NULL;
}

/* The room a request is about: its field, or the room of the path. NULL: answered. */
static const char *take_room(struct session *session, const json_t *request,
                             const json_t *id)
{
    const json_t *field = json_object_get(request, "room");
    const char *name = short_string(field, 255);

    if (field == NULL && session->home != NULL)
        return room_name(session->home);
    if (name == NULL)
        reply_error(session, id, "bad_room", "room: the name of a room is needed", 0);
    return name;
}

/* ---- requests ---- */

static void on_heartbeat(wsock_timer *timer, uint64_t missed, void *user)
{
    static const char frame[] = "{\"type\":\"hb\"}";
    struct session *session = user;

    (void)timer;
    (void)missed;
    /* Whose backlog is full hears from the server anyway. */
    wsock_conn_send(session->conn, WSOCK_TEXT, frame, sizeof frame - 1);
}

static void on_hello_late(wsock_timer *timer, uint64_t missed, void *user)
{
    struct session *session = user;

    (void)timer;
    (void)missed;
    wsock_conn_close(session->conn, CLOSE_HELLO_LATE, "no hello came in time");
}

/* Replace the timer of a session. @return 0 or a negative code. */
static int set_timer(struct session *session, uint64_t first_ms, uint64_t every_ms,
                     wsock_timer_fn fn)
{
    if (session->timer != NULL)
        wsock_timer_stop(session->timer);
    wsock_timer_unref(session->timer);
    session->timer = NULL;
    return wsock_conn_timer(session->conn, &session->timer, first_ms, every_ms, fn,
                            session, NULL);
}

void v1_open(struct session *session)
{
    int64_t timeout_ms = 10000;
    int r = 0;

    /* The hello is the second half of the handshake. */
    wsock_server_get_int64(session->rooms->server, "handshake_timeout", &timeout_ms);
    r = set_timer(session, (uint64_t)timeout_ms, 0, on_hello_late);

    if (r < 0 && r != WSOCK_ECLOSED)
        wsock_conn_close(session->conn, 1011, wsock_strerror(r));
}

static void join(struct session *session, struct room *room, const json_t *id)
{
    const int r = room_join(room, session, id);

    if (r == WSOCK_EEXIST)
        reply_error(session, id, "already", "you are a member of this room", 0);
    else if (r == WSOCK_ETOOBIG)
        reply_error(session, id, "too_many", "you are in as many rooms as you may be", 0);
    else if (r < 0)
        reply_error(session, id, "failed", wsock_strerror(r), 1);
}

static void take_hello(struct session *session, const json_t *request, const json_t *id)
{
    const json_t *name = json_object_get(request, "name");
    const json_t *version = json_object_get(request, "v");
    const uint64_t heartbeat = (uint64_t)session->rooms->heartbeat_ms;
    int r = 0;

    if (session->has_identity) {
        reply_error(session, id, "already", "hello: you are welcome already", 0);
        return;
    }
    if (version != NULL && json_integer_value(version) != 1) {
        reply_error(session, id, "bad_version", "v: this server speaks version 1", 0);
        return;
    }
    if (name != NULL &&
        (short_string(name, NAME_MAX_BYTES) == NULL ||
         !name_is_good(json_string_value(name), json_string_length(name)))) {
        reply_error(session, id, "bad_name",
                    "name: 1 to 64 bytes of text without control characters", 0);
        return;
    }
    r = session_claim(session, json_string_value(name));
    if (r == 0)
        r = set_timer(session, heartbeat, heartbeat, on_heartbeat);
    if (r < 0) {
        wsock_conn_close(session->conn, 1011, wsock_strerror(r));
        return;
    }
    reply(session, id,
          json_pack("{s:s, s:i, s:s, s:I}", "type", "welcome", "v", 1, "identity",
                    session->identity, "heartbeat_ms", (json_int_t)heartbeat));
    if (session->home != NULL)
        join(session, session->home, NULL);
}

static void take_join(struct session *session, const json_t *request, const json_t *id)
{
    const char *name = take_room(session, request, id);
    struct room *room = NULL;
    int r = 0;

    if (name == NULL)
        return;
    r = room_get(session->rooms, &room, name);
    if (r == WSOCK_EINVAL)
        reply_error(
            session, id, "bad_room",
            "room: 1 to 255 bytes, words divided by single dots, without '*', '>' "
            "and control characters",
            0);
    else if (r < 0)
        reply_error(session, id, "failed", wsock_strerror(r), 1);
    else
        join(session, room, id);
    room_drop(room);
}

/* The seat a request is about. NULL: answered. */
static struct member *take_member(struct session *session, const json_t *request,
                                  const json_t *id)
{
    const char *name = take_room(session, request, id);
    struct member *member = name != NULL ? session_member(session, name) : NULL;

    if (name != NULL && member == NULL)
        reply_error(session, id, "not_member", "you are no member of this room", 0);
    return member;
}

static void take_leave(struct session *session, const json_t *request, const json_t *id)
{
    struct member *member = take_member(session, request, id);
    json_t *left = NULL;

    if (member == NULL)
        return;
    left = json_pack("{s:s, s:s, s:s}", "type", "left", "room", room_name(member->room),
                     "reason", "asked");
    room_leave(member);
    reply(session, id, left);
}

/* Binary is an object of the one field b64. @return 1 when it is; then *raw is what it
 * says, or NULL when that is no Base64. */
static int is_binary(const json_t *data, void **raw, size_t *len)
{
    const json_t *b64 = json_object_get(data, "b64");

    if (!json_is_string(b64) || json_object_size(data) != 1)
        return 0;
    *raw = base64_decode(json_string_value(b64), json_string_length(b64), len);
    return 1;
}

static void take_pub(struct session *session, const json_t *request, const json_t *id)
{
    const json_t *event = json_object_get(request, "event");
    json_t *data = json_object_get(request, "data");
    struct member *member = take_member(session, request, id);
    struct post post = {.event = "message", .data = data, .raw_type = WSOCK_TEXT};
    void *owned = NULL;

    if (member == NULL)
        return;
    if (wsock_room_may_publish(member->room->handle, session->conn) == WSOCK_ERATE) {
        reply_error(session, id, "rate", wsock_strerror(WSOCK_ERATE), 1);
        return;
    }
    if (event != NULL)
        post.event = short_string(event, EVENT_MAX_BYTES);
    if (post.event == NULL || data == NULL) {
        reply_error(
            session, id, "bad_frame",
            data == NULL ? "data: it is missing" : "event: at most 64 bytes of text", 0);
        return;
    }
    if (json_is_string(data)) {
        post.raw = json_string_value(data);
        post.raw_len = json_string_length(data);
    } else if (is_binary(data, &owned, &post.raw_len)) {
        post.raw_type = WSOCK_BINARY;
        post.raw = owned;
    } else {
        owned = json_dumps(data, JSON_COMPACT | JSON_ENCODE_ANY);
        post.raw_len = owned != NULL ? strlen(owned) : 0;
        post.raw = owned;
    }
    if (post.raw == NULL) {
        reply_error(session, id, "bad_frame", "data: b64 is no Base64", 0);
        return;
    }
    room_publish(member->room, session, &post);
    free(owned);
    reply(session, id, json_true());
}

/* ---- frames ---- */

static const struct {
    const char *type;
    void (*take)(struct session *session, const json_t *request, const json_t *id);
} requests[] = {
    {"hello", take_hello},
    {"join", take_join},
    {"leave", take_leave},
    {"pub", take_pub},
};

static void take_request(struct session *session, const json_t *request)
{
    const char *type = json_string_value(json_object_get(request, "type"));
    const json_t *id = NULL;

    if (!json_is_object(request) || type == NULL) {
        reply_error(session, NULL, "bad_frame", "a request is an object with a type", 0);
        return;
    }
    if (!take_id(request, &id)) {
        reply_error(session, NULL, "bad_frame",
                    "id: a whole number or at most 64 bytes of text", 0);
        return;
    }
    for (size_t i = 0; i < sizeof requests / sizeof requests[0]; i++) {
        if (strcmp(type, requests[i].type) != 0)
            continue;
        if (!session->has_identity && requests[i].take != take_hello)
            reply_error(session, id, "hello_first", "the first request must be hello", 0);
        else
            requests[i].take(session, request, id);
        return;
    }
    reply_error(session, id, "unknown_type",
                "this server knows hello, join, leave and pub", 0);
}

/* Whether brackets nest no deeper than JSON_MAX_DEPTH; looked at before parsing, because
 * the parser's own limit is far above what a message needs. */
static int is_shallow(const char *text, size_t len)
{
    int depth = 0;
    int in_string = 0;

    for (size_t i = 0; i < len; i++) {
        if (in_string && text[i] == '\\')
            i++;
        else if (text[i] == '"')
            in_string = !in_string;
        else if (!in_string && (text[i] == '[' || text[i] == '{'))
            depth++;
        else if (!in_string && (text[i] == ']' || text[i] == '}'))
            depth--;
        if (depth > JSON_MAX_DEPTH)
            return 0;
    }
    return 1;
}

/* Why a message cannot be taken, with the code in *code; NULL when it can. */
static const char *refuse_frame(const char **code, int type, const char *text, size_t len)
{
    *code = "too_big";
    if (len > FRAME_MAX_BYTES)
        return "a frame has at most 65536 bytes";
    *code = "bad_frame";
    if (type != WSOCK_TEXT)
        return "frames are JSON text; binary data goes as {\"b64\": ...}";
    if (!is_shallow(text, len))
        return "JSON nests at most 32 deep";
    return NULL;
}

void v1_message(struct session *session, int type, const void *data, size_t len)
{
    const char *code = NULL;
    const char *refusal = refuse_frame(&code, type, data, len);
    json_error_t error;
    json_t *root = NULL;

    if (refusal != NULL) {
        reply_error(session, NULL, code, refusal, 0);
        return;
    }
    root = json_loadb(data, len, JSON_ALLOW_NUL, &error);
    if (root == NULL) {
        reply_error(session, NULL, "bad_json", error.text, 0);
    } else if (!json_is_array(root)) {
        take_request(session, root);
    } else if (json_array_size(root) > BATCH_MAX) {
        reply_error(session, NULL, "too_big", "a batch has at most 64 requests", 0);
    } else {
        for (size_t i = 0; i < json_array_size(root); i++)
            take_request(session, json_array_get(root, i));
    }
    json_decref(root);
}
