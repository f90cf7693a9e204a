/* SPDX-License-Identifier: MIT */
/* Options that are lists with a grammar: what they take. */
#ifndef WSI_CONN_POLICY_H
#define WSI_CONN_POLICY_H

#include "core/option.h"

/** For wsi_options.check. */
int wsi_policy_check(enum wsi_option_id id, const char *value,
                     struct wsi_list_error *error);

#endif
