/* SPDX-License-Identifier: MIT */
/* Addresses that are given for names. */
#include "proto/override.h"

#include "proto/authority.h"
#include "proto/http.h"
#include "proto/ip.h"

/* Where the host ends: behind its bracket, or at the first colon. */
static const char *end_of_host(struct wsi_str element)
{
    const char *close;

    if (element.len == 0 || element.ptr[0] != '[')
        return memchr(element.ptr, ':', element.len);
    close = memchr(element.ptr, ']', element.len);
    return close != NULL ? close + 1 : NULL;
}

const char *wsi_override_address(struct wsi_str text, struct wsi_str *address,
                                 uint16_t *port)
{
    struct wsi_authority authority;
    const char *why;
    struct wsi_ip ip;

    *address = text;
    if (wsi_ip_parse(&ip, text))
        return NULL;
    if (!wsi_authority_parse(text, &authority, &why) ||
        !wsi_ip_parse(&ip, authority.host) ||
        (authority.port_given && authority.port == 0))
        return "its address is malformed";
    *address = authority.host;
    if (authority.port_given)
        *port = authority.port;
    return NULL;
}

static const char *split(struct wsi_str element, struct wsi_authority *authority,
                         struct wsi_str *address, uint16_t *port)
{
    const char *end = element.ptr + element.len, *colon = end_of_host(element);
    const char *second = NULL;
    const char *why = NULL;

    if (colon != NULL && colon < end)
        second = memchr(colon + 1, ':', (size_t)(end - colon) - 1);
    if (second == NULL)
        return "it is not HOST:PORT:ADDRESS";
    if (!wsi_authority_parse(
            (struct wsi_str){element.ptr, (size_t)(second - element.ptr)}, authority,
            &why))
        return why;
    if (authority->port == 0)
        return "port 0 cannot be connected to";
    *port = authority->port;
    return wsi_override_address((struct wsi_str){second + 1, (size_t)(end - second) - 1},
                                address, port);
}

const char *wsi_override_check(struct wsi_str element)
{
    struct wsi_authority authority;
    struct wsi_str address;
    uint16_t port;

    return split(element, &authority, &address, &port);
}

bool wsi_override_next(struct wsi_str *list, struct wsi_str host, uint16_t port,
                       struct wsi_str *address, uint16_t *to_port)
{
    struct wsi_authority authority;
    struct wsi_str element;

    while (wsi_http_list_next(list, &element))
        if (split(element, &authority, address, to_port) == NULL &&
            authority.port == port &&
            (wsi_str_equal(authority.host, WSI_STR("*")) ||
             wsi_str_equal_nocase(authority.host, host)))
            return true;
    return false;
}
