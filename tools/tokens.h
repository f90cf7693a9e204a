/* SPDX-License-Identifier: MIT */
/* Within `wsock serve`: members who prove who they are by signed tokens (docs/auth.md).
 */
#ifndef TOKENS_H
#define TOKENS_H

#include <wsock/wsock.h>

/** What the arguments say; texts are (borrowed until tokens_free(), nullable). */
struct tokens_config {
    const char *secret_file; /**< --jwt-secret */
    const char *key_file;    /**< --jwt-key */
    const char *issuer;      /**< --jwt-issuer */
    const char *audience;    /**< --jwt-audience */
};

struct tokens;

/** @return 0, or an exit status after a complaint. */
int tokens_new(struct tokens **out, wsock_runtime *runtime,
               const struct tokens_config *config);

/** What to ask for rooms, with the tokens as `user`. */
extern const wsock_rooms_hooks tokens_hooks;

/** Once no hook can run any more. Takes NULL. */
void tokens_free(struct tokens *tokens);

#endif
