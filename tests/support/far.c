/* SPDX-License-Identifier: MIT */
/* The far end of a compressed connection. */
#include "test.h"

#include "far.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const uint8_t tail[4] = {0x00, 0x00, 0xff, 0xff};

static void append(struct script_bytes *bytes, const void *data, size_t len)
{
    if (bytes->len + len > bytes->capacity) {
        bytes->capacity = 2 * (bytes->len + len);
        bytes->data = realloc(bytes->data, bytes->capacity);
        assert_non_null(bytes->data);
    }
    if (len > 0)
        memcpy(bytes->data + bytes->len, data, len);
    bytes->len += len;
}

void far_init(struct far *far, bool is_client, int bits_in, bool keeps_in, int bits_out,
              bool keeps_out)
{
    *far = (struct far){
        .is_client = is_client, .keeps_in = keeps_in, .keeps_out = keeps_out};
    assert_int_equal(inflateInit2(&far->inflater, -bits_in), Z_OK);
    assert_int_equal(
        deflateInit2(&far->deflater, 6, Z_DEFLATED, -bits_out, 8, Z_DEFAULT_STRATEGY),
        Z_OK);
}

void far_fini(struct far *far)
{
    inflateEnd(&far->inflater);
    deflateEnd(&far->deflater);
    free(far->data.data);
}

struct wsock_conn *far_accept(struct far *far, struct stage *stage,
                              struct script_peer *peer, unsigned worker,
                              const char *offer)
{
    struct wsock_conn *conn = stage_accept(stage, peer, worker);
    const struct wsi_pmd_params *pmd = &conn->pmd;
    char lines[256];

    snprintf(lines, sizeof lines, "Sec-WebSocket-Extensions: %s\r\n\r\n", offer);
    script_feed(peer, stage_request, strlen(stage_request) - 2);
    script_feed(peer, lines, strlen(lines));
    stage_settle_worker(stage, worker);
    assert_int_equal(wsi_conn_state(conn), WSI_CONN_OPEN);
    peer->output.len = 0;
    /* zlib deflates with windows of 9 bits and more. */
    far_init(far, true, pmd->own_window_bits != 0 ? pmd->own_window_bits : 15,
             pmd->own_takeover, pmd->peer_window_bits > 9 ? pmd->peer_window_bits : 9,
             pmd->peer_takeover);
    return conn;
}

/* ---- received ---- */

static void inflate_piece(struct far *far, const uint8_t *data, size_t len)
{
    uint8_t room[4096];
    z_stream *z = &far->inflater;

    z->next_in = (Bytef *)(uintptr_t)data;
    z->avail_in = (unsigned)len;
    do {
        int r;

        z->next_out = room;
        z->avail_out = sizeof room;
        r = inflate(z, Z_SYNC_FLUSH);
        if (r != Z_OK && r != Z_BUF_ERROR)
            fail_msg("the far end cannot inflate this: %s",
                     z->msg != NULL ? z->msg : "another end");
        append(&far->data, room, sizeof room - z->avail_out);
    } while (z->avail_out == 0);
    assert_int_equal(z->avail_in, 0);
}

static void end_inflating(struct far *far)
{
    inflate_piece(far, tail, sizeof tail);
    if (!far->keeps_in)
        inflateReset(&far->inflater);
}

static size_t length_of(const uint8_t *frame, size_t *header)
{
    const unsigned low = frame[1] & 0x7f, bytes = low < 126 ? 0 : low == 126 ? 2 : 8;
    size_t len = low;

    if (bytes > 0)
        len = 0;
    for (unsigned i = 0; i < bytes; i++)
        len = len << 8 | frame[2 + i];
    *header = 2 + bytes;
    return len;
}

bool far_next(struct far *far, struct script_peer *peer)
{
    uint8_t *frame = peer->output.data, *payload;
    size_t header, len;

    far->data.len = 0;
    if (peer->output.len == 0)
        return false;
    assert_true(peer->output.len >= 2);
    len = length_of(frame, &header);
    far->byte0 = frame[0];
    far->wire_len = len;
    payload = frame + header;
    if (!far->is_client) {
        const uint8_t key[4] = {payload[0], payload[1], payload[2], payload[3]};

        payload += 4;
        for (size_t i = 0; i < len; i++)
            payload[i] ^= key[i % 4];
    }
    assert_true(payload + len <= frame + peer->output.len);
    /* RSV1 is on the first frame of a message and stands for all of it. */
    if ((far->byte0 & 0x0f) == WSI_OP_TEXT || (far->byte0 & 0x0f) == WSI_OP_BINARY)
        far->compressed = (far->byte0 & FAR_RSV1) != 0;
    if (far->compressed && (far->byte0 & 0x08) == 0) {
        inflate_piece(far, payload, len);
        if ((far->byte0 & WSI_FRAME_FIN) != 0)
            end_inflating(far);
    } else {
        append(&far->data, payload, len);
    }
    len += (size_t)(payload - frame);
    peer->output.len -= len;
    memmove(frame, frame + len, peer->output.len);
    return true;
}

void far_got_at(struct far *far, struct script_peer *peer, unsigned byte0,
                const void *data, size_t len, const char *file, int line)
{
    _assert_true(far_next(far, peer), "there is a frame", file, line);
    _assert_int_equal(far->byte0, byte0, file, line);
    _assert_int_equal(far->data.len, len, file, line);
    if (len > 0)
        _assert_memory_equal(far->data.data, data, len, file, line);
}

/* ---- sent ---- */

void far_deflate(struct far *far, struct script_bytes *out, const void *data, size_t len)
{
    uint8_t room[4096];
    z_stream *z = &far->deflater;

    z->next_in = (Bytef *)(uintptr_t)data;
    z->avail_in = (unsigned)len;
    do {
        z->next_out = room;
        z->avail_out = sizeof room;
        deflate(z, Z_SYNC_FLUSH);
        append(out, room, sizeof room - z->avail_out);
    } while (z->avail_out == 0);
    if (out->len >= sizeof tail) /* nothing at all for an empty message behind another */
        out->len -= sizeof tail;
    if (!far->keeps_out)
        deflateReset(z);
}

void far_feed_raw(struct far *far, struct script_peer *peer, unsigned byte0,
                  const void *data, size_t len)
{
    if (far->is_client)
        stage_feed_masked(peer, byte0, data, len);
    else
        stage_feed_plain(peer, byte0, data, len);
}

void far_feed(struct far *far, struct script_peer *peer, unsigned opcode,
              const void *data, size_t len, size_t fragments)
{
    struct script_bytes payload = {0};

    far_deflate(far, &payload, data, len);
    for (size_t i = 0; i < fragments; i++) {
        const size_t from = payload.len * i / fragments;
        const size_t to = payload.len * (i + 1) / fragments;
        const unsigned byte0 = (i == 0 ? opcode | FAR_RSV1 : 0) |
                               (i + 1 == fragments ? 0x80u : 0);

        far_feed_raw(far, peer, byte0, payload.data + from, to - from);
    }
    free(payload.data);
}
