/* SPDX-License-Identifier: MIT */
/* Texts of errno. */
#include "core/errno_text.h"

#include <stddef.h>
#include <string.h>

const char *wsi_errno_text(int error)
{
    const char *text;

    if (error == 0)
        return "no error";
#if defined(__GLIBC__) && (__GLIBC__ > 2 || (__GLIBC__ == 2 && __GLIBC_MINOR__ >= 32))
    text = strerrordesc_np(error);
#else
    text = strerror(error); /* static and constant in the other C libraries of Linux */
#endif
    return text != NULL ? text : "unknown error";
}
