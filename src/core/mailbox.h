/* SPDX-License-Identifier: MIT */
/*
 * Many threads post, one takes everything at once, in the order of posting. The
 * nodes are the caller's: posting never allocates and cannot fail.
 */
#ifndef WSI_CORE_MAILBOX_H
#define WSI_CORE_MAILBOX_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

struct wsi_mail {
    struct wsi_mail *next;
    /* Runs on the taker's thread; the node is its own again from then on. */
    void (*run)(struct wsi_mail *mail);
};

struct wsi_mailbox {
    _Atomic(struct wsi_mail *) newest;
};

static inline void wsi_mailbox_init(struct wsi_mailbox *box)
{
    atomic_init(&box->newest, NULL);
}

/** @return true when the box was empty, so its taker may need to be woken. */
static inline bool wsi_mailbox_post(struct wsi_mailbox *box, struct wsi_mail *mail)
{
    struct wsi_mail *newest = atomic_load_explicit(&box->newest, memory_order_relaxed);

    do
        mail->next = newest;
    while (!atomic_compare_exchange_weak_explicit(
        &box->newest, &newest, mail, memory_order_seq_cst, memory_order_relaxed));
    return newest == NULL;
}

static inline bool wsi_mailbox_is_empty(struct wsi_mailbox *box)
{
    return atomic_load_explicit(&box->newest, memory_order_seq_cst) == NULL;
}

/** @return (nullable) all that was posted, the oldest first, linked by next. */
static inline struct wsi_mail *wsi_mailbox_take(struct wsi_mailbox *box)
{
    struct wsi_mail *newest = atomic_exchange_explicit(&box->newest, NULL,
                                                       memory_order_acq_rel);
    struct wsi_mail *first = NULL;

    while (newest != NULL) {
        struct wsi_mail *next = newest->next;

        newest->next = first;
        first = newest;
        newest = next;
    }
    return first;
}

#endif
