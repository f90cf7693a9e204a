/* SPDX-License-Identifier: MIT */
/*
 * A network in memory, with its own clock: a backend for one loop without kernel sockets,
 * on which everything repeats exactly. Sockets connect to each other and to nothing else;
 * bytes arrive when the clock has come to it, as whole as the network's conditions say;
 * and the clock stands still but for wsi_memory_turn(), which moves it to the next thing
 * that happens. A loop on it never waits.
 *
 * A name has an address of its own, a port belongs to an address, and who connects where
 * nobody listens is refused. Descriptors are numbers that no kernel gives out.
 *
 * One lock, held throughout a turn and what it calls back, makes all calls safe from
 * every thread; who holds a lock that the callbacks take makes none.
 */
#ifndef WSI_IO_MEMORY_H
#define WSI_IO_MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/clock.h"
#include "io/backend.h"

enum { WSI_MEMORY_ROOM = 64 * 1024 }; /* bytes under way, at first */

struct wsi_memory; /* the network */

/** @return NULL without memory. */
struct wsi_memory *wsi_memory_new(void);
/** Its loop must have gone. Takes NULL. */
void wsi_memory_free(struct wsi_memory *memory);

/** For one loop: wsi_loop_new(). @return (borrowed from memory) */
const struct wsi_backend *wsi_memory_backend(struct wsi_memory *memory);
/** @return (borrowed from memory) */
const struct wsi_clock *wsi_memory_clock(struct wsi_memory *memory);

/** Since the network began. */
uint64_t wsi_memory_now_ms(const struct wsi_memory *memory);
/** Nothing happens by itself before; UINT64_MAX when nothing will. */
uint64_t wsi_memory_next_ms(struct wsi_memory *memory);

/**
 * One turn of the loop, if something happens until then: now, or else later, and then the
 * clock moves on to it. Otherwise the clock moves to `until_us`, or not at all if that is
 * UINT64_MAX.
 *
 * @param until_us by the network's clock; before now is now.
 * @return whether there was a turn.
 */
bool wsi_memory_turn(struct wsi_memory *memory, uint64_t until_us);

/* ---- conditions, from now on ---- */

/** How long what is sent is under way. */
void wsi_memory_set_delay(struct wsi_memory *memory, uint64_t delay_ms);
/** As much one call takes or gives at most; 0: whatever there is. */
void wsi_memory_set_chunk(struct wsi_memory *memory, size_t chunk_bytes);
/** As much is under way or unread at most, for each direction of each connection. */
void wsi_memory_set_room(struct wsi_memory *memory, size_t room_bytes);
/** Nothing arrives, until all is let go, what wsi_memory_hold_sent() holds included. */
void wsi_memory_hold(struct wsi_memory *memory, bool held);
/** Whom those who connect come from. @return false when it is no numeric address. */
bool wsi_memory_set_source(struct wsi_memory *memory, const char *host);

/** Nothing of what this end sends arrives. @return false when it is not connected. */
bool wsi_memory_hold_sent(struct wsi_memory *memory, int fd, bool held);
/** Both ends are reset, and what is under way is lost. @return as before */
bool wsi_memory_cut(struct wsi_memory *memory, int fd);

#endif
