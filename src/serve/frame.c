/* SPDX-License-Identifier: MIT */
/*
 * Bytes into requests. All bounds of what a client sends are here: size, depth, length of
 * each field. What a field means for a room is looked at later (requests.c).
 */
#include <stdio.h>
#include <string.h>

#include "core/alloc.h"
#include "proto/base64.h"
#include "serve/v1.h"

/* ---- JSON ---- */

/* Brackets nest no deeper than that; looked at before parsing, because the parser's own
 * limit is far above what a message needs. */
static bool is_shallow(const char *text, size_t len)
{
    int depth = 0;
    bool in_string = false;

    for (size_t i = 0; i < len; i++) {
        if (in_string && text[i] == '\\')
            i++;
        else if (text[i] == '"')
            in_string = !in_string;
        else if (!in_string && (text[i] == '[' || text[i] == '{'))
            depth++;
        else if (!in_string && (text[i] == ']' || text[i] == '}'))
            depth--;
        if (depth > WSI_V1_DEPTH_MAX)
            return false;
    }
    return true;
}

bool wsi_v1_is_json(const char *text, size_t len)
{
    json_t *value = NULL;

    if (is_shallow(text, len))
        value = json_loadb(text, len, JSON_ALLOW_NUL | JSON_DECODE_ANY, NULL);
    json_decref(value);
    return value != NULL;
}

char *wsi_v1_dump(const json_t *value, size_t *len)
{
    const size_t flags = JSON_COMPACT | JSON_ENCODE_ANY;
    const size_t size = json_dumpb(value, NULL, 0, flags);
    char *text = size > 0 ? wsi_alloc(size + 1) : NULL;

    if (text == NULL)
        return NULL;
    *len = json_dumpb(value, text, size, flags);
    text[*len] = '\0';
    return text;
}

/* @return NULL, or why it cannot be taken. */
static const char *refuse(const char **code, int type, const char *data, size_t len)
{
    *code = "too_big";
    if (len > WSI_V1_FRAME_MAX)
        return "a frame has at most 65536 bytes";
    *code = "bad_frame";
    if (type != WSOCK_TEXT)
        return "frames are JSON text; binary data goes as {\"b64\": ...}";
    return is_shallow(data, len) ? NULL : "JSON nests at most 32 deep";
}

bool wsi_v1_parse(json_t **out, const char **code, char *text, size_t text_size, int type,
                  const void *data, size_t len)
{
    const char *why = refuse(code, type, data, len);
    json_error_t error;
    json_t *root = NULL;

    if (why == NULL) {
        root = json_loadb(data, len, JSON_ALLOW_NUL, &error);
        *code = "bad_json";
        why = error.text;
    }
    if (root != NULL && json_array_size(root) > WSI_V1_BATCH_MAX) {
        json_decref(root);
        root = NULL;
        *code = "too_big";
        why = "a batch has at most 64 frames";
    }
    if (root == NULL)
        snprintf(text, text_size, "%s", why);
    *out = root;
    return root != NULL;
}

/* ---- fields ---- */

/* @return (borrowed, nullable) a text without NUL, of `most` bytes at most. */
static const char *text_of(const json_t *value, size_t most)
{
    const char *text = json_string_value(value);
    const size_t len = json_string_length(value);

    return text != NULL && len <= most && strlen(text) == len ? text : NULL;
}

/* A field that is there is one. null is as good as absent, as for any other field. */
static bool read_text(const char **out, const json_t *object, const char *name,
                      size_t most)
{
    const json_t *value = json_object_get(object, name);

    if (value == NULL || json_is_null(value))
        return true;
    *out = text_of(value, most);
    return *out != NULL;
}

static bool read_number(uint64_t *out, const json_t *object, const char *name)
{
    const json_t *value = json_object_get(object, name);

    if (value == NULL || json_is_null(value))
        return true;
    if (!json_is_integer(value) || json_integer_value(value) < 0)
        return false;
    *out = (uint64_t)json_integer_value(value);
    return true;
}

/* The epoch of a position: 16 hexadecimal digits, or none for who comes for the first
 * time. */
static bool read_epoch(uint64_t *out, const json_t *since)
{
    static const char digits[] = "0123456789abcdef";
    const char *text = NULL;

    if (!read_text(&text, since, "epoch", 16))
        return false;
    for (*out = 0; text != NULL && *text != '\0'; text++) {
        const char *digit = strchr(digits, *text);

        if (digit == NULL)
            return false;
        *out = *out << 4 | (uint64_t)(digit - digits);
    }
    return true;
}

static bool read_since(struct wsock_ask *ask)
{
    const json_t *since = json_object_get(ask->object, "since");

    if (since == NULL || json_is_null(since))
        return true;
    ask->has_since = json_is_object(since);
    return ask->has_since && read_epoch(&ask->epoch, since) &&
           read_number(&ask->offset, since, "offset");
}

/* Bytes are an object with the one field b64. */
static const char *read_bytes(struct wsi_v1_data *data, const json_t *b64)
{
    const struct wsi_str text = {json_string_value(b64), json_string_length(b64)};
    char *bytes = wsi_alloc(text.len / 4 * 3 + 1);
    ptrdiff_t len;

    if (bytes == NULL)
        return "out of memory";
    len = wsi_base64_decode((uint8_t *)bytes, text);
    if (len < 0) {
        wsi_free(bytes);
        return "data: b64 is no Base64";
    }
    *data = (struct wsi_v1_data){WSOCK_BINARY, bytes, (size_t)len, bytes};
    return NULL;
}

static const char *read_json(struct wsi_v1_data *data, const json_t *value)
{
    size_t len;
    char *text = wsi_v1_dump(value, &len);

    if (text == NULL)
        return "out of memory";
    *data = (struct wsi_v1_data){WSOCK_TEXT | WSOCK_JSON, text, len, text};
    return NULL;
}

static const char *read_data(struct wsock_ask *ask)
{
    const json_t *value = json_object_get(ask->object, "data");
    const json_t *b64 = json_object_get(value, "b64");

    if (value == NULL)
        return "data: it is missing";
    if (json_is_string(value)) {
        ask->data = (struct wsi_v1_data){WSOCK_TEXT, json_string_value(value),
                                         json_string_length(value), NULL};
        return NULL;
    }
    if (json_is_string(b64) && json_object_size(value) == 1)
        return read_bytes(&ask->data, b64);
    return read_json(&ask->data, value);
}

/* Whether an event has a character that is none to print. */
static bool is_plain(const char *text)
{
    for (; *text != '\0'; text++)
        if ((unsigned char)*text < 0x20 || *text == 0x7f)
            return false;
    return true;
}

static const char *read_message(struct wsock_ask *ask)
{
    ask->event = "message";
    if (!read_text(&ask->event, ask->object, "event", WSI_V1_EVENT_MAX) ||
        !is_plain(ask->event))
        return "event: at most 64 bytes of text without control characters";
    if (!read_text(&ask->key, ask->object, "key", WSI_V1_KEY_MAX))
        return "key: at most 255 bytes of text";
    return read_data(ask);
}

static const char *read_value(struct wsock_ask *ask, const char *name)
{
    const json_t *value = json_object_get(ask->object, name);

    return value != NULL ? read_json(&ask->data, value) : NULL;
}

/* ---- requests ---- */

static const char *read_hello(struct wsock_ask *ask, const char **code)
{
    const json_t *version = json_object_get(ask->object, "v");

    if (version != NULL && json_integer_value(version) != 1) {
        *code = "bad_version";
        return "v: this server speaks version 1";
    }
    if (!read_text(&ask->name, ask->object, "name", WSI_V1_NAME_MAX) ||
        (ask->name != NULL && (*ask->name == '\0' || !is_plain(ask->name)))) {
        *code = "bad_name";
        return "name: 1 to 64 bytes of text without control characters";
    }
    return NULL;
}

static const char *read_direct(struct wsock_ask *ask)
{
    if (!read_text(&ask->name, ask->object, "identity", WSI_V1_IDENTITY_MAX) ||
        ask->name == NULL)
        return "identity: it is missing, or longer than 255 bytes";
    return read_message(ask);
}

static const char *read_call(struct wsock_ask *ask)
{
    if (!read_text(&ask->name, ask->object, "name", WSI_V1_NAME_MAX) || ask->name == NULL)
        return "name: it is missing, or longer than 64 bytes";
    return read_value(ask, "args");
}

static const char *read_history(struct wsock_ask *ask)
{
    ask->limit = WSI_V1_HISTORY_MAX;
    if (!read_number(&ask->limit, ask->object, "limit"))
        return "limit: a whole number";
    if (!read_number(&ask->offset, ask->object, "before"))
        return "before: an offset";
    return NULL;
}

static const char *read_join(struct wsock_ask *ask)
{
    return read_since(ask) ? read_value(ask, "info")
                           : "since: an object of epoch and offset";
}

static const struct {
    const char *type;
    enum wsi_v1_kind kind;
} kinds[] = {
    {"hello", WSI_V1_HELLO},   {"refresh", WSI_V1_REFRESH}, {"join", WSI_V1_JOIN},
    {"leave", WSI_V1_LEAVE},   {"pub", WSI_V1_PUBLISH},     {"history", WSI_V1_HISTORY},
    {"direct", WSI_V1_DIRECT}, {"call", WSI_V1_CALL},
};

static bool read_kind(struct wsock_ask *ask, const char *type)
{
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        if (strcmp(type, kinds[i].type) == 0) {
            ask->kind = kinds[i].kind;
            return true;
        }
    }
    return false;
}

static bool read_id(struct wsock_ask *ask)
{
    const json_t *id = json_object_get(ask->object, "id");

    if (id == NULL || json_is_null(id))
        return true;
    if (!json_is_integer(id) && text_of(id, WSI_V1_ID_MAX) == NULL)
        return false;
    ask->id = id;
    return true;
}

static const char *read_fields(struct wsock_ask *ask, const char **code)
{
    if (!read_text(&ask->token, ask->object, "token", WSI_V1_TOKEN_MAX))
        return "token: at most 16384 bytes of text";
    if (!read_text(&ask->room, ask->object, "room", WSI_V1_ROOM_MAX)) {
        *code = "bad_room";
        return "room: the name of a room is at most 255 bytes long";
    }
    switch (ask->kind) {
    case WSI_V1_HELLO:
        return read_hello(ask, code);
    case WSI_V1_JOIN:
        return read_join(ask);
    case WSI_V1_PUBLISH:
        return read_message(ask);
    case WSI_V1_DIRECT:
        return read_direct(ask);
    case WSI_V1_CALL:
        return read_call(ask);
    case WSI_V1_HISTORY:
        return read_history(ask);
    default:
        return NULL;
    }
}

const char *wsi_v1_read(struct wsock_ask *ask, const char **code)
{
    const char *type = json_string_value(json_object_get(ask->object, "type"));

    *code = "bad_frame";
    if (!json_is_object(ask->object) || type == NULL)
        return "a frame is an object with a type";
    if (!read_id(ask))
        return "id: a whole number or at most 64 bytes of text";
    if (!read_kind(ask, type)) {
        *code = "unknown_type";
        return "there are hello, refresh, join, leave, pub, history, direct and call";
    }
    return read_fields(ask, code);
}
