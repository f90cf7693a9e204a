/* SPDX-License-Identifier: MIT */
/*
 * What the lists among the options may hold. They are judged when they are set, so that
 * a typing error is an error of that call and not a visitor who is refused.
 */
#include "conn/policy.h"

#include <wsock/error.h>

#include "proto/http.h"
#include "proto/origin.h"

static int check_each(const char *value, const char *(*check)(struct wsi_str),
                      struct wsi_list_error *error)
{
    struct wsi_str list = wsi_str_of(value), element;

    while (wsi_http_list_next(&list, &element)) {
        error->element = element;
        error->why = check(element);
        if (error->why != NULL)
            return WSOCK_EINVAL;
    }
    return 0;
}

static const char *check_subprotocol(struct wsi_str element)
{
    return wsi_http_is_token(element) ? NULL
                                      : "a subprotocol is one word, of letters, digits "
                                        "and !#$%&'*+-.^_`|~";
}

int wsi_policy_check(enum wsi_option_id id, const char *value,
                     struct wsi_list_error *error)
{
    switch (id) {
    case WSI_OPT_ORIGINS:
        return check_each(value, wsi_origin_check_entry, error);
    case WSI_OPT_SUBPROTOCOLS:
        return check_each(value, check_subprotocol, error);
    default:
        return 0;
    }
}
