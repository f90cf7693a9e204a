/* SPDX-License-Identifier: MIT */
/* Encoding a message for other nodes, and telling what became of it. */
#include "room/relay.h"

#include <stdio.h>
#include <string.h>

#include <wsock/error.h>

#include "conn/encode.h"
#include "conn/frames.h"
#include "conn/identity.h"
#include "conn/queue.h"
#include "core/alloc.h"
#include "room/branch.h"
#include "room/room.h"
#include "room/spread.h"

static void call(const struct wsi_relay *relay)
{
    wsock_published result = relay->result;

    result.size = sizeof result;
    result.why = relay->why;
    relay->fn(&result, relay->user);
}

static void run(struct wsi_mail *mail)
{
    struct wsi_relay *relay = WSI_CONTAINER_OF(mail, struct wsi_relay, mail);

    if (wsi_queue_calls(relay->room->registry->owner->queue))
        call(relay);
    wsi_relay_free(relay);
}

void wsi_relay_tell(struct wsi_relay *relay, int outcome, const char *why)
{
    struct wsock_queue *queue = relay->room->registry->owner->queue;

    relay->result.outcome = outcome;
    snprintf(relay->why, sizeof relay->why, "%s", why != NULL ? why : "");
    if (relay->fn != NULL && queue != NULL) {
        relay->mail.run = run;
        wsi_queue_call(queue, &relay->mail);
        return;
    }
    if (relay->fn != NULL)
        call(relay);
    wsi_relay_free(relay);
}

static void done(struct wsi_bus_receipt *receipt, const struct wsi_bus_answer *answer)
{
    static const int outcomes[] = {
        [WSI_BUS_DONE] = WSOCK_STORED,
        [WSI_BUS_FAILED] = WSOCK_NOT_STORED,
        [WSI_BUS_UNKNOWN] = WSOCK_UNKNOWN,
    };
    struct wsi_relay *relay = WSI_CONTAINER_OF(receipt, struct wsi_relay, receipt);

    if (answer->outcome == WSI_BUS_DONE) {
        relay->result.epoch = answer->position.epoch;
        relay->result.offset = answer->position.offset;
        relay->result.time_ms = answer->time_ms;
    } else if (answer->outcome == WSI_BUS_FAILED) {
        wsi_spread_refused(wsi_registry_spread(relay->room->registry), answer->why);
        wsi_branch_failed(relay->room, relay->seq);
    }
    wsi_relay_tell(relay, outcomes[answer->outcome], answer->why);
}

static struct wsi_wire wire_of(wsock_room *room, const wsock_publish *what,
                               const struct wsi_frames *frames)
{
    struct wsi_wire wire = {
        .kind = WSI_WIRE_MESSAGE,
        .type = what->type & (WSOCK_TEXT | WSOCK_BINARY),
        .is_json = (what->type & WSOCK_JSON) != 0,
        .is_uncompressed = (what->type & WSOCK_UNCOMPRESSED) != 0,
        .data = {what->data, what->len},
        .key = what->key,
        .event = what->event,
        .from = what->from != NULL && *what->from != '\0' ? what->from : NULL,
    };

    memcpy(wire.node, wsi_registry_spread(room->registry)->node, sizeof wire.node);
    if (wire.key != NULL && *wire.key == '\0')
        wire.key = NULL;
    /* Whom nobody can be, nobody is left out for: readers would refuse all of it. */
    if (what->except_identity != NULL && wsi_identity_is_valid(what->except_identity))
        wire.except_identity = what->except_identity;
    if (frames != NULL) {
        const struct wsi_payload payload = wsi_encoded_payload(frames->plain);

        wire.data = (struct wsi_bytes){payload.data, payload.len};
        wire.type = frames->plain->data[0] & 0x0f;
    }
    return wire;
}

int wsi_relay_new(struct wsi_relay **out, wsock_room *room, const wsock_publish *what,
                  const struct wsi_frames *frames)
{
    const struct wsi_wire wire = wire_of(room, what, frames);
    const size_t size = wsi_wire_size(&wire);
    struct wsi_relay *relay;

    if (size == 0) /* what was checked fits */
        return WSOCK_ETOOBIG;
    relay = wsi_alloc(sizeof *relay + size);
    if (relay == NULL)
        return WSOCK_ENOMEM;
    memset(relay, 0, sizeof *relay);
    wsi_wire_write((uint8_t *)(relay + 1), &wire);
    relay->bytes = (struct wsi_bytes){relay + 1, size};
    relay->receipt.done = done;
    relay->room = wsock_room_ref(room);
    relay->fn = what->on_done;
    relay->user = what->done_user;
    *out = relay;
    return 0;
}

void wsi_relay_number(struct wsi_relay *relay, uint64_t seq)
{
    relay->seq = seq;
    wsi_wire_number((uint8_t *)(relay + 1), seq);
}

void wsi_relay_free(struct wsi_relay *relay)
{
    if (relay == NULL)
        return;
    wsock_room_unref(relay->room);
    wsi_free(relay);
}

void wsi_tell_published(const wsock_publish *what, const wsock_position *position,
                        int64_t time_ms)
{
    const wsock_published published = {
        .size = sizeof published,
        .why = "",
        .epoch = position->epoch,
        .offset = position->offset,
        .time_ms = time_ms,
        .outcome = WSOCK_STORED,
    };

    if (what->on_done != NULL)
        what->on_done(&published, what->done_user);
}
