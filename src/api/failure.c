/* SPDX-License-Identifier: MIT */
/* Error texts of objects. */
#include "api/failure.h"

#include <stdarg.h>
#include <stdio.h>

#include <wsock/error.h>

#include "core/alloc.h"

void wsi_failure_init(struct wsi_failure *failure)
{
    pthread_mutex_init(&failure->lock, NULL);
    failure->text = NULL;
    failure->code = 0;
}

void wsi_failure_fini(struct wsi_failure *failure)
{
    wsi_free(failure->text);
    pthread_mutex_destroy(&failure->lock);
}

int wsi_fail(struct wsi_failure *failure, int code, const char *fmt, ...)
{
    char text[512];
    va_list args;

    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    pthread_mutex_lock(&failure->lock);
    wsi_free(failure->text);
    failure->text = wsi_strdup(text);
    failure->code = code;
    pthread_mutex_unlock(&failure->lock);
    return code;
}

const char *wsi_failure_text(struct wsi_failure *failure)
{
    const char *text;

    pthread_mutex_lock(&failure->lock);
    text = failure->text != NULL ? failure->text : wsock_strerror(failure->code);
    pthread_mutex_unlock(&failure->lock);
    return text;
}
