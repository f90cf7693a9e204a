/* SPDX-License-Identifier: MIT */
/* What became of a message that the broker of a cluster keeps: who said it is answered
 * when that is known, and not before, as a message that was not stored nobody else hears.
 */
#include <wsock/error.h>

#include "conn/conn.h"
#include "conn/queue.h"
#include "core/alloc.h"
#include "serve/v1.h"

struct wsi_v1_receipt {
    struct wsi_mail mail; /* to where the handlers run */
    wsock_conn *conn;     /* a reference */
    json_t *id;           /* (owned) of the request, which is let go meanwhile */
    wsock_position at;
    int outcome;
};

void wsi_v1_receipt_free(struct wsi_v1_receipt *receipt)
{
    wsock_conn_unref(receipt->conn);
    json_decref(receipt->id);
    wsi_free(receipt);
}

static void answer(const struct wsi_v1_receipt *receipt, struct wsi_v1_session *session)
{
    const char *why = receipt->outcome == WSOCK_UNKNOWN
                          ? "the broker went away: it may be stored, or not"
                          : "the broker did not store it";

    if (receipt->outcome == WSOCK_STORED)
        wsi_v1_send(session, json_pack("{s:O, s:o}", "re", receipt->id, "ok",
                                       wsi_v1_position(&receipt->at)));
    else
        wsi_v1_reply_error(session, receipt->id, "failed", why,
                           receipt->outcome == WSOCK_NOT_STORED);
}

static void run_answer(struct wsi_mail *mail)
{
    struct wsi_v1_receipt *receipt = WSI_CONTAINER_OF(mail, struct wsi_v1_receipt, mail);
    const wsock_conn *conn = receipt->conn;
    struct wsi_v1_session *session = wsi_v1_session_of(conn);

    /* Where the queue was closed nobody is where the handlers run. */
    if ((wsi_conn_queued(conn) == NULL || wsi_queue_calls(conn->owner->queue)) &&
        session->stage != WSI_V1_ENDED)
        answer(receipt, session);
    wsi_v1_receipt_free(receipt);
}

void wsi_v1_on_published(const wsock_published *published, void *user)
{
    struct wsi_v1_receipt *receipt = user;

    receipt->outcome = published->outcome;
    receipt->at.epoch = published->epoch;
    receipt->at.offset = published->offset;
    wsi_v1_post(receipt->conn, &receipt->mail);
}

struct wsi_v1_receipt *wsi_v1_receipt_new(const struct wsock_ask *ask)
{
    struct wsi_v1_receipt *receipt = wsi_zalloc(sizeof *receipt);
    json_t *id = json_deep_copy(ask->id);

    if (receipt == NULL || id == NULL) {
        wsi_free(receipt);
        json_decref(id);
        return NULL;
    }
    receipt->conn = wsock_conn_ref(ask->conn);
    receipt->id = id;
    receipt->mail.run = run_answer;
    return receipt;
}
