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
    struct wsi_mail mail;  /* to where the handlers run */
    struct wsock_ask *ask; /* a reference */
    wsock_position at;
    int outcome;
};

void wsi_v1_receipt_free(struct wsi_v1_receipt *receipt)
{
    wsi_v1_ask_unref(receipt->ask);
    wsi_free(receipt);
}

static void answer(const struct wsi_v1_receipt *receipt)
{
    const struct wsock_ask *ask = receipt->ask;
    const char *why = receipt->outcome == WSOCK_UNKNOWN
                          ? "the broker went away: it may be stored, or not"
                          : "the broker did not store it";

    if (receipt->outcome == WSOCK_STORED)
        wsi_v1_reply(ask, wsi_v1_position(&receipt->at));
    else
        wsi_v1_reply_error(ask->session, ask->id, "failed", why,
                           receipt->outcome == WSOCK_NOT_STORED);
}

static void run_answer(struct wsi_mail *mail)
{
    struct wsi_v1_receipt *receipt = WSI_CONTAINER_OF(mail, struct wsi_v1_receipt, mail);
    const struct wsock_conn *conn = receipt->ask->conn;

    /* Where the queue was closed nobody is where the handlers run. */
    if ((wsi_conn_queued(conn) == NULL || wsi_queue_calls(conn->owner->queue)) &&
        receipt->ask->session->stage != WSI_V1_ENDED)
        answer(receipt);
    wsi_v1_receipt_free(receipt);
}

void wsi_v1_on_published(const wsock_published *published, void *user)
{
    struct wsi_v1_receipt *receipt = user;

    receipt->outcome = published->outcome;
    receipt->at.epoch = published->epoch;
    receipt->at.offset = published->offset;
    wsi_v1_post(receipt->ask->conn, &receipt->mail);
}

struct wsi_v1_receipt *wsi_v1_receipt_new(struct wsock_ask *ask)
{
    struct wsi_v1_receipt *receipt = wsi_zalloc(sizeof *receipt);

    if (receipt == NULL)
        return NULL;
    wsi_ref_take(&ask->ref);
    receipt->ask = ask;
    receipt->mail.run = run_answer;
    return receipt;
}
