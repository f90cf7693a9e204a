/* SPDX-License-Identifier: MIT */
/*
 * What the adapters of brokers have in common. A plug-in is made of the files of its
 * broker and a copy of adapter.c, which is its door: it exports the type of the bus and
 * calls by the names below what the files do, each for its broker.
 */
#ifndef WSI_CLUSTER_ADAPTER_H
#define WSI_CLUSTER_ADAPTER_H

#include "cluster/bus.h"

/* ---- of every adapter ---- */

/** Ended by NULL. */
extern const char *const wsi_adapter_schemes[];

/** @return NULL, or what is wrong with a URL: it shows no password. */
const char *wsi_adapter_check_url(const char *url);

/** As open() and close() of struct wsi_bus_type. */
int wsi_bus_open(struct wsi_bus **out, const struct wsi_bus_services *services,
                 const struct wsi_bus_config *config, struct wsi_bus_handler *handler,
                 char *why);
void wsi_bus_close(struct wsi_bus *bus);

/** @param room NULL: all rooms. */
int wsi_subs_submit(struct wsi_bus *bus, const char *room, bool on);

int wsi_messages_publish(struct wsi_bus *bus, const struct wsi_bus_channel *channel,
                         struct wsi_bytes bytes, struct wsi_bus_receipt *receipt);
int wsi_messages_append(struct wsi_bus *bus, const char *room, struct wsi_bytes bytes,
                        const struct wsi_bus_id *id, const struct wsi_bus_window *window,
                        const struct wsi_bus_position *seen,
                        struct wsi_bus_receipt *receipt);
int wsi_load_submit(struct wsi_bus *bus, const char *room,
                    const struct wsi_bus_window *window,
                    const struct wsi_bus_position *seen, struct wsi_bus_receipt *receipt);

int wsi_presence_submit(struct wsi_bus *bus, const char *room, const char *name,
                        struct wsi_bytes bytes, bool on);
int wsi_presence_describe(struct wsi_bus *bus, struct wsi_bytes bytes);
/** @param room NULL: of nodes. */
int wsi_presence_list(struct wsi_bus *bus, const char *room,
                      struct wsi_bus_receipt *receipt);

/* ---- for adapters ---- */

/** As parse() of struct wsi_bus_type. */
int wsi_adapter_parse(const char *url, char *why);

/** The memory of a bus, zeroed, from the library's allocator. @param why (out) as of
 *  open(). @return NULL without memory */
struct wsi_bus *wsi_adapter_alloc(size_t size, const struct wsi_bus_services *services,
                                  char *why);

/** A number from 0 to below - 1: it spreads, and is no secret. @param state random at
 *  first */
uint64_t wsi_adapter_draw(uint64_t *state, uint64_t below);

void wsi_adapter_log(const struct wsi_bus_services *services, int level,
                     const char *format, ...) __attribute__((format(printf, 3, 4)));

static inline uint64_t wsi_sooner(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

#endif
