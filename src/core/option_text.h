/* SPDX-License-Identifier: MIT */
/*
 * Options as text: values to and from it, and the sentences about what was wrong. Only
 * for option.c and option_text.c.
 */
#ifndef WSI_CORE_OPTION_TEXT_H
#define WSI_CORE_OPTION_TEXT_H

#include <stddef.h>
#include <stdint.h>

#include "core/option.h"

struct wsi_option_row {
    const char *name;
    const char *text;
    int64_t value_default, value_min, value_max;
    unsigned scope;
    int type;
    bool is_live;
    const char *words; /* see WSI_OPTION_MAP */
};

/* Words of numbers. */
enum wsi_option_zero { WSI_ZERO_IS_ZERO, WSI_ZERO_IS_OFF, WSI_ZERO_IS_AUTO };

/** What 0 means, when it is not one of a range or a choice. */
enum wsi_option_zero wsi_option_zero(const struct wsi_option_row *row);

extern const struct wsi_option_row wsi_option_rows[WSI_OPT_COUNT];

/** @param out (out) as the public calls count: 0 for off. @return 0; WSOCK_EINVAL;
 * WSOCK_ERANGE for a number beyond int64_t. The option's range is not looked at. */
int wsi_option_parse(int64_t *out, const struct wsi_option_row *row, const char *text);

/* Each writes a sentence to why (nullable) and returns the code. */
int wsi_option_why_unknown(unsigned scope, const char *name, char *why, size_t why_size);
int wsi_option_why_scope(const struct wsi_option_row *row, unsigned scope, char *why,
                         size_t why_size);
int wsi_option_why_value(int code, const struct wsi_option_row *row, const char *value,
                         char *why, size_t why_size);
int wsi_option_why_element(int code, const struct wsi_option_row *row,
                           const struct wsi_list_error *error, char *why,
                           size_t why_size);
int wsi_option_why_busy(const struct wsi_option_row *row, char *why, size_t why_size);
int wsi_option_why_kind(int code, const struct wsi_option_row *row, char *why,
                        size_t why_size);

#endif
