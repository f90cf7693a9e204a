/* SPDX-License-Identifier: MIT */
/* Frames out: answers, and what a connection is told by itself. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <wsock/error.h>

#include "conn/send.h"
#include "core/alloc.h"
#include "serve/v1.h"

/* Who asks but does not read the answers is cut off, because one that went missing could
 * never be made up for. */
static void look_at(struct wsi_v1_session *session, int r)
{
    if (r == WSOCK_EAGAIN)
        wsi_v1_session_close(session, WSI_V1_CLOSE_LATER, "answers are not read");
    else if (r < 0 && r != WSOCK_ECLOSED)
        wsi_v1_session_close(session, WSI_V1_CLOSE_FAILED, wsock_strerror(r));
}

json_t *wsi_v1_position(const wsock_position *at)
{
    char epoch[20];

    snprintf(epoch, sizeof epoch, "%016" PRIx64, at->epoch);
    return json_pack("{s:s, s:I}", "epoch", epoch, "offset", (json_int_t)at->offset);
}

void wsi_v1_send(struct wsi_v1_session *session, json_t *frame)
{
    size_t len = 0;
    char *text = frame != NULL ? wsi_v1_dump(frame, &len) : NULL;

    json_decref(frame);
    look_at(session, text != NULL ? wsock_conn_send(session->conn, WSOCK_TEXT, text, len)
                                  : WSOCK_ENOMEM);
    wsi_free(text);
}

void wsi_v1_reply(const struct wsock_ask *ask, json_t *answer)
{
    const bool is_heard = !ask->session->is_raw &&
                          (ask->id != NULL || answer == NULL || json_is_object(answer));

    if (!is_heard)
        json_decref(answer);
    else if (ask->id != NULL)
        wsi_v1_send(ask->session, json_pack("{s:O, s:o}", "re", ask->id, "ok", answer));
    else
        wsi_v1_send(ask->session, answer);
}

/* A request with an id. */
struct answer {
    char *id;
    wsi_frame_fn *fn;
    const void *what;
};

static void write_answer(struct wsi_writer *writer, const void *what)
{
    const struct answer *answer = what;

    wsi_write_text(writer, "{\"re\":");
    wsi_write_text(writer, answer->id);
    wsi_write_text(writer, ",\"ok\":");
    answer->fn(writer, answer->what);
    wsi_write_text(writer, "}");
}

void wsi_v1_reply_with(const struct wsock_ask *ask, wsi_frame_fn *fn, const void *what)
{
    struct wsi_v1_session *session = ask->session;
    size_t len;
    struct answer answer = {
        .id = ask->id != NULL ? wsi_v1_dump(ask->id, &len) : NULL,
        .fn = fn,
        .what = what,
    };
    struct wsi_blob *frame = NULL;

    if (ask->id == NULL)
        frame = wsi_frame_new(fn, what);
    else if (answer.id != NULL)
        frame = wsi_frame_new(write_answer, &answer);
    look_at(session,
            frame != NULL ? wsi_conn_send_frame(session->conn, frame) : WSOCK_ENOMEM);
    wsi_blob_unref(frame);
    wsi_free(answer.id);
}

void wsi_v1_reply_error(struct wsi_v1_session *session, const json_t *id,
                        const char *code, const char *text, bool retry)
{
    json_t *err = json_pack("{s:s, s:s, s:b}", "code", code, "text", text, "retry",
                            (int)retry);

    if (!session->is_raw)
        wsi_v1_send(session, json_pack("{s:O?, s:o}", "re", id, "err", err));
    else
        json_decref(err);
}
