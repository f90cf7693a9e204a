/* SPDX-License-Identifier: MIT */
/* Encoding what nodes say, and judging what arrives. */
#include "room/wire.h"

#include <string.h>

#include <wsock/error.h>
#include <wsock/types.h>

#include "conn/encode.h"
#include "proto/frame.h"
#include "proto/json.h"
#include "proto/utf8.h"
#include "room/name.h"

enum {
    FLAG_BINARY = 1,
    FLAG_JSON = 2,
    FLAG_UNCOMPRESSED = 4,
    FIELD_HEAD = 5,
    TEXT_MAX = 255,
    EVENT_MAX = 64,
    INFO_MAX = 1024 * 1024, /* as the option max_info_bytes at most */
    CODE_SIZE = 2,
};

/* How many bytes a field may have, and which fields are texts. */
enum tag {
    DATA = 1,
    KEY,
    EVENT,
    FROM,
    EXCEPT_IDENTITY,
    IDENTITY,
    INFO,
    REASON,
    CODE,
    ROOM,
    TAGS
};

static const struct {
    size_t max;
    bool has_no_controls;
} fields[TAGS] = {
    [DATA] = {WSI_MESSAGE_MAX, false},
    [KEY] = {TEXT_MAX + 1, false},
    [EVENT] = {EVENT_MAX + 1, true},
    [FROM] = {TEXT_MAX + 1, true},
    [EXCEPT_IDENTITY] = {TEXT_MAX + 1, true},
    [IDENTITY] = {TEXT_MAX + 1, true},
    [INFO] = {INFO_MAX, false},
    [REASON] = {TEXT_MAX + 1, false},
    [CODE] = {CODE_SIZE, false},
    [ROOM] = {TEXT_MAX + 1, true},
};

/* The text that a tag stands for. @return NULL for one that is no text. */
static const char **text_of(struct wsi_wire *wire, enum tag tag)
{
    switch (tag) {
    case KEY:
        return &wire->key;
    case EVENT:
        return &wire->event;
    case FROM:
        return &wire->from;
    case EXCEPT_IDENTITY:
        return &wire->except_identity;
    case IDENTITY:
        return &wire->identity;
    case REASON:
        return &wire->reason;
    case ROOM:
        return &wire->room;
    default:
        return NULL;
    }
}

/* ---- writing ---- */

static void put(uint8_t *out, uint64_t number, unsigned size)
{
    for (unsigned i = 0; i < size; i++)
        out[i] = (uint8_t)(number >> (8 * (size - 1 - i)));
}

/* What a field is to hold. @return false when there is none. @param code CODE_SIZE bytes
 * to put it in. */
static bool field_of(const struct wsi_wire *wire, enum tag tag, struct wsi_bytes *out,
                     uint8_t *code)
{
    struct wsi_wire copy = *wire;
    const char **text = text_of(&copy, tag);

    if (text != NULL) {
        *out = (struct wsi_bytes){*text, *text != NULL ? strlen(*text) + 1 : 0};
        return *text != NULL;
    }
    if (tag == CODE) {
        put(code, wire->code, CODE_SIZE);
        *out = (struct wsi_bytes){code, CODE_SIZE};
        return wire->code != 0;
    }
    *out = tag == DATA ? wire->data : wire->info;
    return out->len > 0;
}

size_t wsi_wire_size(const struct wsi_wire *wire)
{
    size_t size = WSI_WIRE_HEAD_SIZE;
    uint8_t code[CODE_SIZE];
    struct wsi_bytes bytes;

    for (enum tag tag = DATA; tag < TAGS; tag++) {
        if (!field_of(wire, tag, &bytes, code))
            continue;
        if (bytes.len > fields[tag].max)
            return 0;
        size += FIELD_HEAD + bytes.len;
    }
    return size;
}

void wsi_wire_number(uint8_t *out, uint64_t seq)
{
    put(out + 4 + WSI_BUS_NODE_ID_SIZE, seq, sizeof seq);
}

void wsi_wire_write(uint8_t *out, const struct wsi_wire *wire)
{
    uint8_t code[CODE_SIZE];
    struct wsi_bytes bytes;

    out[0] = WSI_WIRE_VERSION;
    out[1] = (uint8_t)wire->kind;
    out[2] = (uint8_t)((wire->type == WSOCK_BINARY ? FLAG_BINARY : 0) |
                       (wire->is_json ? FLAG_JSON : 0) |
                       (wire->is_uncompressed ? FLAG_UNCOMPRESSED : 0));
    out[3] = 0;
    memcpy(out + 4, wire->node, sizeof wire->node);
    wsi_wire_number(out, wire->seq);
    out += WSI_WIRE_HEAD_SIZE;
    for (enum tag tag = DATA; tag < TAGS; tag++) {
        if (!field_of(wire, tag, &bytes, code))
            continue;
        out[0] = (uint8_t)tag;
        put(out + 1, bytes.len, 4);
        memcpy(out + FIELD_HEAD, bytes.data, bytes.len);
        out += FIELD_HEAD + bytes.len;
    }
}

/* ---- reading ---- */

static uint64_t get(const uint8_t *in, unsigned size)
{
    uint64_t number = 0;

    for (unsigned i = 0; i < size; i++)
        number = number << 8 | in[i];
    return number;
}

static bool has_controls(const char *text)
{
    for (; *text != '\0'; text++)
        if ((unsigned char)*text < 0x20 || *text == 0x7f)
            return true;
    return false;
}

/* One NUL, at its end. */
static bool is_good_text(struct wsi_bytes bytes, bool has_no_controls)
{
    const char *text = bytes.data;

    return bytes.len > 1 && memchr(text, '\0', bytes.len) == text + bytes.len - 1 &&
           wsi_utf8_is_valid(text, bytes.len - 1) &&
           !(has_no_controls && has_controls(text));
}

/* @return whether it may be there, and was not. */
static bool take_field(struct wsi_wire *wire, enum tag tag, struct wsi_bytes bytes)
{
    const char **text = text_of(wire, tag);

    if (bytes.len == 0 || bytes.len > fields[tag].max)
        return false;
    if (text != NULL) {
        if (*text != NULL || !is_good_text(bytes, fields[tag].has_no_controls))
            return false;
        *text = bytes.data;
        return true;
    }
    if (tag == CODE) {
        if (wire->code != 0 || bytes.len != CODE_SIZE)
            return false;
        wire->code = (unsigned)get(bytes.data, CODE_SIZE);
        return wire->code != 0;
    }
    if (tag == DATA ? wire->data.len > 0 : wire->info.len > 0)
        return false;
    *(tag == DATA ? &wire->data : &wire->info) = bytes;
    return true;
}

static bool take_fields(struct wsi_wire *wire, const uint8_t *at, const uint8_t *end)
{
    while (at != end) {
        size_t size;

        if (end - at < FIELD_HEAD)
            return false;
        size = (size_t)get(at + 1, 4);
        if (size > (size_t)(end - at) - FIELD_HEAD)
            return false;
        if (at[0] >= DATA && at[0] < TAGS &&
            !take_field(wire, (enum tag)at[0], (struct wsi_bytes){at + FIELD_HEAD, size}))
            return false;
        at += FIELD_HEAD + size;
    }
    return true;
}

/* It comes to a close frame, as what wsock_server_disconnect() checks of its callers. */
static bool can_close(const struct wsi_wire *wire)
{
    const size_t len = wire->reason != NULL ? strlen(wire->reason) : 0;

    if (wire->code == 1005) /* a close frame without code has no reason */
        return len == 0;
    return wsi_close_code_is_sendable(wire->code) && len <= WSI_CLOSE_REASON_MAX;
}

/* What a kind cannot do without, and what its data must be. */
static bool is_whole(const struct wsi_wire *wire)
{
    const bool about_somebody = wire->kind != WSI_WIRE_MESSAGE &&
                                wire->kind != WSI_WIRE_CLOSE &&
                                wire->kind != WSI_WIRE_RECOUNT;

    if (about_somebody && wire->identity == NULL)
        return false;
    if (wire->kind == WSI_WIRE_DISCONNECT && !can_close(wire))
        return false;
    if (wire->room != NULL && !wsi_room_name_is_valid(wire->room))
        return false;
    if (wire->is_json &&
        (wire->type != WSOCK_TEXT || !wsi_json_is_value(wire->data.data, wire->data.len)))
        return false;
    return wire->type != WSOCK_TEXT || wsi_utf8_is_valid(wire->data.data, wire->data.len);
}

int wsi_wire_read(struct wsi_wire *out, struct wsi_bytes bytes)
{
    const uint8_t *in = bytes.data;
    struct wsi_wire wire = {0};

    if (bytes.len == 0)
        return WSOCK_EINVAL;
    if (in[0] != WSI_WIRE_VERSION)
        return WSOCK_ENOTSUP;
    if (bytes.len < WSI_WIRE_HEAD_SIZE)
        return WSOCK_EINVAL;
    if (in[1] == 0 || in[1] >= WSI_WIRE_KINDS)
        return WSOCK_ENOTSUP;
    wire.kind = (enum wsi_wire_kind)in[1];
    wire.type = (in[2] & FLAG_BINARY) != 0 ? WSOCK_BINARY : WSOCK_TEXT;
    wire.is_json = (in[2] & FLAG_JSON) != 0;
    wire.is_uncompressed = (in[2] & FLAG_UNCOMPRESSED) != 0;
    memcpy(wire.node, in + 4, sizeof wire.node);
    wire.seq = get(in + 4 + sizeof wire.node, sizeof wire.seq);
    wire.data.data = wire.info.data = in;
    if (!take_fields(&wire, in + WSI_WIRE_HEAD_SIZE, in + bytes.len) || !is_whole(&wire))
        return WSOCK_EINVAL;
    *out = wire;
    return 0;
}
