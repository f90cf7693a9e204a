/* SPDX-License-Identifier: MIT */
/* Numbers and ranges, read anew for each end: there are few of both. */
#include "proto/stop_list.h"

#include "proto/chars.h"
#include "proto/http.h"

struct range {
    unsigned first, last;
};

static bool is_certificate(struct wsi_str entry)
{
    return wsi_str_equal_nocase(entry, WSI_STR("certificate"));
}

/* Statuses have three digits (RFC 9110 section 15), codes four. */
static bool is_in_reach(unsigned number)
{
    return (number >= 100 && number <= 599) || (number >= 1000 && number <= 4999);
}

/* Take digits from the front. @return false when there are none, or too many. */
static bool take_number(struct wsi_str *text, unsigned *out)
{
    size_t len = 0;

    *out = 0;
    while (len < text->len && wsi_char_is(text->ptr[len], WSI_CHAR_DIGIT) && len < 5)
        *out = *out * 10 + (unsigned)(text->ptr[len++] - '0');
    *text = (struct wsi_str){text->ptr + len, text->len - len};
    return len > 0 && len < 5;
}

static bool parse(struct range *out, struct wsi_str entry)
{
    if (!take_number(&entry, &out->first))
        return false;
    out->last = out->first;
    if (entry.len == 0)
        return true;
    if (entry.ptr[0] != '-')
        return false;
    entry = (struct wsi_str){entry.ptr + 1, entry.len - 1};
    return take_number(&entry, &out->last) && entry.len == 0;
}

const char *wsi_stop_list_check_entry(struct wsi_str entry)
{
    struct range range;

    if (is_certificate(entry) || wsi_str_equal_nocase(entry, WSI_STR("none")))
        return NULL;
    if (!parse(&range, entry))
        return "an entry is a number such as 1008 or 404, a range such as 4000-4099, "
               "certificate or none";
    if (!is_in_reach(range.first) || !is_in_reach(range.last))
        return "close codes are 1000 to 4999, statuses of HTTP 100 to 599";
    if (range.last < range.first || (range.first < 1000) != (range.last < 1000))
        return "a range goes up, from code to code or from status to status";
    return NULL;
}

static struct wsi_str list_of(const char *list)
{
    return wsi_str_of(list[0] != '\0' ? list : WSI_STOP_LIST_DEFAULT);
}

bool wsi_stop_list_has(const char *list, unsigned number)
{
    struct wsi_str rest = list_of(list), entry;
    struct range range;

    while (wsi_http_list_next(&rest, &entry))
        if (parse(&range, entry) && range.first <= number && number <= range.last)
            return true;
    return false;
}

bool wsi_stop_list_has_certificate(const char *list)
{
    struct wsi_str rest = list_of(list), entry;

    while (wsi_http_list_next(&rest, &entry))
        if (is_certificate(entry))
            return true;
    return false;
}
