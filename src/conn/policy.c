/* SPDX-License-Identifier: MIT */
/*
 * What the lists among the options may hold. They are judged when they are set, so that
 * a typing error is an error of that call and not a visitor who is refused.
 */
#include "conn/policy.h"

#include <string.h>

#include <wsock/error.h>

#include "proto/http.h"
#include "proto/ip.h"
#include "proto/origin.h"
#include "proto/override.h"
#include "proto/stop_list.h"
#include "proto/tunnel.h"

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

static int check_networks(const char *value, struct wsi_list_error *error)
{
    struct wsi_networks networks;
    const int r = wsi_networks_parse(&networks, wsi_str_of(value), error);

    if (r == 0)
        wsi_networks_fini(&networks);
    return r;
}

static const char *check_subprotocol(struct wsi_str element)
{
    return wsi_http_is_token(element) ? NULL
                                      : "a subprotocol is one word, of letters, digits "
                                        "and !#$%&'*+-.^_`|~";
}

static int check_proxy(const char *value, struct wsi_list_error *error)
{
    const char *at = strrchr(value, '@');
    struct wsi_via via;

    /* A password has no place in the text of an error. */
    error->element = wsi_str_of(at != NULL ? at + 1 : value);
    error->why = NULL;
    return *value == '\0' || strcmp(value, "none") == 0 ||
                   wsi_via_parse(&via, wsi_str_of(value), &error->why)
               ? 0
               : WSOCK_EINVAL;
}

static const char *check_local(struct wsi_str element)
{
    struct wsi_str address;
    uint16_t port = 0;

    return wsi_override_address(element, &address, &port);
}

int wsi_policy_check(enum wsi_option_id id, const char *value,
                     struct wsi_list_error *error)
{
    switch (id) {
    case WSI_OPT_ORIGINS:
        return check_each(value, wsi_origin_check_entry, error);
    case WSI_OPT_PROXY_PROTOCOL_FROM:
    case WSI_OPT_TRUST_FORWARDED_FROM:
        return check_networks(value, error);
    case WSI_OPT_RESOLVE:
        return check_each(value, wsi_override_check, error);
    case WSI_OPT_LOCAL_ADDRESS:
        return check_each(value, check_local, error);
    case WSI_OPT_PROXY:
        return check_proxy(value, error);
    case WSI_OPT_SUBPROTOCOLS:
        return check_each(value, check_subprotocol, error);
    case WSI_OPT_RECONNECT_STOP:
        return check_each(value, wsi_stop_list_check_entry, error);
    default:
        return 0;
    }
}
