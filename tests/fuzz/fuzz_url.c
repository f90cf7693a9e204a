/* SPDX-License-Identifier: MIT */
/*
 * URLs of servers and listeners. What is accepted, written as Host and target, must be a
 * target and an authority that a server accepts, and name the same place when read again.
 */
#include "fuzz.h"

#include <wsock/error.h>

#include "proto/authority.h"
#include "proto/url.h"

enum { HOST_SIZE = WSI_HOST_MAX + 16 };

static void check_bounds(const struct wsi_url *url, const char *text)
{
    const size_t len = strlen(text);

    CHECK(fuzz_lies_inside(url->host, text, len));
    CHECK(fuzz_lies_inside(url->userinfo, text, len));
    CHECK(fuzz_lies_inside(url->path, text, len));
    CHECK(url->target.len != 0);
    CHECK(url->is_unix ? url->path.len != 0 && url->path.len <= 107 : url->host.len != 0);
}

/* Both writers fill a buffer that is just large enough, and refuse a smaller one. */
static char *write_exactly(int (*write)(const struct wsi_url *, char *, size_t),
                           const struct wsi_url *url, size_t most)
{
    char *wide = malloc(most), *exact;
    const int len = write(url, wide, most);

    CHECK(wide != NULL && len > 0 && (size_t)len < most && wide[len] == '\0');
    exact = malloc((size_t)len + 1);
    CHECK(exact != NULL && write(url, exact, (size_t)len) == WSOCK_ETOOBIG);
    CHECK(write(url, exact, (size_t)len + 1) == len && strcmp(exact, wide) == 0);
    free(wide);
    return exact;
}

static void check_again(const struct wsi_url *url, const char *host, const char *target)
{
    const size_t size = strlen(host) + strlen(target) + sizeof "wss://";
    char *text = malloc(size);
    struct wsi_url again;
    const char *why;

    CHECK(text != NULL);
    snprintf(text, size, "%s://%s%s", url->secure ? "wss" : "ws", host, target);
    CHECK(wsi_url_parse(text, &again, &why) == 0);
    CHECK(wsi_str_equal(again.host, url->host) && again.port == url->port);
    CHECK(again.host_is_ipv6 == url->host_is_ipv6 && again.secure == url->secure);
    CHECK(wsi_str_equal(again.target, wsi_str_of(target)) && again.userinfo.len == 0);
    free(text);
}

static void check_accepted(const struct wsi_url *url, const char *text)
{
    char *host = write_exactly(wsi_url_write_host, url, HOST_SIZE);
    char *target = write_exactly(wsi_url_write_target, url, strlen(text) + 3);
    struct wsi_authority authority;
    struct wsi_target split;
    const char *why;

    check_bounds(url, text);
    CHECK(target[0] == '/' && wsi_target_split(wsi_str_of(target), &split));
    CHECK(wsi_str_equal(url->host, WSI_STR("*")) ||
          wsi_authority_parse(wsi_str_of(host), &authority, &why));
    if (!url->is_unix)
        check_again(url, host, target);
    free(host);
    free(target);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    char *text = fuzz_text(data, len);
    struct wsi_url url;
    const char *why = NULL;
    const int r = wsi_url_parse(text, &url, &why);

    if (r == 0) {
        check_accepted(&url, text);
    } else {
        CHECK(r == WSOCK_EURL && why != NULL && why[0] != '\0');
    }
    free(text);
    return 0;
}
