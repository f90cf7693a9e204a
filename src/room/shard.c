/* SPDX-License-Identifier: MIT */
/* The members of a room on one worker: what is done to them, in the order of the room. */
#include "room/room.h"

#include <wsock/error.h>

#include "conn/conn.h"
#include "conn/send.h"
#include "core/alloc.h"
#include "room/branch.h"
#include "room/envelope.h"
#include "room/waiting.h"

/* While a member waits to be told that it is in. */
enum { HELD_MAX = 1024, HELD_MAX_BYTES = 1024 * 1024 };

static struct wsi_member *member_of_local(struct wsi_list *node)
{
    return WSI_CONTAINER_OF(node, struct wsi_member, local);
}

void wsi_member_free(struct wsi_member *member)
{
    wsi_attendance_unref(member->attendance);
    wsi_missed_free(member->missed);
    wsi_ticket_free(member->ticket);
    wsi_ticket_free(member->farewell);
    wsock_conn_unref(member->conn);
    wsock_room_unref(member->room);
    wsi_free(member);
}

static void tell_missed(struct wsi_member *member, struct wsi_missed *missed)
{
    if (wsi_missed_prepare(missed, member->room->history, member->conn) < 0)
        wsi_conn_end(member->conn, WSI_CLOSE_RESET, WSOCK_CAUSE_NO_MEMORY, WSOCK_BY_US,
                     "out of memory for what a room kept for it");
    else
        for (size_t i = 0; i < missed->count; i++)
            wsi_conn_deliver_missed(member->conn, &member->feed,
                                    wsi_missed_frame(missed, i, member->conn));
}

/* What was said before the join. */
static void deliver_missed(struct wsi_member *member)
{
    struct wsi_missed *missed = member->missed;

    member->missed = NULL;
    if (missed == NULL)
        return;
    if (wsi_conn_state(member->conn) == WSI_CONN_OPEN)
        tell_missed(member, missed);
    wsi_missed_free(missed);
}

/* It hears it, or else that it misses it. */
static void deliver_now(struct wsi_member *member, struct wsi_envelope *envelope)
{
    if (!wsi_envelope_deliver(envelope, member->conn, &member->feed))
        wsi_notices_missed(member, &envelope->said);
}

/* That it is in, once all that it is told then is known; and then what came since. */
static void greet(struct wsi_member *member)
{
    struct wsi_ticket *ticket = member->ticket;
    struct wsi_held *held;

    if (ticket->waits != 0)
        return;
    wsi_notices_greet(member);
    deliver_missed(member);
    while ((held = wsi_ticket_pop(ticket)) != NULL) {
        deliver_now(member, held->envelope);
        wsi_held_free(held);
    }
    wsi_ticket_free(ticket);
}

/* What is told of people will stand in `joined`; where the room was stands there
 * already. */
static void hold(struct wsi_member *member, struct wsi_envelope *envelope)
{
    struct wsi_ticket *ticket = member->ticket;
    struct wsi_held *held;

    if (envelope->said.frames.plain == NULL && envelope->said.epoch == 0)
        return;
    held = wsi_alloc(sizeof *held);
    if (held == NULL) {
        wsi_feed_missed(&member->feed);
        return;
    }
    held->next = NULL;
    held->envelope = wsi_envelope_ref(envelope);
    *ticket->last_held = held;
    ticket->last_held = &held->next;
    ticket->held_count++;
    ticket->held_bytes += wsi_said_bytes(&envelope->said);
}

/* Too much is held to wait for people any longer; unless they are met already, and that
 * is told in a moment. */
static void stop_waiting(struct wsi_member *member)
{
    bool waits;

    pthread_mutex_lock(&member->room->lock);
    waits = wsi_roster_give_up(member);
    pthread_mutex_unlock(&member->room->lock);
    if (!waits)
        return;
    member->ticket->waits &= ~(unsigned)WSI_WAITS_FOR_PEOPLE;
    greet(member);
}

static void deliver(struct wsi_member *member, struct wsi_envelope *envelope)
{
    if (member->ticket != NULL && (member->ticket->held_count >= HELD_MAX ||
                                   member->ticket->held_bytes >= HELD_MAX_BYTES))
        stop_waiting(member);
    if (member->ticket == NULL)
        deliver_now(member, envelope);
    else
        hold(member, envelope);
}

/* Deliver the messages from first up to (not including) end to every member. */
static void deliver_run(struct wsi_shard *shard, struct wsi_room_op *first,
                        const struct wsi_room_op *end)
{
    WSI_LIST_EACH(node, &shard->members)
    {
        struct wsi_member *member = member_of_local(node);

        for (struct wsi_room_op *op = first; op != end; op = op->next) {
            deliver(member, op->subject);
        }
    }
    while (first != end) {
        struct wsi_room_op *next = first->next;

        wsi_envelope_unref(first->subject);
        first = next;
    }
}

static bool has_matches(const struct wsi_room_op *op)
{
    return ((const struct wsi_envelope *)op->subject)->matches != NULL;
}

/* One by one, as marks tell of the last message only. */
static void deliver_matched(struct wsi_shard *shard, struct wsi_envelope *envelope)
{
    WSI_LIST_EACH(node, &shard->members)
    {
        struct wsi_member *member = member_of_local(node);

        wsi_matches_mark(member->conn, envelope->serial);
        deliver(member, envelope);
    }
    wsi_matches_deliver(envelope, (unsigned)(shard - shard->room->shards));
    wsi_envelope_unref(envelope);
}

/* A join that waited is known now. */
static void tell_known(struct wsi_waiting *waiting)
{
    struct wsi_member *member = waiting->member;
    const wsock_joined joined = waiting->joined;

    wsi_list_append(&member->room->shards[member->conn->worker->index].members,
                    &member->local);
    member->missed = wsi_waiting_tell(waiting);
    if (member->ticket != NULL) {
        wsi_ticket_fill(member->ticket, &joined);
        member->ticket->waits &= ~(unsigned)WSI_WAITS_FOR_PLACE;
        greet(member);
    } else {
        deliver_missed(member);
    }
}

/* And so are people. */
static void tell_met(struct wsi_member *member)
{
    member->ticket->waits &= ~(unsigned)WSI_WAITS_FOR_PEOPLE;
    greet(member);
}

static void run_ops(struct wsi_shard *shard, struct wsi_room_op *op)
{
    while (op != NULL) {
        struct wsi_member *member = op->subject;
        struct wsi_room_op *next = op->next;

        switch (op->kind) {
        case WSI_ROOM_MESSAGE:
            if (has_matches(op)) {
                deliver_matched(shard, op->subject);
                break;
            }
            while (next != NULL && next->kind == WSI_ROOM_MESSAGE && !has_matches(next))
                next = next->next;
            deliver_run(shard, op, next);
            break;
        case WSI_ROOM_JOIN:
            if (member->joins_late)
                break;
            wsi_list_append(&shard->members, &member->local);
            if (member->ticket != NULL)
                greet(member);
            else
                deliver_missed(member);
            break;
        case WSI_ROOM_MET:
            tell_met(member);
            break;
        case WSI_ROOM_KNOWN:
            tell_known(op->subject);
            break;
        default:
            wsi_list_remove(&member->local);
            wsi_feed_end(member->conn, &member->feed);
            if (member->conn->form == WSI_FORM_V1)
                wsi_notices_dismiss(member);
            wsi_member_free(member);
            break;
        }
        op = next;
    }
}

/* @param under_way (nullable) of the mail that runs; with its reference. */
static void run_shard(struct wsi_shard *shard, bool *under_way)
{
    wsock_room *room = shard->room;
    struct wsi_room_op *ops;

    pthread_mutex_lock(&room->lock);
    ops = shard->first;
    shard->first = NULL;
    shard->last = &shard->first;
    if (under_way != NULL)
        *under_way = false;
    shard->pending_bytes = 0;
    pthread_mutex_unlock(&room->lock);
    run_ops(shard, ops);
    wsock_room_unref(room);
}

void wsi_room_catch_up(wsock_room *room, wsock_conn *conn)
{
    if (wsi_worker_current != conn->worker)
        return;
    wsi_ref_take(&room->ref);
    run_shard(&room->shards[conn->worker->index], NULL);
}

static void run_mail(struct wsi_mail *mail)
{
    struct wsi_shard *shard = WSI_CONTAINER_OF(mail, struct wsi_shard, mail);

    run_shard(shard, &shard->scheduled);
}

static void run_pushed(struct wsi_mail *mail)
{
    struct wsi_shard *shard = WSI_CONTAINER_OF(mail, struct wsi_shard, pushed);

    run_shard(shard, &shard->is_pushed);
}

static void append(struct wsi_shard *shard, struct wsi_room_op *op)
{
    op->next = NULL;
    *shard->last = op;
    shard->last = &op->next;
}

static struct wsi_worker *worker_of(const struct wsi_shard *shard)
{
    return &shard->room->registry->owner->pool->workers[shard - shard->room->shards];
}

void wsi_shard_push(struct wsi_shard *shard, struct wsi_room_op *op)
{
    append(shard, op);
    if (shard->is_pushed)
        return;
    shard->is_pushed = true;
    wsi_ref_take(&shard->room->ref);
    wsi_worker_push(worker_of(shard), &shard->pushed);
}

bool wsi_shard_append(struct wsi_shard *shard, struct wsi_room_op *op)
{
    append(shard, op);
    if (shard->scheduled)
        return false;
    shard->scheduled = true;
    wsi_ref_take(&shard->room->ref);
    return true;
}

void wsi_shard_post(struct wsi_shard *shard)
{
    wsi_worker_post(worker_of(shard), &shard->mail);
}

int wsi_room_make_shards(wsock_room *room)
{
    const unsigned count = wsi_pool_count(room->registry->owner->pool);

    if (room->shards != NULL)
        return 0;
    room->shards = wsi_zalloc(count * sizeof *room->shards);
    if (room->shards == NULL)
        return WSOCK_ENOMEM;
    for (unsigned i = 0; i < count; i++) {
        struct wsi_shard *shard = &room->shards[i];

        shard->room = room;
        shard->mail.run = run_mail;
        shard->pushed.run = run_pushed;
        wsi_list_init(&shard->members);
        shard->last = &shard->first;
    }
    room->shard_count = count;
    return 0;
}
