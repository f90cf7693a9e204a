/* SPDX-License-Identifier: MIT */
/* Frames out: answers, and what a connection is told by itself. */
#include <string.h>

#include <wsock/error.h>

#include "core/alloc.h"
#include "serve/v1.h"

/* Who asks but does not read the answers is cut off, because one that went missing could
 * never be made up for. */
static void send_text(struct wsi_v1_session *session, const char *text, size_t len)
{
    const int r = wsock_conn_send(session->conn, WSOCK_TEXT, text, len);

    if (r == WSOCK_EAGAIN)
        wsi_v1_session_close(session, WSI_V1_CLOSE_LATER, "answers are not read");
    else if (r < 0 && r != WSOCK_ECLOSED)
        wsi_v1_session_close(session, WSI_V1_CLOSE_FAILED, wsock_strerror(r));
}

void wsi_v1_send(struct wsi_v1_session *session, json_t *frame)
{
    size_t len = 0;
    char *text = frame != NULL ? wsi_v1_dump(frame, &len) : NULL;

    json_decref(frame);
    if (text != NULL)
        send_text(session, text, len);
    else
        wsi_v1_session_close(session, WSI_V1_CLOSE_FAILED, wsock_strerror(WSOCK_ENOMEM));
    wsi_free(text);
}

void wsi_v1_reply(const struct wsock_ask *ask, json_t *answer)
{
    if (ask->id != NULL)
        wsi_v1_send(ask->session, json_pack("{s:O, s:o}", "re", ask->id, "ok", answer));
    else if (answer == NULL || json_is_object(answer))
        wsi_v1_send(ask->session, answer);
    else
        json_decref(answer);
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
