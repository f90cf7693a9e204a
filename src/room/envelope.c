/* SPDX-License-Identifier: MIT */
/* Messages to rooms, and their memory. */
#include "room/envelope.h"

#include <string.h>

#include "conn/encode.h"
#include "core/alloc.h"
#include "proto/frame.h"
#include "room/group.h"

/* ---- memory ---- */

static size_t ops_size(size_t shards)
{
    const size_t size = sizeof(struct wsi_envelope) +
                        (shards + 1) * sizeof(struct wsi_room_op);

    return (size + _Alignof(max_align_t) - 1) & ~(_Alignof(max_align_t) - 1);
}

/* The frame inside an envelope is not referred to any more, by what was said neither. */
static void release_frame(struct wsi_blob *frame)
{
    wsi_free(wsi_blob_around(frame));
}

/* The key keeps the frame, and so the memory that it lies in. */
static void release_key(struct wsi_blob *key)
{
    wsi_blob_unref(((struct wsi_envelope *)wsi_blob_around(key))->said.frames.plain);
}

static size_t size_of(const char *text)
{
    return text != NULL ? strlen(text) + 1 : 0;
}

static struct wsi_envelope *new_block(unsigned shards, size_t extra)
{
    struct wsi_envelope *envelope = wsi_alloc(ops_size(shards) + extra);

    if (envelope == NULL)
        return NULL;
    memset(envelope, 0, sizeof *envelope);
    wsi_ref_init(&envelope->ref);
    wsi_ref_init(&envelope->said.ref);
    envelope->said.event = "message";
    envelope->said.from = "";
    envelope->shards = shards;
    for (unsigned i = 0; i <= shards; i++)
        envelope->ops[i] = (struct wsi_room_op){.kind = WSI_ROOM_MESSAGE,
                                                .subject = envelope};
    return envelope;
}

static void put_key(struct wsi_envelope *envelope, void *at, const char *key)
{
    const size_t size = strlen(key) + 1;
    struct wsi_blob *blob = wsi_blob_init_inner(at, size, envelope, release_key);

    wsi_blob_ref(envelope->said.frames.plain);
    memcpy(blob->data, key, size);
    blob->len = size - 1;
    envelope->said.key = blob;
}

/* @return where it ends. */
static char *put_text(const char **out, char *at, const char *text)
{
    const size_t size = size_of(text);

    if (size == 0)
        return at;
    *out = memcpy(at, text, size);
    return at + size;
}

/* One block: [envelope, ops][blob, frame][-> envelope][blob, key][-> envelope][event]
 * [from]. */
static struct wsi_envelope *new_with_frame(unsigned shards, const wsock_publish *what)
{
    const size_t capacity = what->len + WSI_FRAME_HEADER_MAX;
    const size_t frame_size = wsi_blob_inner_size(capacity);
    const size_t key_size = what->key != NULL ? wsi_blob_inner_size(size_of(what->key))
                                              : 0;
    const size_t extra = key_size + size_of(what->event) + size_of(what->from);
    struct wsi_envelope *envelope = new_block(shards, frame_size + extra);
    struct wsi_blob *frame;
    char *at;

    if (envelope == NULL)
        return NULL;
    at = (char *)envelope + ops_size(shards);
    frame = wsi_blob_init_inner(at, capacity, envelope, release_frame);
    frame->len = wsi_encode_frame(frame->data, what->type, what->data, what->len);
    envelope->said.frames.plain = frame;
    envelope->said.extra_bytes = (uint32_t)extra;
    envelope->said.is_json = (what->type & WSOCK_JSON) != 0;
    at += frame_size;
    if (what->key != NULL)
        put_key(envelope, at, what->key);
    at = put_text(&envelope->said.event, at + key_size, what->event);
    put_text(&envelope->said.from, at, what->from);
    return envelope;
}

struct wsi_envelope *wsi_envelope_new(unsigned shards, const wsock_publish *what,
                                      const struct wsi_frames *frames)
{
    struct wsi_envelope *envelope;

    if (frames == NULL)
        return new_with_frame(shards, what);
    envelope = new_block(shards, 0);
    if (envelope != NULL)
        wsi_frames_share(&envelope->said.frames, frames);
    return envelope;
}

struct wsi_envelope *wsi_envelope_new_notice(unsigned shards, struct wsi_v1 *v1)
{
    struct wsi_envelope *envelope = new_block(shards, 0);

    if (envelope == NULL)
        return NULL;
    wsi_said_set_v1(&envelope->said, v1);
    envelope->differs = true;
    return envelope;
}

struct wsi_envelope *wsi_envelope_ref(struct wsi_envelope *envelope)
{
    wsi_ref_take(&envelope->ref);
    return envelope;
}

/* Connections go here, where the application's free functions may run, and not with the
 * frame, whose last reference falls in the middle of a flush. */
void wsi_envelope_unref(struct wsi_envelope *envelope)
{
    if (!wsi_ref_drop(&envelope->ref))
        return;
    wsock_conn_unref(envelope->except);
    wsi_conns_drop(&envelope->only);
    wsi_conns_drop(&envelope->excluded);
    wsi_matches_unref(envelope->matches);
    wsi_said_unref(&envelope->said);
}

struct wsi_said *wsi_said_ref(struct wsi_said *said)
{
    wsi_ref_take(&said->ref);
    return said;
}

void wsi_said_unref(struct wsi_said *said)
{
    struct wsi_blob *frame = said->frames.plain;

    if (!wsi_ref_drop(&said->ref))
        return;
    wsi_frames_drop_packed(&said->frames);
    wsi_v1_unref(wsi_said_v1(said));
    wsi_blob_unref(said->key);
    if (frame == NULL ||
        frame->release == NULL) /* not inside: none, or somebody else's */
        wsi_free(WSI_CONTAINER_OF(said, struct wsi_envelope, said));
    wsi_blob_unref(frame);
}

size_t wsi_said_bytes(const struct wsi_said *said)
{
    const struct wsi_v1 *v1 = wsi_said_v1(said);

    return sizeof(struct wsi_envelope) + said->extra_bytes +
           (said->frames.plain != NULL ? wsi_frames_bytes(&said->frames) : 0) +
           (v1 != NULL ? wsi_v1_bytes(v1) : 0);
}

/* ---- whom it is for ---- */

static bool is_for(const struct wsi_envelope *envelope, const wsock_conn *conn)
{
    if (envelope->except == conn || wsi_conns_have(&envelope->excluded, conn))
        return false;
    return envelope->only.count == 0 || wsi_conns_have(&envelope->only, conn);
}

/* The frame stands for no other message, and none for it: so it is its own key. */
static bool deliver_skip(const struct wsi_v1 *v1, wsock_conn *conn, struct wsi_feed *feed)
{
    const struct wsi_frames frames = {.plain = v1->skip};

    return v1->skip == NULL || wsi_conn_deliver(conn, feed, &frames, v1->skip);
}

/* Who was subscribed and is not counted any more may find that its form was not made. */
bool wsi_envelope_deliver_own(const struct wsi_envelope *envelope, wsock_conn *conn,
                              struct wsi_feed *feed)
{
    const struct wsi_said *said = &envelope->said;
    const bool is_meant = !envelope->chooses || is_for(envelope, conn);
    const struct wsi_v1 *v1 = wsi_said_v1(said);

    if (conn->form == WSI_FORM_RAW && is_meant && said->frames.plain != NULL)
        return wsi_conn_deliver(conn, feed, &said->frames, said->key);
    if (conn->form == WSI_FORM_V1 && v1 != NULL && is_meant)
        return wsi_conn_deliver(conn, feed, &v1->frames, said->key);
    return conn->form != WSI_FORM_V1 || v1 == NULL || deliver_skip(v1, conn, feed);
}

/* ---- telling ---- */

int wsi_said_make_v1(const struct wsi_said *said, struct wsi_v1 **out, const char *room,
                     bool skip)
{
    const struct wsi_blob *frame = said->frames.plain;
    const struct wsi_payload payload = wsi_encoded_payload(frame);
    const struct wsi_telling telling = {
        .room = room,
        .event = said->event,
        .from = said->from,
        .data = payload.data,
        .len = payload.len,
        .time_ms = said->time_ms,
        .epoch = said->epoch,
        .offset = said->offset,
        .prev = said->prev,
        .type = (frame->data[0] & 0x0f) | (said->is_json ? WSOCK_JSON : 0),
    };

    return wsi_v1_new(out, &telling, skip);
}

void wsi_said_set_v1(struct wsi_said *said, struct wsi_v1 *v1)
{
    assert(wsi_said_v1(said) == NULL);
    atomic_store_explicit(&said->v1, v1, memory_order_release);
}

wsock_room_message wsi_said_show(const struct wsi_said *said)
{
    const struct wsi_payload payload = wsi_encoded_payload(said->frames.plain);
    const bool has_place = said->offset != 0;

    return (wsock_room_message){
        .size = sizeof(wsock_room_message),
        .data = payload.data,
        .len = payload.len,
        .key = said->key != NULL ? (const char *)said->key->data : NULL,
        .event = said->event,
        .from = said->from,
        .epoch = said->epoch,
        .offset = said->offset,
        .prev = said->prev,
        .time_ms = has_place ? said->time_ms : 0,
        .type = said->frames.plain->data[0] & 0x0f,
        .is_json = said->is_json,
    };
}
