/* SPDX-License-Identifier: MIT */
/* The other end of an admin listener: one call, and wait for its answer. */
#ifndef ADMIN_CLIENT_H
#define ADMIN_CLIENT_H

#include <jansson.h>

/** Where to ask. */
struct admin_target {
    const char *url;      /**< as admin_start() takes it; NULL: what WSOCK_ADMIN says */
    const char *key_file; /**< (nullable) NULL: what WSOCK_ADMIN_KEY says, or none */
};

/**
 * Make a call.
 *
 * @param out  (out, owned) what it answers.
 * @param call "/publish".
 * @param args (consumed, nullable: without memory)
 * @return 0, or an exit status after a complaint.
 */
int admin_ask(const char *command, const struct admin_target *target, const char *call,
              json_t *args, json_t **out);

#endif
