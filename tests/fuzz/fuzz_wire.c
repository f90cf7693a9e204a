/* SPDX-License-Identifier: MIT */
/*
 * What a broker hands a node. What is accepted keeps to the bounds, points into the
 * input, and means the same when it is written and read again.
 */
#include "fuzz.h"

#include <wsock/error.h>
#include <wsock/types.h>

#include "proto/frame.h"
#include "proto/utf8.h"
#include "room/name.h"
#include "room/wire.h"

static void check_text(const char *text, const uint8_t *data, size_t len, size_t max)
{
    const uint8_t *at = (const uint8_t *)text;

    if (text == NULL)
        return;
    CHECK(at >= data && at < data + len && memchr(at, '\0', len - (size_t)(at - data)));
    CHECK(*text != '\0' && strlen(text) <= max && wsi_utf8_is_valid(text, strlen(text)));
}

static void check_bounds(const struct wsi_wire *wire, const uint8_t *data, size_t len)
{
    const uint8_t *at = wire->data.data;

    check_text(wire->key, data, len, 255);
    check_text(wire->event, data, len, 64);
    check_text(wire->from, data, len, 255);
    check_text(wire->except_identity, data, len, 255);
    check_text(wire->identity, data, len, 255);
    check_text(wire->reason, data, len, 255);
    check_text(wire->room, data, len, 255);
    CHECK(at >= data && at + wire->data.len <= data + len);
    at = wire->info.data;
    CHECK(at >= data && at + wire->info.len <= data + len);
    CHECK(
        wire->type == WSOCK_BINARY ||
        (wire->type == WSOCK_TEXT && wsi_utf8_is_valid(wire->data.data, wire->data.len)));
    CHECK(wire->room == NULL || wsi_room_name_is_valid(wire->room));
    CHECK(wire->kind != WSI_WIRE_DISCONNECT || wire->code == 1005 ||
          wsi_close_code_is_sendable(wire->code));
    CHECK(wire->kind != WSI_WIRE_DISCONNECT || wire->reason == NULL ||
          strlen(wire->reason) <= WSI_CLOSE_REASON_MAX);
    CHECK(wire->identity != NULL || wire->kind == WSI_WIRE_MESSAGE ||
          wire->kind == WSI_WIRE_CLOSE || wire->kind == WSI_WIRE_RECOUNT);
}

static void check_same_text(const char *a, const char *b)
{
    CHECK((a == NULL) == (b == NULL));
    CHECK(a == NULL || strcmp(a, b) == 0);
}

static void check_same_bytes(struct wsi_bytes a, struct wsi_bytes b)
{
    CHECK(a.len == b.len && memcmp(a.data, b.data, a.len) == 0);
}

static void check_again(const struct wsi_wire *wire)
{
    const size_t size = wsi_wire_size(wire);
    uint8_t *bytes = malloc(size);
    struct wsi_wire again;

    CHECK(size >= WSI_WIRE_HEAD_SIZE && bytes != NULL);
    wsi_wire_write(bytes, wire);
    CHECK(wsi_wire_read(&again, (struct wsi_bytes){bytes, size}) == 0);
    CHECK(again.kind == wire->kind && again.seq == wire->seq && again.code == wire->code);
    CHECK(again.type == wire->type && again.is_json == wire->is_json);
    CHECK(again.is_uncompressed == wire->is_uncompressed);
    CHECK(memcmp(again.node, wire->node, sizeof again.node) == 0);
    check_same_bytes(again.data, wire->data);
    check_same_bytes(again.info, wire->info);
    check_same_text(again.key, wire->key);
    check_same_text(again.event, wire->event);
    check_same_text(again.from, wire->from);
    check_same_text(again.except_identity, wire->except_identity);
    check_same_text(again.identity, wire->identity);
    check_same_text(again.reason, wire->reason);
    check_same_text(again.room, wire->room);
    free(bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct wsi_wire wire;
    const int r = wsi_wire_read(&wire, (struct wsi_bytes){data, len});

    if (r == 0) {
        check_bounds(&wire, data, len);
        check_again(&wire);
    } else {
        CHECK(r == WSOCK_EINVAL || r == WSOCK_ENOTSUP);
    }
    return 0;
}
