/* SPDX-License-Identifier: MIT */
/*
 * What can be asked through the admin listener. Every call takes one JSON object and
 * gives one; all of them go to the public calls of the library, from a worker.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "admin.h"
#include "base64.h"

enum {
    LISTED_MAX =
        1000, /* rooms, messages, identities in one answer, unless asked for less */
    CLOSE_ENDED = 4410 /* docs/rooms-v1.md: by the application; do not come back */
};

/* ---- arguments and answers ---- */

void admin_say(struct admin_reply *reply, unsigned status, const char *code,
               const char *text)
{
    reply->status = status;
    reply->code = code;
    reply->text = text;
}

/* What the library says to a call; NULL: it is the arguments' fault. */
void admin_say_error(struct admin_reply *reply, int r)
{
    switch (r) {
    case WSOCK_ENOENT:
        admin_say(reply, 404, "no_room", "there is no such room");
        break;
    case WSOCK_ENOTSUP:
        admin_say(reply, 409, "no_history", "the room keeps no messages");
        break;
    case WSOCK_EAGAIN:
        admin_say(reply, 503, "busy", "too much waits to be sent");
        break;
    case WSOCK_ETOOBIG:
        admin_say(reply, 413, "too_big", wsock_strerror(r));
        break;
    case WSOCK_ECLOSED:
    case WSOCK_ENOMEM:
        admin_say(reply, 503, "failed", wsock_strerror(r));
        break;
    default:
        admin_say(reply, 400, "bad_args", wsock_strerror(r));
        break;
    }
}

/* @return NULL after an error was said, where it is not there or no text. */
const char *admin_need_text(struct admin_reply *reply, const json_t *args,
                            const char *name, const char *complaint)
{
    const char *text = json_string_value(json_object_get(args, name));

    if (text == NULL)
        admin_say(reply, 400, "bad_args", complaint);
    return text;
}

/* A text that may be left out. @return 0 after an error was said. */
int admin_take_text(struct admin_reply *reply, const char **out, const json_t *args,
                    const char *name, const char *complaint)
{
    const json_t *value = json_object_get(args, name);

    *out = json_string_value(value);
    if (value == NULL || *out != NULL)
        return 1;
    admin_say(reply, 400, "bad_args", complaint);
    return 0;
}

/* A number that may be left out. @return 0 after an error was said. */
static int take_number(struct admin_reply *reply, int64_t *out, const json_t *args,
                       const char *name, const char *complaint)
{
    const json_t *value = json_object_get(args, name);

    if (value == NULL)
        return 1;
    if (!json_is_integer(value) || json_integer_value(value) < 0) {
        admin_say(reply, 400, "bad_args", complaint);
        return 0;
    }
    *out = json_integer_value(value);
    return 1;
}

static int take_limit(struct admin_reply *reply, int64_t *limit, const json_t *args)
{
    if (!take_number(reply, limit, args, "limit", "limit: a whole number"))
        return 0;
    if (*limit > LISTED_MAX)
        *limit = LISTED_MAX;
    return 1;
}

static json_t *position_of(wsock_room *room)
{
    wsock_position at = {.size = sizeof at};
    char epoch[17];

    if (wsock_room_position(room, &at) < 0)
        return NULL;
    snprintf(epoch, sizeof epoch, "%016llx", (unsigned long long)at.epoch);
    return json_pack("{s:s, s:I}", "epoch", epoch, "offset", (json_int_t)at.offset);
}

/* @return NULL after an error was said. */
static wsock_room *need_room(struct admin_reply *reply, wsock_server *server,
                             const json_t *args)
{
    const char *name = admin_need_text(reply, args, "room", "room: a text is needed");
    wsock_room *room = NULL;
    int r = 0;

    if (name == NULL)
        return NULL;
    r = wsock_server_find_room(server, &room, name);
    if (r < 0)
        admin_say_error(reply, r);
    return room;
}

/* ---- history ---- */

static json_t *data_of(const wsock_room_message *message)
{
    json_t *data = NULL;
    char *text = NULL;

    if (message->is_json)
        return json_loadb(message->data, message->len, JSON_DECODE_ANY | JSON_ALLOW_NUL,
                          NULL);
    if (message->type == WSOCK_TEXT)
        return json_stringn(message->data, message->len);
    text = base64_encode(message->data, message->len);
    data = json_pack("{s:s}", "b64", text);
    free(text);
    return data;
}

static int take_kept(const wsock_room_message *message, void *user)
{
    json_t *list = user;

    json_array_append_new(
        list,
        json_pack("{s:I, s:I, s:I, s:s, s:o*, s:s*, s:s*}", "offset",
                  (json_int_t)message->offset, "prev", (json_int_t)message->prev, "time",
                  (json_int_t)message->time_ms, "event", message->event, "data",
                  data_of(message), "from",
                  message->from[0] != '\0' ? message->from : NULL, "key", message->key));
    return 0;
}

static void history(struct admin_reply *reply, wsock_server *server, const json_t *args)
{
    int64_t limit = 100, before = 0;
    json_t *list = NULL;
    wsock_room *room = NULL;
    int r = 0;

    if (!take_limit(reply, &limit, args) ||
        !take_number(reply, &before, args, "before", "before: an offset"))
        return;
    room = need_room(reply, server, args);
    if (room == NULL)
        return;
    list = json_array();
    r = wsock_room_history(room, (uint64_t)before, (size_t)limit, take_kept, list);
    if (r < 0) {
        admin_say_error(reply, r);
        json_decref(list);
    } else {
        reply->ok = json_pack("{s:s, s:o, s:o*}", "room", wsock_room_name(room),
                              "messages", list, "position", position_of(room));
    }
    wsock_room_unref(room);
}

/* ---- who is there ---- */

struct people {
    json_t *list;
    size_t limit;
};

static int take_person(const wsock_person *person, void *user)
{
    struct people *people = user;

    if (json_array_size(people->list) >= people->limit)
        return 1;
    json_array_append_new(
        people->list,
        json_pack("{s:s, s:I, s:o*}", "identity", person->identity, "connections",
                  (json_int_t)person->conns, "info",
                  json_loadb(person->info != NULL ? person->info : "", person->info_len,
                             JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL)));
    return 0;
}

static void presence(struct admin_reply *reply, wsock_server *server, const json_t *args)
{
    struct people people;
    wsock_room *room = NULL;
    int64_t limit = LISTED_MAX;
    int r = 0;

    if (!take_limit(reply, &limit, args))
        return;
    room = need_room(reply, server, args);
    if (room == NULL)
        return;
    people = (struct people){.list = json_array(), .limit = (size_t)limit};
    r = wsock_room_people(room, take_person, &people);
    if (r < 0) {
        admin_say_error(reply, r);
        json_decref(people.list);
    } else {
        reply->ok = json_pack("{s:s, s:I, s:i, s:o}", "room", wsock_room_name(room),
                              "connections", (json_int_t)wsock_room_count(room), "people",
                              r, "members", people.list);
    }
    wsock_room_unref(room);
}

static int compare_rooms(const void *a, const void *b)
{
    wsock_room *const *x = a;
    wsock_room *const *y = b;

    return strcmp(wsock_room_name(*x), wsock_room_name(*y));
}

/* @param handles of as many rooms as there are; given back. */
static void list_rooms(struct admin_reply *reply, wsock_room **handles, size_t count,
                       size_t total, size_t limit)
{
    json_t *list = json_array();

    qsort(handles, count, sizeof(wsock_room *), compare_rooms);
    for (size_t i = 0; i < count; i++) {
        if (i < limit)
            json_array_append_new(
                list, json_pack("{s:s, s:I, s:o*}", "room", wsock_room_name(handles[i]),
                                "count", (json_int_t)wsock_room_count(handles[i]),
                                "position", position_of(handles[i])));
        wsock_room_unref(handles[i]);
    }
    reply->ok = json_pack("{s:o, s:I}", "rooms", list, "total", (json_int_t)total);
}

static void rooms(struct admin_reply *reply, wsock_server *server, const json_t *args)
{
    const char *pattern = NULL;
    wsock_room **handles = NULL;
    int64_t limit = LISTED_MAX, max = 0, total = 0;

    if (!admin_take_text(reply, &pattern, args, "pattern", "pattern: a text") ||
        !take_limit(reply, &limit, args))
        return;
    max = wsock_server_rooms(server, NULL, 0, pattern);
    if (max < 0) {
        admin_say(reply, 400, "bad_args",
                  "pattern: a name in which '*' stands for one word, and '>' as the last "
                  "for one or more");
        return;
    }
    handles = calloc((size_t)max + 1, sizeof(wsock_room *));
    if (handles == NULL)
        return;
    total = wsock_server_rooms(server, handles, (size_t)max, pattern);
    list_rooms(reply, handles, (size_t)(total < max ? total : max), (size_t)total,
               (size_t)limit);
    free(handles);
}

static json_t *cluster_of(wsock_server *server)
{
    static const char *const states[] = {[WSOCK_CLUSTER_NONE] = "none",
                                         [WSOCK_CLUSTER_UP] = "up",
                                         [WSOCK_CLUSTER_AWAY] = "away"};
    char why[512];
    const int state = wsock_server_cluster(server, why, sizeof why);

    return json_pack("{s:s, s:s}", "state", states[state], "why", why);
}

static void info(struct admin_reply *reply, wsock_server *server, const json_t *args)
{
    (void)args;
    reply->ok = json_pack("{s:s, s:I, s:I, s:o}", "version", wsock_version(),
                          "connections", (json_int_t)wsock_server_conn_count(server),
                          "rooms", (json_int_t)wsock_server_rooms(server, NULL, 0, NULL),
                          "cluster", cluster_of(server));
}

/* ---- disconnect ---- */

/* Other servers of the cluster may have it where this one has not. */
static wsock_room *make_room(struct admin_reply *reply, wsock_server *server,
                             const json_t *args)
{
    const char *name = admin_need_text(reply, args, "room", "room: a text is needed");
    wsock_room *room = NULL;
    const int r = name != NULL ? wsock_server_room(server, &room, name) : 0;

    if (r < 0)
        admin_say_error(reply, r);
    return room;
}

static void disconnect(struct admin_reply *reply, wsock_server *server,
                       const json_t *args)
{
    const char *identity = admin_need_text(reply, args, "identity",
                                           "identity: a text is needed");
    const char *reason = NULL;
    wsock_room *room = NULL;
    int64_t code = CLOSE_ENDED;
    const int state = wsock_server_cluster(server, NULL, 0);
    int r = 0;

    if (identity == NULL ||
        !admin_take_text(reply, &reason, args, "reason", "reason: a text") ||
        !take_number(reply, &code, args, "code", "code: a whole number"))
        return;
    if (json_object_get(args, "room") == NULL) {
        r = wsock_server_disconnect(server, identity, code <= 4999 ? (int)code : 0,
                                    reason);
    } else {
        room = state == WSOCK_CLUSTER_NONE ? need_room(reply, server, args)
                                           : make_room(reply, server, args);
        if (room == NULL)
            return;
        r = wsock_room_kick(room, identity, reason);
    }
    wsock_room_unref(room);
    if (r < 0)
        admin_say_error(reply, r);
    else
        reply->ok = json_pack("{s:i}", "count", r);
    if (reply->ok != NULL && state != WSOCK_CLUSTER_NONE)
        json_object_set_new(reply->ok, "others", json_boolean(state == WSOCK_CLUSTER_UP));
}

/* ---- the table ---- */

admin_call_fn admin_call_of(const char *path)
{
    static const struct {
        const char *path;
        admin_call_fn fn;
    } calls[] = {
        {"/broadcast", admin_broadcast}, {"/disconnect", disconnect},
        {"/history", history},           {"/info", info},
        {"/nodes", admin_nodes},         {"/presence", presence},
        {"/publish", admin_publish},     {"/rooms", rooms},
    };

    for (size_t i = 0; i < sizeof calls / sizeof calls[0]; i++)
        if (strcmp(path, calls[i].path) == 0)
            return calls[i].fn;
    return NULL;
}
