/* SPDX-License-Identifier: MIT */
/*
 * What the broker does in one step, as scripts of its own: each is named by the SHA-1 of
 * its text, and given to the broker when a connection begins.
 */
#ifndef WSI_REDIS_SCRIPT_H
#define WSI_REDIS_SCRIPT_H

#include <stddef.h>

enum wsi_script {
    WSI_SCRIPT_APPEND,
    WSI_SCRIPT_LOAD,
    WSI_SCRIPT_PRESENT,
    WSI_SCRIPT_ABSENT,
    WSI_SCRIPT_RENEW,
    WSI_SCRIPT_NODES,
    WSI_SCRIPTS
};

enum { WSI_SCRIPT_SHA_SIZE = 41 };

/** @return (borrowed for good) */
const char *wsi_script_text(enum wsi_script script);
void wsi_script_sha(char out[WSI_SCRIPT_SHA_SIZE], enum wsi_script script);

#endif
