/* SPDX-License-Identifier: MIT */
/* Frames about members. */
#include "room/notices.h"

#include <string.h>

#include <wsock/error.h>

#include "conn/closing.h"
#include "conn/conn.h"
#include "conn/send.h"
#include "conn/timer.h"
#include "core/alloc.h"
#include "core/clock.h"
#include "proto/json.h"
#include "proto/utf8.h"
#include "room/envelope.h"
#include "room/room.h"
#include "room/writer.h"

enum {
    INFOS_MAX_BYTES = 64 * 1024, /* in one frame; who is beyond has none there */
    PAUSE_MS = 100,              /* between two frames, at least */
    PEOPLE_PER_MS = 10,          /* and so much more in large rooms */
    TRY_LATER = 1013,
};

void wsi_notices_init(struct wsi_notices *notices)
{
    wsi_list_init(&notices->changed);
}

struct wsi_ticket *wsi_ticket_new(const char *id)
{
    const size_t size = id != NULL ? strlen(id) + 1 : 1;
    struct wsi_ticket *ticket = wsi_zalloc(sizeof *ticket + size);

    if (ticket == NULL)
        return NULL;
    if (id != NULL)
        memcpy(ticket->id, id, size);
    ticket->last_held = &ticket->held;
    wsi_list_init(&ticket->unmet);
    return ticket;
}

struct wsi_held *wsi_ticket_pop(struct wsi_ticket *ticket)
{
    struct wsi_held *held = ticket->held;

    if (held != NULL)
        ticket->held = held->next;
    return held;
}

void wsi_held_free(struct wsi_held *held)
{
    wsi_envelope_unref(held->envelope);
    wsi_free(held);
}

void wsi_ticket_free(struct wsi_ticket *ticket)
{
    struct wsi_held *held;

    while (ticket != NULL && (held = wsi_ticket_pop(ticket)) != NULL)
        wsi_held_free(held);
    wsi_free(ticket);
}

void wsi_ticket_fill(struct wsi_ticket *ticket, const wsock_joined *joined)
{
    ticket->epoch = joined->epoch;
    ticket->offset = joined->offset;
    ticket->recovered = joined->recovered > 0;
}

static bool is_listed(const wsock_room *room)
{
    return (int64_t)room->heads <=
           wsi_room_option(&room->options, WSI_OPT_MEMBERS_LISTED);
}

/* ---- people in frames ---- */

static struct wsi_present *present_of_node(struct wsi_table_node *node)
{
    return WSI_CONTAINER_OF(node, struct wsi_present, node);
}

static struct wsi_present *present_of_change(struct wsi_list *node)
{
    return WSI_CONTAINER_OF(node, struct wsi_present, change);
}

/* What a member says of itself is JSON, unless the application said something else. */
static void write_info(struct wsi_writer *writer, const struct wsi_blob *info)
{
    if (!wsi_utf8_is_valid(info->data, info->len))
        wsi_write_bytes(writer, info->data, info->len);
    else if (wsi_json_is_value(info->data, info->len))
        wsi_write(writer, info->data, info->len);
    else
        wsi_write_string(writer, info->data, info->len);
}

static void write_name(struct wsi_writer *writer, const struct wsi_present *present,
                       size_t *count)
{
    wsi_write_text(writer, (*count)++ > 0 ? "," : "");
    wsi_write_string(writer, present->identity, strlen(present->identity));
}

/* @param so_far (in, out) bytes of infos. */
static void write_info_of(struct wsi_writer *writer, const struct wsi_present *present,
                          size_t *count, size_t *so_far)
{
    const struct wsi_blob *info = wsi_present_info(present);

    if (info == NULL || *so_far + info->len > INFOS_MAX_BYTES)
        return;
    *so_far += info->len;
    wsi_write_text(writer, *count == 0 ? ",\"infos\":{" : ",");
    (*count)++;
    wsi_write_string(writer, present->identity, strlen(present->identity));
    wsi_write_text(writer, ":");
    write_info(writer, info);
}

/* ---- joined ---- */

static void write_members(struct wsi_writer *writer, const wsock_room *room)
{
    size_t names = 0, infos = 0, bytes = 0;

    wsi_write_text(writer, ",\"members\":[");
    for (size_t b = 0; b < room->people.bucket_count; b++)
        for (struct wsi_table_node *node = room->people.buckets[b]; node != NULL;
             node = node->next)
            if (wsi_present_is_here(present_of_node(node)))
                write_name(writer, present_of_node(node), &names);
    wsi_write_text(writer, "]");
    for (size_t b = 0; b < room->people.bucket_count; b++)
        for (struct wsi_table_node *node = room->people.buckets[b]; node != NULL;
             node = node->next)
            write_info_of(writer, present_of_node(node), &infos, &bytes);
    wsi_write_text(writer, infos > 0 ? "}" : "");
}

static void write_position(struct wsi_writer *writer, uint64_t epoch, uint64_t offset)
{
    wsi_write_epoch(writer, ",\"position\":{\"epoch\":", epoch);
    wsi_write_number(writer, ",\"offset\":", offset);
    wsi_write_text(writer, "}");
}

static void write_answer(struct wsi_writer *writer, const struct wsi_ticket *ticket)
{
    if (ticket == NULL || ticket->id[0] == '\0')
        return;
    wsi_write_text(writer, "{\"re\":");
    wsi_write_text(writer, ticket->id);
    wsi_write_text(writer, ",\"ok\":");
}

static void end_answer(struct wsi_writer *writer, const struct wsi_ticket *ticket)
{
    wsi_write_text(writer, ticket == NULL || ticket->id[0] == '\0' ? "}" : "}}");
}

/* With the room's lock held. */
static void write_joined(struct wsi_writer *writer, const void *what)
{
    const struct wsi_member *member = what;
    const struct wsi_ticket *ticket = member->ticket;
    const wsock_room *room = member->room;

    write_answer(writer, ticket);
    wsi_write_field(writer, "{\"type\":\"joined\",\"room\":", room->name);
    wsi_write_text(writer,
                   ticket->recovered ? ",\"recovered\":true" : ",\"recovered\":false");
    wsi_write_number(writer, ",\"count\":", room->heads);
    if (is_listed(room))
        write_members(writer, room);
    if (ticket->epoch != 0)
        write_position(writer, ticket->epoch, ticket->offset);
    end_answer(writer, ticket);
}

static void no_memory(wsock_conn *conn)
{
    wsi_conn_end(conn, WSI_CLOSE_RESET, WSOCK_CAUSE_NO_MEMORY, WSOCK_BY_US,
                 "out of memory for what a room tells it");
}

void wsi_notices_greet(struct wsi_member *member)
{
    const bool is_open = wsi_conn_state(member->conn) == WSI_CONN_OPEN;
    wsock_room *room = member->room;
    struct wsi_blob *frame = NULL;

    pthread_mutex_lock(&room->lock);
    if (is_open)
        frame = wsi_frame_new(write_joined, member);
    member->ticket = NULL;
    room->notices.greeted++;
    pthread_mutex_unlock(&room->lock);
    if (frame != NULL)
        wsi_conn_deliver_missed(member->conn, &member->feed, frame);
    else if (is_open)
        no_memory(member->conn);
    wsi_blob_unref(frame);
}

/* ---- left ---- */

static const char *reason_of(const struct wsi_member *member)
{
    const struct wsi_attendance *attendance = member->attendance;

    if (attendance == NULL || attendance->how == WSOCK_LEFT_BY_CALL)
        return member->farewell != NULL ? "asked" : "kicked";
    if (attendance->reason != NULL && attendance->reason->data[0] != 0)
        return (const char *)attendance->reason->data;
    return attendance->how == WSOCK_LEFT_BY_CLOSE ? "closed" : "kicked";
}

static void write_left(struct wsi_writer *writer, const void *what)
{
    const struct wsi_member *member = what;

    write_answer(writer, member->farewell);
    wsi_write_field(writer, "{\"type\":\"left\",\"room\":", member->room->name);
    wsi_write_field(writer, ",\"reason\":", reason_of(member));
    end_answer(writer, member->farewell);
}

void wsi_notices_dismiss(struct wsi_member *member)
{
    struct wsi_blob *frame;
    int r = WSOCK_ENOMEM;

    if (!wsi_conn_takes_messages(member->conn))
        return;
    frame = wsi_frame_new(write_left, member);
    if (frame != NULL)
        r = wsi_conn_send_frame(member->conn, frame);
    wsi_blob_unref(frame);
    /* Who did not hear of it would wait for messages for ever. */
    if (r == WSOCK_EAGAIN)
        wsi_conn_close(member->conn, TRY_LATER, NULL, 0);
    else if (r == WSOCK_ENOMEM)
        no_memory(member->conn);
}

/* ---- presence ---- */

static void drop_change(struct wsi_notices *notices, struct wsi_present *present)
{
    wsi_list_remove(&present->change);
    notices->changed_count--;
    wsi_present_unref(present);
}

/* Whoever hears of it now will hear how many there are, or the whole list. */
static void drop_changes(struct wsi_notices *notices)
{
    WSI_LIST_EACH(node, &notices->changed)
    {
        struct wsi_present *present = present_of_change(node);

        present->is_told = wsi_present_is_here(present);
        drop_change(notices, present);
    }
}

void wsi_notices_fini(struct wsi_notices *notices)
{
    drop_changes(notices);
    wsock_timer_unref(notices->timer);
}

bool wsi_notices_are_heard(const wsock_room *room)
{
    return wsi_takers_have(wsi_takers_set(&room->takers), WSI_FORM_V1) &&
           wsi_room_option(&room->options, WSI_OPT_PRESENCE) != 0;
}

/* @return whether there are any. */
static bool write_names(struct wsi_writer *writer, const wsock_room *room, bool came)
{
    size_t names = 0;

    WSI_LIST_EACH(node, &room->notices.changed)
    {
        struct wsi_present *present = present_of_change(node);

        if (wsi_present_is_here(present) != came)
            continue;
        if (names == 0)
            wsi_write_text(writer, came ? ",\"joined\":[" : ",\"left\":[");
        write_name(writer, present, &names);
    }
    wsi_write_text(writer, names > 0 ? "]" : "");
    return names > 0;
}

static void write_presence(struct wsi_writer *writer, const void *what)
{
    const wsock_room *room = what;
    size_t infos = 0, bytes = 0;

    wsi_write_field(writer, "{\"type\":\"presence\",\"room\":", room->name);
    wsi_write_number(writer, ",\"count\":", room->heads);
    if (!room->notices.only_count) {
        const bool came = write_names(writer, room, true);

        /* Without a list it would say that there are none any more. */
        if (!write_names(writer, room, false) && !came)
            wsi_write_text(writer, ",\"joined\":[]");
        WSI_LIST_EACH(node, &room->notices.changed)
        {
            write_info_of(writer, present_of_change(node), &infos, &bytes);
        }
        wsi_write_text(writer, infos > 0 ? "}" : "");
    }
    wsi_write_text(writer, "}");
}

/* @return (owned, nullable) NULL where it cannot be said now. */
static struct wsi_envelope *new_envelope(const wsock_room *room, wsi_frame_fn *fn,
                                         const void *what)
{
    struct wsi_envelope *envelope;
    struct wsi_v1 *v1;

    if (wsi_room_is_full(room) || wsi_v1_new_notice(&v1, fn, what) < 0)
        return NULL;
    envelope = wsi_envelope_new_notice(room->shard_count, v1);
    if (envelope == NULL)
        wsi_v1_unref(v1);
    return envelope;
}

/* To every member that speaks rooms.v1, among the messages of the room.
 * @param envelope (consumed) */
static void publish(wsock_room *room, struct wsi_envelope *envelope,
                    struct wsi_room_posts *posts)
{
    const size_t bytes = wsi_v1_bytes(wsi_said_v1(&envelope->said));

    for (unsigned i = 0; i < room->shard_count; i++) {
        struct wsi_shard *shard = &room->shards[i];

        if (shard->count == 0)
            continue;
        wsi_envelope_ref(envelope);
        shard->pending_bytes += bytes;
        wsi_room_append(room, i, &envelope->ops[i], posts);
    }
    wsi_envelope_unref(envelope);
}

static uint64_t now_ms(const wsock_room *room)
{
    return wsi_clock_us(room->registry->owner->pool->clock) / 1000;
}

/* @return whether nothing is due any more. */
static bool flush(wsock_room *room, struct wsi_room_posts *posts)
{
    struct wsi_notices *notices = &room->notices;
    struct wsi_envelope *envelope = new_envelope(room, write_presence, room);

    notices->next_ms = now_ms(room) + PAUSE_MS + room->heads / PEOPLE_PER_MS;
    if (envelope == NULL)
        return false;
    publish(room, envelope, posts);
    drop_changes(notices);
    notices->is_due = notices->only_count = false;
    return true;
}

static void drop_room(void *user)
{
    wsock_room_unref(user);
}

static void on_due(wsock_timer *timer, uint64_t missed, void *user);

/* What cannot be told now, or should not, is told in a while; without memory for that,
 * with the next change. */
static void tell_later(wsock_room *room)
{
    struct wsi_notices *notices = &room->notices;
    struct wsi_pool *pool = room->registry->owner->pool;
    const uint64_t now = now_ms(room);
    const struct wsi_timer_spec spec = {
        .first_ms = notices->next_ms > now ? notices->next_ms - now : 0,
        .fn = on_due,
        .user = wsock_room_ref(room),
        .free_user = drop_room,
    };

    /* The caller has a reference, so that this is never the last one. */
    if (wsi_timer_launch(&notices->timer, &pool->workers[room->hash % room->shard_count],
                         NULL, &spec) < 0)
        wsi_ref_drop(&room->ref);
}

static void on_due(wsock_timer *timer, uint64_t missed, void *user)
{
    wsock_room *room = user;
    struct wsi_notices *notices = &room->notices;
    struct wsi_room_posts posts = {0};
    wsock_timer *own = NULL;

    (void)missed;
    pthread_mutex_lock(&room->lock);
    if (notices->timer == timer) {
        own = notices->timer;
        notices->timer = NULL;
        if (notices->is_due && !room->closed && wsi_notices_are_heard(room) &&
            !flush(room, &posts))
            tell_later(room);
    }
    pthread_mutex_unlock(&room->lock);
    wsi_room_post(room, &posts);
    wsock_timer_unref(own);
}

/* @return (nullable) who went just now, has the same identity, and was told to nobody. */
static struct wsi_present *find_gone(struct wsi_notices *notices,
                                     const struct wsi_present *present)
{
    WSI_LIST_EACH(node, &notices->changed)
    {
        struct wsi_present *gone = present_of_change(node);

        if (gone != present && strcmp(gone->identity, present->identity) == 0)
            return gone;
    }
    return NULL;
}

static void put_change(struct wsi_notices *notices, struct wsi_present *present)
{
    wsi_ref_take(&present->ref);
    wsi_list_append(&notices->changed, &present->change);
    present->greeted = notices->greeted;
    notices->changed_count++;
}

/* What changed back before anybody was told did not change; but who came meanwhile was
 * told by `joined` of the state between. */
static bool is_undone(const struct wsi_notices *notices,
                      const struct wsi_present *present)
{
    return present->greeted == notices->greeted;
}

static void note(wsock_room *room, struct wsi_present *present)
{
    struct wsi_notices *notices = &room->notices;
    const bool is_here = wsi_present_is_here(present);
    struct wsi_present *gone;

    if (!wsi_list_is_empty(&present->change)) {
        if (is_undone(notices, present))
            drop_change(notices, present);
    } else if (is_here && (gone = find_gone(notices, present)) != NULL) {
        present->is_told = is_undone(notices, gone);
        drop_change(notices, gone);
        if (!present->is_told)
            put_change(notices, present);
    } else if (present->is_told != is_here) {
        put_change(notices, present);
    }
}

void wsi_notices_note(wsock_room *room, struct wsi_present *present)
{
    struct wsi_notices *notices = &room->notices;
    const int64_t most = wsi_room_option(&room->options, WSI_OPT_MEMBERS_LISTED);

    if (!wsi_notices_are_heard(room)) {
        if (present != NULL)
            present->is_told = wsi_present_is_here(present);
        return;
    }
    notices->is_due = true;
    if (present != NULL && notices->only_count)
        present->is_told = wsi_present_is_here(present); /* by its count */
    else if (present != NULL)
        note(room, present);
    if (!is_listed(room) || (int64_t)notices->changed_count > most) {
        drop_changes(notices);
        notices->only_count = true;
    }
}

void wsi_notices_tell(wsock_room *room, struct wsi_room_posts *posts)
{
    const struct wsi_notices *notices = &room->notices;

    if (!notices->is_due || notices->timer != NULL)
        return;
    if (now_ms(room) < notices->next_ms || !flush(room, posts))
        tell_later(room);
}

void wsi_notices_change(wsock_room *room, struct wsi_present *present,
                        struct wsi_room_posts *posts)
{
    wsi_notices_note(room, present);
    wsi_notices_tell(room, posts);
}

void wsi_notices_look(wsock_room *room, struct wsi_room_posts *posts)
{
    struct wsi_notices *notices = &room->notices;

    if (wsi_notices_are_heard(room))
        return;
    drop_changes(notices);
    notices->is_due = notices->only_count = false;
    if (notices->timer != NULL) {
        posts->timer = notices->timer;
        notices->timer = NULL;
    }
}

/* ---- missed ---- */

/* Where there is more than a member got. */
struct place {
    const char *room;
    uint64_t epoch, offset;
};

static void write_missed(struct wsi_writer *writer, const void *what)
{
    const struct place *place = what;

    wsi_write_field(writer, "{\"type\":\"missed\",\"room\":", place->room);
    write_position(writer, place->epoch, place->offset);
    wsi_write_text(writer, "}");
}

void wsi_notices_missed(struct wsi_member *member, const struct wsi_said *said)
{
    const struct place place = {member->room->name, said->epoch, said->offset};
    struct wsi_blob *frame;

    if (member->conn->form != WSI_FORM_V1 || said->epoch == 0 ||
        member->feed.notice != NULL || wsi_conn_state(member->conn) != WSI_CONN_OPEN)
        return;
    frame = wsi_frame_new(write_missed, &place);
    if (frame != NULL)
        wsi_conn_deliver_notice(member->conn, &member->feed, frame);
    else
        no_memory(member->conn);
    wsi_blob_unref(frame);
}

bool wsi_notices_moved(wsock_room *room, struct wsi_room_posts *posts)
{
    const struct place place = {room->name, room->history->epoch, room->history->last};
    struct wsi_envelope *envelope;

    if (!wsi_takers_have(wsi_takers_set(&room->takers), WSI_FORM_V1))
        return true;
    envelope = new_envelope(room, write_missed, &place);
    if (envelope == NULL)
        return false;
    /* So that who misses it is told as of a message. */
    envelope->said.epoch = place.epoch;
    envelope->said.offset = place.offset;
    publish(room, envelope, posts);
    return true;
}
