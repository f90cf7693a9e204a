/* SPDX-License-Identifier: MIT */
/*
 * The rooms of `wsock serve`: the paths /rooms and /rooms/{name} of a server, for raw
 * members and for those that speak wsock.rooms.v1 (docs/command.md).
 */
#ifndef SERVE_H
#define SERVE_H

#include <wsock/wsock.h>

struct rooms;

/**
 * Put the rooms on a server, before it listens.
 *
 * @param hooks (borrowed until return, nullable) who decides on members; NULL: everybody
 *              may come, and is who they say.
 * @param user  (borrowed) of the hooks.
 * @return 0 or a negative code of the library.
 */
int rooms_new(struct rooms **out, wsock_server *server, const wsock_rooms_hooks *hooks,
              void *user);

/** Once no handler of the server can run any more. */
void rooms_free(struct rooms *rooms);

/* serve_reload.c */

/** Keep SIGHUP from this thread and those that it makes. */
void reload_block(void);

/** From now on SIGHUP reloads. @param level of the log, -1: the default. @return 0, or an
 * exit status after a complaint. */
int reload_start(wsock_server *server, int level);
void reload_stop(void);

#endif
