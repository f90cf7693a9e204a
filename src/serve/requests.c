/* SPDX-License-Identifier: MIT */
/*
 * What a request needs before the application is asked, and what it does when it is
 * allowed. Rooms are looked up by name each time, so that whoever was kicked is none of
 * them at once.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <wsock/error.h>
#include <wsock/history.h>
#include <wsock/member.h>

#include "conn/conn.h"
#include "conn/encode.h"
#include "conn/service.h"
#include "core/buf.h"
#include "core/random.h"
#include "room/action.h"
#include "room/crowd.h"
#include "room/form.h"
#include "room/name.h"
#include "room/room.h"
#include "room/wire.h"
#include "serve/v1.h"

/* ---- answers ---- */

static void refuse(const struct wsock_ask *ask, const char *code, const char *text,
                   bool retry)
{
    wsi_v1_reply_error(ask->session, ask->id, code, text, retry);
}

static void fail(const struct wsock_ask *ask, int r)
{
    refuse(ask, r == WSOCK_EAGAIN ? "busy" : "failed", wsock_strerror(r), true);
}

/* ---- may it? ---- */

/* The room of a request: its field, or that of the path. */
static bool has_room(struct wsock_ask *ask)
{
    if (ask->room == NULL)
        ask->room = ask->session->home;
    if (ask->room == NULL)
        refuse(ask, "bad_room", "room: the name of a room is needed", false);
    else if (!wsi_room_name_is_valid(ask->room))
        refuse(ask, "bad_room",
               "room: 1 to 255 bytes, words divided by single dots, without '*', '>' "
               "and control characters",
               false);
    else
        return true;
    return false;
}

/* @return (owned, nullable) the room, if it is in it; answered when not. */
static wsock_room *room_of_member(const struct wsock_ask *ask)
{
    wsock_room *room = NULL;

    wsock_server_find_room(ask->session->v1->server, &room, ask->room);
    if (room != NULL && wsi_room_has(room, ask->conn))
        return room;
    wsock_room_unref(room);
    refuse(ask, "not_member", "you are no member of this room", false);
    return NULL;
}

static bool is_member(struct wsock_ask *ask)
{
    wsock_room *room = has_room(ask) ? room_of_member(ask) : NULL;

    wsock_room_unref(room);
    return room != NULL;
}

/* It counts before anybody is asked, so that the application is not asked more often. */
static bool may_publish(struct wsock_ask *ask)
{
    wsock_room *room = has_room(ask) ? room_of_member(ask) : NULL;
    const int r = room != NULL ? wsock_room_may_publish(room, ask->conn) : WSOCK_ENOENT;
    struct wsi_v1_session *session = ask->session;

    wsock_room_unref(room);
    if (r == WSOCK_ERATE && session->is_raw)
        /* There is no way to tell it, and to drop what it says would be worse. */
        wsi_v1_session_close(session, 1008, "more than max_publish_rate");
    else if (r == WSOCK_ERATE)
        refuse(ask, "rate", wsock_strerror(r), true);
    return r == 0;
}

static bool may_say_hello(const struct wsock_ask *ask)
{
    if (ask->session->stage != WSI_V1_NEW)
        refuse(ask, "already", "hello: you are welcome already", false);
    return ask->session->stage == WSI_V1_NEW;
}

static bool has_token(const struct wsock_ask *ask)
{
    if (ask->token == NULL)
        refuse(ask, "bad_frame", "token: it is missing", false);
    return ask->token != NULL;
}

bool wsi_v1_may_ask(struct wsock_ask *ask)
{
    if (ask->kind == WSI_V1_HELLO)
        return may_say_hello(ask);
    if (ask->session->stage == WSI_V1_NEW) {
        refuse(ask, "hello_first", "the first frame must be hello", false);
        return false;
    }
    switch (ask->kind) {
    case WSI_V1_REFRESH:
        return has_token(ask);
    case WSI_V1_JOIN:
        return has_room(ask);
    case WSI_V1_PUBLISH:
        return may_publish(ask);
    case WSI_V1_LEAVE:
    case WSI_V1_HISTORY:
        return is_member(ask);
    default:
        return true;
    }
}

/* ---- hello, refresh ---- */

/* Who nobody knows is a guest of that connection. */
static int be_somebody(const struct wsock_ask *ask)
{
    char guest[32];
    uint64_t number;

    if (ask->identity == NULL && *wsock_conn_identity(ask->conn) != '\0')
        return 0;
    if (ask->identity != NULL)
        return wsock_conn_set_identity(ask->conn, ask->identity);
    wsi_random_system(&number, sizeof number);
    snprintf(guest, sizeof guest, "guest-%016" PRIx64, number);
    return wsock_conn_set_identity(ask->conn, guest);
}

static json_t *welcome(const struct wsock_ask *ask, int64_t heartbeat)
{
    json_t *frame = json_pack("{s:s, s:i, s:s, s:I}", "type", "welcome", "v", 1,
                              "identity", wsock_conn_identity(ask->conn), "heartbeat_ms",
                              (json_int_t)heartbeat);

    if (ask->expiry_ms != 0)
        json_object_set_new(frame, "expires_ms", json_integer(ask->expiry_ms));
    return frame;
}

static void do_hello(struct wsock_ask *ask)
{
    struct wsi_v1_session *session = ask->session;
    const int64_t heartbeat = wsi_option(&session->v1->profile->options,
                                         WSI_OPT_HEARTBEAT);
    int r = be_somebody(ask);

    if (r == WSOCK_EEXIST) /* the application just said who it is: that counts */
        r = 0;
    if (r == 0)
        r = wsi_v1_session_welcome(session, heartbeat);
    if (r == 0)
        r = wsi_v1_session_expire(session, ask->expiry_ms);
    if (r < 0) {
        wsi_v1_session_close(session, WSI_V1_CLOSE_FAILED, wsock_strerror(r));
        return;
    }
    session->has_info = ask->has_info;
    session->info = ask->info;
    session->info_len = ask->info_len;
    ask->info = NULL;
    if (!session->is_raw)
        wsi_v1_reply(ask, welcome(ask, heartbeat));
}

static void do_refresh(const struct wsock_ask *ask)
{
    const int r = wsi_v1_session_expire(ask->session, ask->expiry_ms);

    if (r < 0)
        fail(ask, r);
    else if (ask->expiry_ms != 0)
        wsi_v1_reply(ask, json_pack("{s:I}", "expires_ms", (json_int_t)ask->expiry_ms));
    else
        wsi_v1_reply(ask, json_object());
}

/* ---- rooms ---- */

static void refuse_join(const struct wsock_ask *ask, wsock_room *room, int r, size_t info)
{
    int64_t max_members = 0, max_info = 0;

    wsock_room_get_int64(room, "max_members", &max_members);
    wsock_room_get_int64(room, "max_info_bytes", &max_info);
    if (r == WSOCK_EEXIST)
        refuse(ask, "already", "you are a member of this room", false);
    else if (r != WSOCK_ETOOBIG)
        fail(ask, r);
    else if (info > (size_t)max_info)
        refuse(ask, "too_big", "info: larger than the room allows", false);
    else if (max_members != 0 && wsock_room_count(room) >= (size_t)max_members)
        refuse(ask, "full", "the room is full", true);
    else
        refuse(ask, "too_many", "you are in as many rooms as you may be", false);
}

/* The id of a request, as the room's answer needs it. */
struct id {
    char text[6 * WSI_V1_ID_MAX + 3]; /* escaped, in quotes */
};

static const char *id_of(struct id *id, const struct wsock_ask *ask)
{
    size_t len;

    if (ask->id == NULL)
        return NULL;
    len = json_dumpb(ask->id, id->text, sizeof id->text - 1,
                     JSON_COMPACT | JSON_ENCODE_ANY);
    id->text[len] = '\0';
    return id->text;
}

/* What the application says of it, or else what it says itself. */
static void take_info(wsock_join *how, const struct wsock_ask *ask)
{
    if (ask->has_info) {
        how->info = ask->info;
        how->info_len = ask->info_len;
    } else if (ask->session->has_info) {
        how->info = ask->session->info;
        how->info_len = ask->session->info_len;
    } else {
        how->info = ask->data.data;
        how->info_len = ask->data.len;
    }
}

static void do_join(struct wsock_ask *ask)
{
    const wsock_position since = {
        .size = sizeof since, .epoch = ask->epoch, .offset = ask->offset};
    wsock_join how = {.size = sizeof how, .since = ask->has_since ? &since : NULL};
    wsock_room *room = NULL;
    struct id id;
    int r = wsock_server_room(ask->session->v1->server, &room, ask->room);

    if (r == WSOCK_ETOOBIG) {
        refuse(ask, "too_many", "the server has as many rooms as it may have", true);
    } else if (r < 0) {
        fail(ask, r);
    } else {
        take_info(&how, ask);
        r = wsi_room_join(room, ask->conn, &how, NULL, id_of(&id, ask));
        if (r < 0)
            refuse_join(ask, room, r, how.info_len);
        else
            wsi_room_catch_up(room, ask->conn);
    }
    wsock_room_unref(room);
}

static void do_leave(struct wsock_ask *ask)
{
    wsock_room *room = room_of_member(ask);
    struct id id;
    struct wsi_ticket *ticket;

    if (room == NULL)
        return;
    ticket = wsi_ticket_new(id_of(&id, ask));
    if (ticket == NULL)
        fail(ask, WSOCK_ENOMEM);
    else if (wsi_room_leave(room, ask->conn, ticket) < 0)
        refuse(ask, "not_member", "you are no member of this room", false);
    else
        wsi_room_catch_up(room, ask->conn);
    wsock_room_unref(room);
}

/* ---- messages ---- */

/* @param receipt (consumed, nullable) who answers later */
static void publish(struct wsock_ask *ask, wsock_room *room,
                    struct wsi_v1_receipt *receipt)
{
    wsock_position at = {.size = sizeof at};
    const wsock_publish what = {.size = sizeof what,
                                .data = ask->data.data,
                                .len = ask->data.len,
                                .key = ask->key,
                                .event = ask->event,
                                .from = wsock_conn_identity(ask->conn),
                                .on_done = receipt != NULL ? wsi_v1_on_published : NULL,
                                .done_user = receipt,
                                .type = ask->data.type};
    const int r = wsock_room_publish(room, &what, &at);

    if (r < 0 && receipt != NULL)
        wsi_v1_receipt_free(receipt);
    if (r < 0)
        fail(ask, r);
    else if (receipt == NULL && ask->id != NULL)
        wsi_v1_reply(ask, at.epoch != 0 ? wsi_v1_position(&at) : json_true());
}

static void do_publish(struct wsock_ask *ask)
{
    wsock_room *room = room_of_member(ask);
    struct wsi_v1_receipt *receipt = NULL;
    bool waits;

    if (room == NULL)
        return;
    waits = ask->id != NULL && room->branch != NULL && room->history != NULL;
    if (waits)
        receipt = wsi_v1_receipt_new(ask);
    if (waits && receipt == NULL)
        fail(ask, WSOCK_ENOMEM);
    else
        publish(ask, room, receipt);
    wsock_room_unref(room);
}

/* To who else speaks this protocol: other connections of an identity have no use for
 * what any client may send. */
static void do_direct(struct wsock_ask *ask)
{
    const struct wsi_telling telling = {
        .event = ask->event,
        .from = wsock_conn_identity(ask->conn),
        .data = ask->data.data,
        .len = ask->data.len,
        .time_ms = wsi_pool_calendar_ms(ask->conn->worker->pool),
        .type = ask->data.type,
    };
    struct wsi_wire wire = {
        .kind = WSI_WIRE_DIRECT,
        .type = telling.type & (WSOCK_TEXT | WSOCK_BINARY),
        .is_json = (telling.type & WSOCK_JSON) != 0,
        .data = {telling.data, telling.len},
        .event = telling.event,
        .from = telling.from,
        .identity = ask->name,
    };
    struct wsi_crowd crowd;
    struct wsi_service *service = wsi_service_of(ask->conn->owner);
    int r = wsi_crowd_of_identity(&crowd, &service->identities, ask->name);

    if (r == 0) {
        r = wsi_crowd_tell(&crowd, &telling);
        wsi_crowd_drop(&crowd);
    }
    if (r >= 0)
        wsi_action_everywhere(&ask->session->v1->server->rooms, &wire);
    if (r < 0)
        fail(ask, r);
    else
        wsi_v1_reply(ask, json_pack("{s:i}", "count", r));
}

/* ---- history ---- */

/* Kept messages as frames, one behind the other; which end where. */
struct pages {
    const struct wsock_ask *ask;
    wsock_position at;
    struct wsi_buf text;
    size_t ends[WSI_V1_HISTORY_MAX];
    size_t first, count;
    int r;
};

static size_t begin_of(const struct pages *pages, size_t index)
{
    return index > 0 ? pages->ends[index - 1] : 0;
}

/* The newest that fit are told; the client asks for those before. However many there are,
 * not much more is held at a time. */
static void trim(struct pages *pages)
{
    struct wsi_buf *text = &pages->text;
    size_t gone;

    while (pages->first + 1 < pages->count &&
           text->len - begin_of(pages, pages->first) > WSI_V1_HISTORY_BYTES)
        pages->first++;
    gone = begin_of(pages, pages->first);
    if (gone < WSI_V1_HISTORY_BYTES)
        return;
    memmove(text->data, text->data + gone, text->len - gone);
    text->len -= gone;
    for (size_t i = pages->first - 1; i < pages->count; i++)
        pages->ends[i] -= gone;
}

static int put_message(const wsock_room_message *message, void *user)
{
    struct pages *pages = user;
    const struct wsi_telling telling = {
        .room = pages->ask->room,
        .event = message->event,
        .from = message->from,
        .data = message->data,
        .len = message->len,
        .time_ms = message->time_ms,
        .epoch = message->epoch,
        .offset = message->offset,
        .prev = message->prev,
        .type = message->type | (message->is_json != 0 ? WSOCK_JSON : 0),
    };
    const size_t len = wsi_frame_measure(wsi_form_msg, &telling);
    struct wsi_writer writer = {0};

    if (pages->count == WSI_V1_HISTORY_MAX)
        return 1;
    pages->r = wsi_buf_reserve(&pages->text, len, WSI_MESSAGE_MAX);
    if (pages->r < 0)
        return 1;
    writer.at = pages->text.data + pages->text.len;
    wsi_form_msg(&writer, &telling);
    pages->text.len += len;
    pages->ends[pages->count++] = pages->text.len;
    trim(pages);
    return 0;
}

static void write_history(struct wsi_writer *writer, const void *what)
{
    const struct pages *pages = what;

    wsi_write_field(writer, "{\"room\":", pages->ask->room);
    wsi_write_text(writer, ",\"messages\":[");
    for (size_t i = pages->first; i < pages->count; i++) {
        wsi_write_text(writer, i > pages->first ? "," : "");
        wsi_write(writer, pages->text.data + begin_of(pages, i),
                  pages->ends[i] - begin_of(pages, i));
    }
    wsi_write_epoch(writer, "],\"position\":{\"epoch\":", pages->at.epoch);
    wsi_write_number(writer, ",\"offset\":", pages->at.offset);
    wsi_write_text(writer, "}}");
}

static void do_history(struct wsock_ask *ask)
{
    struct pages pages = {.ask = ask, .at = {.size = sizeof pages.at}};
    const size_t limit = ask->limit < WSI_V1_HISTORY_MAX ? (size_t)ask->limit
                                                         : WSI_V1_HISTORY_MAX;
    wsock_room *room = room_of_member(ask);
    int r;

    if (room == NULL)
        return;
    r = wsock_room_history(room, ask->offset, limit, put_message, &pages);
    if (r >= 0)
        r = wsock_room_position(room, &pages.at);
    if (pages.r < 0)
        r = pages.r;
    if (r == WSOCK_ENOTSUP)
        refuse(ask, "no_history", "this room keeps no messages", false);
    else if (r < 0)
        fail(ask, r);
    else
        wsi_v1_reply_with(ask, write_history, &pages);
    wsi_buf_fini(&pages.text);
    wsock_room_unref(room);
}

static void do_call(const struct wsock_ask *ask)
{
    json_t *answer = ask->owned != NULL
                         ? json_loadb(ask->owned, ask->owned_len,
                                      JSON_ALLOW_NUL | JSON_DECODE_ANY, NULL)
                         : json_true();

    wsi_v1_reply(ask, answer);
}

/* ---- all of them ---- */

void wsi_v1_carry_out(struct wsock_ask *ask)
{
    switch (ask->kind) {
    case WSI_V1_HELLO:
        do_hello(ask);
        break;
    case WSI_V1_REFRESH:
        do_refresh(ask);
        break;
    case WSI_V1_JOIN:
        do_join(ask);
        break;
    case WSI_V1_PUBLISH:
        do_publish(ask);
        break;
    case WSI_V1_DIRECT:
        do_direct(ask);
        break;
    case WSI_V1_CALL:
        do_call(ask);
        break;
    case WSI_V1_LEAVE:
        do_leave(ask);
        break;
    case WSI_V1_HISTORY:
        do_history(ask);
        break;
    }
}

/* A close frame holds 123 bytes of reason, whole characters. */
static void close_with(struct wsi_v1_session *session, int code, const char *text)
{
    char reason[124];
    size_t len = strnlen(text, sizeof reason - 1);

    while (len > 0 && text[len] != '\0' && ((unsigned char)text[len] & 0xc0) == 0x80)
        len--;
    memcpy(reason, text, len);
    reason[len] = '\0';
    wsi_v1_session_close(session, code, reason);
}

static int code_of(const struct wsock_ask *ask)
{
    if (strcmp(ask->code, "unauthorized") == 0)
        return WSI_V1_CLOSE_TOKEN;
    return ask->retry ? WSI_V1_CLOSE_LATER : WSI_V1_CLOSE_REFUSED;
}

void wsi_v1_turn_down(struct wsock_ask *ask)
{
    struct wsi_v1_session *session = ask->session;
    const bool is_home = ask->kind == WSI_V1_JOIN && ask->object == NULL;

    refuse(ask, ask->code, ask->text, ask->retry);
    /* Who is nobody has no business here, nor has a raw member without its room. */
    if (ask->kind == WSI_V1_HELLO || (is_home && session->is_raw))
        close_with(session, code_of(ask), ask->text);
}
