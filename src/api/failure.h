/* SPDX-License-Identifier: MIT */
/* The sentence that says why the last call on an object failed. */
#ifndef WSI_API_FAILURE_H
#define WSI_API_FAILURE_H

#include <pthread.h>

struct wsi_failure {
    pthread_mutex_t lock;
    char *text; /* (owned, nullable) */
    int code;   /* stands in for the text when there is no memory for it */
};

void wsi_failure_init(struct wsi_failure *failure);
void wsi_failure_fini(struct wsi_failure *failure);

/** Note a sentence. @return code, so that a call can answer with it. */
int wsi_fail(struct wsi_failure *failure, int code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/** @return (borrowed until the next wsi_fail()) never NULL. */
const char *wsi_failure_text(struct wsi_failure *failure);

#endif
