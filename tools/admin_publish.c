/* SPDX-License-Identifier: MIT */
/*
 * The admin calls /publish and /broadcast. What became of a message to a room that keeps
 * messages is known when the broker has answered, if the server has one: the answer waits
 * until that holds for all rooms of the call.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "admin.h"
#include "base64.h"

enum { ROOMS_MAX = 1000 };

/* ---- what is said ---- */

/* What a publish says, as the library takes it. */
struct message {
    wsock_publish publish;
    void *owned;
};

static int take_data(struct admin_reply *reply, struct message *message, json_t *data)
{
    const json_t *b64 = json_object_get(data, "b64");
    wsock_publish *what = &message->publish;

    what->type = WSOCK_TEXT;
    if (data == NULL) {
        admin_say(reply, 400, "bad_args", "data: it is missing");
        return 0;
    }
    if (json_is_string(data)) {
        what->data = json_string_value(data);
        what->len = json_string_length(data);
        return 1;
    }
    if (json_is_string(b64) && json_object_size(data) == 1) {
        what->type = WSOCK_BINARY;
        message->owned = base64_decode(json_string_value(b64), json_string_length(b64),
                                       &what->len);
    } else {
        what->type = WSOCK_TEXT | WSOCK_JSON;
        message->owned = json_dumps(data, JSON_COMPACT | JSON_ENCODE_ANY);
        what->len = message->owned != NULL ? strlen(message->owned) : 0;
    }
    what->data = message->owned;
    if (what->data == NULL)
        admin_say(reply, 400, "bad_args", "data: b64 is no Base64");
    return what->data != NULL;
}

static int take_message(struct admin_reply *reply, struct message *message,
                        const json_t *args)
{
    wsock_publish *what = &message->publish;

    *message = (struct message){.publish = {.size = sizeof *what}};
    return admin_take_text(reply, &what->event, args, "event", "event: a text") &&
           admin_take_text(reply, &what->key, args, "key", "key: a text") &&
           admin_take_text(reply, &what->from, args, "from", "from: a text") &&
           admin_take_text(reply, &what->except_identity, args, "except",
                           "except: a text") &&
           take_data(reply, message, json_object_get(args, "data"));
}

/* ---- what became of it ---- */

/* A call, until all of its messages are answered for. Handlers of several rooms may run
 * at one time. */
struct call {
    wsock_request *request; /* (owned) */
    json_t *answers;        /* (owned) an object for each room, in the order asked for */
    int32_t outcome;        /* of the message that came last */
    size_t waiting;         /* messages, and one while they are published */
    void (*answer)(const struct call *call);
    pthread_mutex_t lock; /* of all this */
};

/* One message of a call. */
struct receipt {
    struct call *call;
    json_t *answer; /* (borrowed from the call) */
};

static struct call *call_new(wsock_request *request,
                             void (*answer)(const struct call *call))
{
    struct call *call = calloc(1, sizeof *call);

    if (call == NULL)
        return NULL;
    pthread_mutex_init(&call->lock, NULL);
    call->request = wsock_request_ref(request);
    call->answers = json_array();
    call->outcome = WSOCK_STORED;
    call->waiting = 1;
    call->answer = answer;
    return call;
}

static void call_free(struct call *call)
{
    if (call == NULL)
        return;
    wsock_request_unref(call->request);
    json_decref(call->answers);
    pthread_mutex_destroy(&call->lock);
    free(call);
}

static const char *why_not(int outcome)
{
    return outcome == WSOCK_UNKNOWN ? "the broker went away: it may be stored, or not"
                                    : "the broker did not store it";
}

/* In the place of a count. */
static void refuse_one(json_t *answer, const char *why)
{
    json_object_del(answer, "count");
    json_object_set_new(answer, "err", json_string(why));
}

/* One that asked for a single room has its answer, or its error, as that of the call. */
static void answer_one(const struct call *call)
{
    struct admin_reply reply = {.ok = json_array_get(call->answers, 0)};

    if (call->outcome != WSOCK_STORED) {
        reply.ok = NULL;
        admin_say(&reply, call->outcome == WSOCK_UNKNOWN ? 504 : 503, "failed",
                  why_not(call->outcome));
    }
    admin_answer(call->request, &reply);
}

static void answer_all(const struct call *call)
{
    struct admin_reply reply = {.ok = json_pack("{s:O}", "rooms", call->answers)};

    if (reply.ok == NULL)
        admin_say(&reply, 503, "failed", wsock_strerror(WSOCK_ENOMEM));
    admin_answer(call->request, &reply);
    json_decref(reply.ok);
}

/* One less to wait for; the last one answers. */
static void leave(struct call *call)
{
    int is_last;

    pthread_mutex_lock(&call->lock);
    is_last = --call->waiting == 0;
    pthread_mutex_unlock(&call->lock);
    if (!is_last)
        return;
    call->answer(call);
    call_free(call);
}

static json_t *position_of(uint64_t epoch, uint64_t offset)
{
    char text[17];

    snprintf(text, sizeof text, "%016llx", (unsigned long long)epoch);
    return json_pack("{s:s, s:I}", "epoch", text, "offset", (json_int_t)offset);
}

static void on_done(const wsock_published *published, void *user)
{
    struct receipt *receipt = user;
    struct call *call = receipt->call;

    pthread_mutex_lock(&call->lock);
    call->outcome = published->outcome;
    if (published->outcome == WSOCK_STORED) {
        json_object_set_new(receipt->answer, "position",
                            position_of(published->epoch, published->offset));
    } else {
        refuse_one(receipt->answer, why_not(published->outcome));
    }
    pthread_mutex_unlock(&call->lock);
    free(receipt);
    leave(call);
}

/* ---- publish, broadcast ---- */

/* A name that is none is what is wrong with most rooms. */
static void say_error(struct admin_reply *reply, wsock_server *server, const char *room,
                      int r)
{
    wsock_room *found = NULL;
    const int is_bad = r == WSOCK_EINVAL &&
                       (room == NULL ||
                        wsock_server_find_room(server, &found, room) == WSOCK_EINVAL);

    wsock_room_unref(found);
    if (is_bad)
        admin_say(reply, 400, "bad_args",
                  "room: 1 to 255 bytes, words divided by single dots, without '*', '>' "
                  "and control characters");
    else
        admin_say_error(reply, r);
}

static int keeps_messages(wsock_room *room)
{
    wsock_position at = {.size = sizeof at};

    return wsock_room_position(room, &at) != WSOCK_ENOTSUP;
}

static int publish_and_wait(struct call *call, wsock_room *room, json_t *answer,
                            wsock_publish what)
{
    struct receipt *receipt = calloc(1, sizeof *receipt);
    int r = WSOCK_ENOMEM;

    if (receipt == NULL)
        return r;
    *receipt = (struct receipt){call, answer};
    what.on_done = on_done;
    what.done_user = receipt;
    pthread_mutex_lock(&call->lock);
    call->waiting++;
    pthread_mutex_unlock(&call->lock);
    r = wsock_room_publish(room, &what, NULL);
    if (r >= 0)
        return r;
    pthread_mutex_lock(&call->lock);
    call->waiting--; /* it is not told of, and who publishes is still waited for */
    pthread_mutex_unlock(&call->lock);
    free(receipt);
    return r;
}

/* Nobody may be in a room that keeps messages: it is made, for who comes.
 * @param answer of the call's; complete when it is told. */
static int publish_to(struct call *call, wsock_server *server, const char *name,
                      const struct message *message, json_t *answer)
{
    wsock_room *room = NULL;
    int r = wsock_server_room(server, &room, name);

    if (r == 0)
        r = keeps_messages(room) ? publish_and_wait(call, room, answer, message->publish)
                                 : wsock_room_publish(room, &message->publish, NULL);
    wsock_room_unref(room);
    pthread_mutex_lock(&call->lock);
    if (r >= 0 && json_object_get(answer, "count") != NULL)
        json_object_set_new(answer, "count", json_integer(r));
    pthread_mutex_unlock(&call->lock);
    return r;
}

/* @return (borrowed from the call, nullable) the answer for one more room. */
static json_t *add_answer(struct call *call, json_t *room)
{
    json_t *answer = json_pack("{s:O, s:i}", "room", room, "count", 0);

    return json_array_append_new(call->answers, answer) == 0 ? answer : NULL;
}

void admin_publish(struct admin_reply *reply, wsock_server *server, const json_t *args)
{
    const char *name = admin_need_text(reply, args, "room", "room: a text is needed");
    struct call *call = NULL;
    struct message message;
    json_t *answer = NULL;
    int r = WSOCK_ENOMEM;

    if (name == NULL)
        return;
    if (take_message(reply, &message, args)) {
        call = call_new(reply->request, answer_one);
        answer = call != NULL ? add_answer(call, json_object_get(args, "room")) : NULL;
        if (answer != NULL)
            r = publish_to(call, server, name, &message, answer);
        reply->is_later = r >= 0;
        if (r < 0) {
            say_error(reply, server, name, r);
            call_free(call);
        } else {
            leave(call);
        }
    }
    free(message.owned);
}

static void broadcast_to_listed(struct call *call, wsock_server *server,
                                const json_t *names, const struct message *message)
{
    for (size_t i = 0; i < json_array_size(names); i++) {
        json_t *room = json_array_get(names, i);
        json_t *answer = add_answer(call, room);
        struct admin_reply refusal = {0};
        int r = WSOCK_EINVAL;

        if (answer != NULL && json_is_string(room))
            r = publish_to(call, server, json_string_value(room), message, answer);
        if (answer == NULL || r >= 0)
            continue;
        say_error(&refusal, server, json_string_value(room), r);
        refuse_one(answer, refusal.text);
    }
}

void admin_broadcast(struct admin_reply *reply, wsock_server *server, const json_t *args)
{
    const json_t *names = json_object_get(args, "rooms");
    struct call *call = NULL;
    struct message message;

    if (!json_is_array(names) || json_array_size(names) > ROOMS_MAX) {
        admin_say(reply, 400, "bad_args", "rooms: an array of at most 1000 names");
        return;
    }
    if (take_message(reply, &message, args))
        call = call_new(reply->request, answer_all);
    if (call != NULL) {
        reply->is_later = 1;
        broadcast_to_listed(call, server, names, &message);
        leave(call);
    }
    free(message.owned);
}
