/* SPDX-License-Identifier: MIT */
/* Names of rooms, and patterns of names: tokens divided by '.'. */
#ifndef WSI_ROOM_NAME_H
#define WSI_ROOM_NAME_H

#include <stdbool.h>

/** What wsock/room.h demands of a name. */
bool wsi_room_name_is_valid(const char *name);

/** The same of a pattern: a name in which the token '*' stands for any one token, and '>'
 *  as the last for one or more. */
bool wsi_room_pattern_is_valid(const char *pattern);

/** Both are valid. Takes as long as they are. */
bool wsi_room_pattern_matches(const char *pattern, const char *name);

#endif
