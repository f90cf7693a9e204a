/* SPDX-License-Identifier: MIT */
/*
 * The options of rooms: what a room has from the moment when it is made. They come from
 * the server, from what was said for names of its pattern, and from who makes the room;
 * the last of these wins.
 */
#ifndef WSI_ROOM_OPTIONS_H
#define WSI_ROOM_OPTIONS_H

#include <stddef.h>
#include <stdint.h>

#include "core/list.h"
#include "core/option.h"

/* All are numbers, and no more of the table than a room's is kept with each room. */
struct wsi_room_options {
    int64_t value[WSI_ROOM_OPTION_COUNT];
};

/* Room for any sentence that a failing call on rooms writes. */
enum { WSI_ROOM_WHY_SIZE = 640 };

/** As wsi_option(). */
static inline int64_t wsi_room_option(const struct wsi_room_options *options,
                                      enum wsi_option_id id)
{
    return options->value[id - WSI_ROOM_OPTION_FIRST];
}

/** Read an array of names and values that ends with NULL. @param options (out) init'd by
 *  this, of scope room. @return 0, or as wsi_options_set(). */
int wsi_room_options_read(struct wsi_options *options, const char *const *pairs,
                          char *why, size_t why_size);

/**
 * From now on rooms of names that match have this option. Later calls win.
 *
 * @param rules list of all that was said so far, the oldest first.
 * @return 0; WSOCK_EINVAL for the pattern, else as wsi_options_set().
 */
int wsi_room_rules_add(struct wsi_list *rules, const char *pattern, const char *option,
                       const char *value, char *why, size_t why_size);
void wsi_room_rules_fini(struct wsi_list *rules);

/** What a room of that name has. @param asked (nullable) of who makes it. */
void wsi_room_options_decide(struct wsi_room_options *out,
                             const struct wsi_options *server,
                             const struct wsi_list *rules,
                             const struct wsi_options *asked, const char *name);

/** Whether a room has what is asked of it. @return 0; WSOCK_EEXIST, and a sentence with
 *  the option and both values. */
int wsi_room_options_compare(const struct wsi_room_options *options,
                             const struct wsi_options *asked, const char *name, char *why,
                             size_t why_size);

/** As an object of the table, of scope room, for what reads by name. */
void wsi_room_options_show(const struct wsi_room_options *options,
                           struct wsi_options *out);

#endif
