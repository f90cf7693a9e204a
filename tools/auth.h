/* SPDX-License-Identifier: MIT */
/* Within `wsock serve`: who decides on members of rooms, if anybody does. */
#ifndef AUTH_H
#define AUTH_H

#include "backend.h"
#include "tokens.h"

struct auth {
    struct tokens_config by_token; /* what the arguments say */
    struct backend_config by_backend;
    struct tokens *tokens; /* one of these, or neither */
    struct backend *backend;
};

/** Add one --auth-header. @return 0, or EXIT_USAGE after a complaint. */
int auth_add_header(struct auth *auth, const char *name);

/**
 * Make what the arguments say.
 *
 * @param hooks (out, nullable after success) what to ask for rooms; NULL: nobody.
 * @param user  (out) for them.
 * @return 0, or an exit status after a complaint.
 */
int auth_start(struct auth *auth, wsock_runtime *runtime, const wsock_rooms_hooks **hooks,
               void **user);

/** Refuse what is asked, now and from now on: before the runtime ends. */
void auth_stop(struct auth *auth);
/** After it has ended. */
void auth_end(struct auth *auth);

#endif
