/* SPDX-License-Identifier: MIT */
/*
 * Options as text: a digit for the kind of object, then "name=value". What is taken reads
 * back as a text that means the same; what is refused changes nothing and says why. The
 * value is also tried on every row of the table.
 */
#include "fuzz.h"

#include <wsock/error.h>

#include "core/option.h"
#include "core/option_text.h"

static const unsigned scopes[] = {WSOCK_SCOPE_RUNTIME, WSOCK_SCOPE_SERVER,
                                  WSOCK_SCOPE_ENDPOINT, WSOCK_SCOPE_CLIENT};

static void check_every_row(const char *value)
{
    for (int i = 0; i < WSI_OPT_COUNT; i++) {
        const struct wsi_option_row *row = &wsi_option_rows[i];
        int64_t number = 77, again;
        char text[32];
        int len;

        if (row->type == WSOCK_OPTION_STRING)
            continue;
        if (wsi_option_parse(&number, row, value) < 0) {
            CHECK(number == 77);
            continue;
        }
        len = wsi_option_format(text, sizeof text, (enum wsi_option_id)i, number);
        CHECK(len > 0 && (size_t)len < sizeof text);
        /* INT64_MAX stands for off, and no option may be that large. */
        if (number != INT64_MAX)
            CHECK(wsi_option_parse(&again, row, text) == 0 && again == number);
    }
}

static void check_taken(struct wsi_options *options, const char *name, const char *value)
{
    char why[WSI_OPTION_WHY_SIZE];
    const size_t size = strlen(value) + 32;
    char *text = malloc(size), *again = malloc(size);
    int64_t before, after;
    const int len = wsi_options_get_text(options, text, size, name, NULL, 0);

    CHECK(text != NULL && again != NULL && len >= 0 && strlen(text) == (size_t)len);
    CHECK(wsi_options_get_text(options, again, (size_t)len, name, why, sizeof why) ==
          WSOCK_ETOOBIG);
    if (wsi_options_get_number(options, &before, name, NULL, 0) == 0) {
        CHECK(wsi_options_set(options, name, text, false, why, sizeof why) == 0);
        CHECK(wsi_options_get_number(options, &after, name, NULL, 0) == 0);
        CHECK(before == after);
        CHECK(wsi_options_set_number(options, name, before, false, NULL, 0) == 0);
    } else {
        CHECK(strcmp(text, value) == 0);
    }
    CHECK(wsi_options_get_text(options, again, size, name, why, sizeof why) == len);
    CHECK(strcmp(text, again) == 0);
    free(text);
    free(again);
}

static void check_refused(struct wsi_options *options, const char *name,
                          const char *value, int code)
{
    char why[WSI_OPTION_WHY_SIZE], cut[9];

    CHECK(code == WSOCK_EOPTION || code == WSOCK_EINVAL || code == WSOCK_ERANGE);
    for (int i = 0; i < WSI_OPT_COUNT; i++)
        CHECK(!options->is_explicit[i]);
    memset(why, 'x', sizeof why);
    CHECK(wsi_options_set(options, name, value, false, why, sizeof why) == code);
    CHECK(why[0] != '\0' && memchr(why, '\0', sizeof why - 1) != NULL);
    CHECK(strchr(why, '\n') == NULL);
    memset(cut, 'x', sizeof cut);
    CHECK(wsi_options_set(options, name, value, false, cut, sizeof cut) == code);
    CHECK(memchr(cut, '\0', sizeof cut) != NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct wsi_options options, parent;
    char *name = fuzz_text(data, len), *value, *equals;
    int r;

    equals = strchr(name, '=');
    if (equals == NULL) {
        free(name);
        return 0;
    }
    *equals = '\0';
    value = fuzz_text(equals + 1, strlen(equals + 1));
    wsi_options_init(&parent, WSOCK_SCOPE_SERVER);
    wsi_options_init(&options, scopes[(unsigned char)name[0] & 3]);
    if (name[0] != '\0') {
        r = wsi_options_set(&options, name + 1, value, false, NULL, 0);
        if (r == 0)
            check_taken(&options, name + 1, value);
        else
            check_refused(&options, name + 1, value, r);
        if (options.scope == WSOCK_SCOPE_ENDPOINT)
            wsi_options_inherit(&options, &parent);
    }
    check_every_row(value);
    wsi_options_fini(&options);
    wsi_options_fini(&parent);
    free(value);
    free(name);
    return 0;
}
