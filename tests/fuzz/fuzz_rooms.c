/* SPDX-License-Identifier: MIT */
/*
 * A message of a client of rooms. What is no frame has a code and a sentence; of a frame
 * each field is within its bounds, and what is told to others is what the room takes.
 */
#include "fuzz.h"

#include "core/alloc.h"
#include "proto/json.h"
#include "proto/utf8.h"
#include "serve/v1.h"

static void check_text(const char *text, size_t most)
{
    CHECK(text == NULL ||
          (strlen(text) <= most && wsi_utf8_is_valid(text, strlen(text))));
}

static void check_data(const struct wsi_v1_data *data)
{
    CHECK(data->len <= 6 * (size_t)WSI_V1_FRAME_MAX); /* escaped */
    if ((data->type & WSOCK_TEXT) != 0)
        CHECK(wsi_utf8_is_valid(data->data, data->len));
    if ((data->type & WSOCK_JSON) != 0)
        CHECK(wsi_json_is_value(data->data, data->len));
}

static void check_request(json_t *object)
{
    struct wsock_ask ask = {.object = object};
    const char *code = NULL;
    const char *why = wsi_v1_read(&ask, &code);

    if (why != NULL) {
        CHECK(*why != '\0' && code != NULL && *code != '\0');
    } else {
        CHECK(ask.kind >= WSI_V1_HELLO && ask.kind <= WSI_V1_HISTORY);
        CHECK(ask.id == NULL || json_is_integer(ask.id) ||
              json_string_length(ask.id) <= WSI_V1_ID_MAX);
        CHECK((ask.kind != WSI_V1_PUBLISH && ask.kind != WSI_V1_DIRECT) ||
              (ask.event != NULL && ask.data.type != 0));
        check_text(ask.room, WSI_V1_ROOM_MAX);
        check_text(ask.name, WSI_V1_IDENTITY_MAX);
        check_text(ask.token, WSI_V1_TOKEN_MAX);
        check_text(ask.event, WSI_V1_EVENT_MAX);
        check_text(ask.key, WSI_V1_KEY_MAX);
        check_data(&ask.data);
    }
    wsi_free(ask.data.owned);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    char *text = fuzz_copy(data, len);
    const char *code = NULL;
    json_t *root = NULL;
    char why[160] = "";

    /* Text comes here only if it is UTF-8. */
    if (!wsi_utf8_is_valid(text, len)) {
        free(text);
        return 0;
    }
    if (wsi_v1_parse(&root, &code, why, sizeof why, WSOCK_TEXT, text, len)) {
        CHECK(json_array_size(root) <= WSI_V1_BATCH_MAX);
        if (!json_is_array(root))
            check_request(root);
        for (size_t i = 0; i < json_array_size(root); i++)
            check_request(json_array_get(root, i));
    } else {
        CHECK(root == NULL && code != NULL && why[0] != '\0');
    }
    json_decref(root);
    free(text);
    return 0;
}
