/* SPDX-License-Identifier: MIT */
/*
 * Signed tokens: RFC 7519 (claims) in the compact form of RFC 7515 section 7.1, signed
 * with an algorithm of RFC 7518 section 3.
 *
 * Who sends a token may be anybody until its signature holds, so up to there only its
 * header is parsed, and of that only what says that it cannot hold: the key decides on
 * the algorithm (RFC 8725 section 3.1).
 */
#include "v1/jwt.h"

#include <string.h>

#include <jansson.h>
#include <wsock/error.h>

#include "conn/identity.h"
#include "core/alloc.h"
#include "core/clock.h"
#include "proto/base64.h"
#include "room/name.h"
#include "tls/signature.h"

/* A token, taken apart. */
struct parts {
    struct wsi_str header, payload, signature; /* in base64url */
    struct wsi_str input;                      /* what is signed: the first two */
};

/* What a token is judged by. */
struct view {
    const struct wsock_jwt_rules *rules;
    int64_t now_ms, leeway_ms;
};

static int refuse(int *why, int error)
{
    *why = error;
    return WSOCK_EACCESS;
}

/* ---- keys ---- */

static bool holds_pem(struct wsi_str data)
{
    return memmem(data.ptr, data.len, "-----BEGIN ", 11) != NULL;
}

static int take_secret(struct wsock_jwt_key *key, const char **why, struct wsi_str data)
{
    if (holds_pem(data)) {
        *why = "it is a key or a certificate in PEM, and no secret";
        return WSOCK_EINVAL;
    }
    if (data.len < WSI_JWT_SECRET_MIN) {
        *why = "a secret has 32 bytes or more";
        return WSOCK_EINVAL;
    }
    key->secret = wsi_strndup(data.ptr, data.len);
    key->secret_len = data.len;
    *why = "out of memory";
    return key->secret != NULL ? 0 : WSOCK_ENOMEM;
}

int wsi_jwt_key_new(struct wsock_jwt_key **out, const char **why, int algorithm,
                    struct wsi_str data)
{
    struct wsock_jwt_key *key = wsi_zalloc(sizeof *key);
    int r = WSOCK_EINVAL;

    *why = "out of memory";
    if (key == NULL)
        return WSOCK_ENOMEM;
    wsi_ref_init(&key->ref);
    key->algorithm = algorithm;
    if (algorithm == WSOCK_JWT_HS256)
        r = take_secret(key, why, data);
    else if (algorithm == WSOCK_JWT_RS256)
        r = wsi_rsa_key_new(&key->rsa, why, data);
    else
        *why = "the algorithm is neither HS256 nor RS256";
    if (r < 0) {
        wsi_jwt_key_free(key);
        return r;
    }
    *out = key;
    return 0;
}

void wsi_jwt_key_free(struct wsock_jwt_key *key)
{
    if (key->secret != NULL)
        wsi_secret_wipe(key->secret, key->secret_len);
    wsi_free(key->secret);
    wsi_rsa_key_free(key->rsa);
    wsi_free(key);
}

/* ---- the form ---- */

/* Three parts divided by dots; of the characters the decoder judges. */
static bool split(struct parts *parts, struct wsi_str token)
{
    const char *first = memchr(token.ptr, '.', token.len);
    const char *end = token.ptr + token.len;
    const char *second = first != NULL ? memchr(first + 1, '.', (size_t)(end - first - 1))
                                       : NULL;

    if (second == NULL)
        return false;
    *parts = (struct parts){
        .header = {token.ptr, (size_t)(first - token.ptr)},
        .payload = {first + 1, (size_t)(second - first - 1)},
        .signature = {second + 1, (size_t)(end - second - 1)},
        .input = {token.ptr, (size_t)(second - token.ptr)},
    };
    return true;
}

/* @param out (out, owned) with a NUL behind. @return 0; WSOCK_EINVAL; WSOCK_ENOMEM. */
static int decode(char **out, size_t *len, struct wsi_str part)
{
    char *bytes = wsi_alloc(part.len / 4 * 3 + 3);
    ptrdiff_t n;

    if (bytes == NULL)
        return WSOCK_ENOMEM;
    n = wsi_base64url_decode((uint8_t *)bytes, part);
    if (n < 0) {
        wsi_free(bytes);
        return WSOCK_EINVAL;
    }
    bytes[n] = '\0';
    *out = bytes;
    *len = (size_t)n;
    return 0;
}

/* Whether brackets nest no deeper than that: the parser's own bound is far above. */
static bool is_shallow(const char *text, size_t len)
{
    int depth = 0;
    bool in_string = false;

    for (size_t i = 0; i < len && depth <= WSI_JWT_DEPTH_MAX; i++) {
        if (in_string && text[i] == '\\')
            i++;
        else if (text[i] == '"')
            in_string = !in_string;
        else if (!in_string && (text[i] == '[' || text[i] == '{'))
            depth++;
        else if (!in_string && (text[i] == ']' || text[i] == '}'))
            depth--;
    }
    return depth <= WSI_JWT_DEPTH_MAX;
}

/* @param out (out, owned) an object. @return 0; WSOCK_EINVAL; WSOCK_ENOMEM. */
static int parse(json_t **out, const char *text, size_t len)
{
    json_error_t error;
    json_t *root;

    if (!is_shallow(text, len))
        return WSOCK_EINVAL;
    root = json_loadb(text, len, JSON_REJECT_DUPLICATES, &error);
    if (root == NULL)
        return json_error_code(&error) == json_error_out_of_memory ? WSOCK_ENOMEM
                                                                   : WSOCK_EINVAL;
    if (!json_is_object(root)) {
        json_decref(root);
        return WSOCK_EINVAL;
    }
    *out = root;
    return 0;
}

/* ---- the header ---- */

static bool says_algorithm(const json_t *header, int algorithm)
{
    const char *alg = json_string_value(json_object_get(header, "alg"));

    return alg != NULL &&
           strcmp(alg, algorithm == WSOCK_JWT_HS256 ? "HS256" : "RS256") == 0;
}

static int judge_header(const struct wsock_jwt_key *key, int *why, struct wsi_str part)
{
    json_t *header = NULL;
    char *text = NULL;
    size_t len = 0;
    int r = decode(&text, &len, part);

    if (r == 0)
        r = parse(&header, text, len);
    wsi_free(text);
    if (r == WSOCK_EINVAL)
        return refuse(why, WSOCK_JWT_MALFORMED);
    if (r < 0)
        return r;
    if (!says_algorithm(header, key->algorithm))
        r = refuse(why, WSOCK_JWT_ALGORITHM);
    else if (json_object_get(header, "crit") != NULL) /* RFC 7515 section 4.1.11 */
        r = refuse(why, WSOCK_JWT_CRITICAL);
    json_decref(header);
    return r;
}

/* ---- the signature ---- */

static int judge_signature(const struct wsock_jwt_key *key, int *why,
                           const struct parts *parts)
{
    char *bytes = NULL;
    size_t len = 0;
    int r = decode(&bytes, &len, parts->signature);

    if (r == WSOCK_EINVAL)
        return refuse(why, WSOCK_JWT_MALFORMED);
    if (r < 0)
        return r;
    if (key->algorithm == WSOCK_JWT_HS256)
        r = wsi_hmac_verify((struct wsi_str){key->secret, key->secret_len}, parts->input,
                            (struct wsi_str){bytes, len});
    else
        r = wsi_rsa_verify(key->rsa, parts->input, (struct wsi_str){bytes, len});
    wsi_free(bytes);
    if (r == 0)
        return refuse(why, WSOCK_JWT_SIGNATURE);
    return r < 0 ? r : 0;
}

/* ---- the claims ---- */

/* A NumericDate, RFC 7519 section 2: seconds since 1970, maybe with a fraction. @return
 * false for what is none. */
static bool read_date(int64_t *out_ms, const json_t *value)
{
    const double limit = 253402300799.0; /* the end of the year 9999 */
    const double seconds = json_number_value(value);

    if (!json_is_number(value) || !(seconds >= 0 && seconds <= limit))
        return false;
    *out_ms = (int64_t)(seconds * 1000);
    return true;
}

/* @return 0 or WSOCK_EACCESS. */
static int judge_times(struct wsock_jwt *jwt, int *why, const json_t *claims,
                       const struct view *view)
{
    static const char *const begins[] = {"nbf", "iat"};
    const json_t *exp = json_object_get(claims, "exp");

    if (exp != NULL) {
        if (!read_date(&jwt->expires_ms, exp) || jwt->expires_ms == 0)
            return refuse(why, WSOCK_JWT_CLAIM);
        if (view->now_ms - view->leeway_ms >= jwt->expires_ms)
            return refuse(why, WSOCK_JWT_EXPIRED);
    }
    for (size_t i = 0; i < 2; i++) {
        const json_t *begin = json_object_get(claims, begins[i]);
        int64_t begin_ms = 0;

        if (begin == NULL)
            continue;
        if (!read_date(&begin_ms, begin))
            return refuse(why, WSOCK_JWT_CLAIM);
        if (begin_ms - view->leeway_ms > view->now_ms)
            return refuse(why, WSOCK_JWT_NOT_YET_VALID);
    }
    return 0;
}

static bool is_string(const json_t *value, const char *text)
{
    return json_is_string(value) && strcmp(json_string_value(value), text) == 0;
}

/* aud is one string or an array of them. */
static bool names_audience(const json_t *aud, const char *audience)
{
    if (audience == NULL)
        return false;
    for (size_t i = 0; i < json_array_size(aud); i++)
        if (is_string(json_array_get(aud, i), audience))
            return true;
    return is_string(aud, audience);
}

static int judge_parties(int *why, const json_t *claims, const struct view *view)
{
    const json_t *aud = json_object_get(claims, "aud");
    const char *audience = view->rules != NULL ? view->rules->audience : NULL;
    const char *issuer = view->rules != NULL ? view->rules->issuer : NULL;

    if (issuer != NULL && !is_string(json_object_get(claims, "iss"), issuer))
        return refuse(why, WSOCK_JWT_ISSUER);
    if ((aud != NULL || audience != NULL) && !names_audience(aud, audience))
        return refuse(why, WSOCK_JWT_AUDIENCE);
    return 0;
}

/* The bytes that patterns take as one text; 0 when one of them is none. */
static size_t patterns_size(const json_t *array)
{
    size_t size = 1;

    for (size_t i = 0; i < json_array_size(array); i++) {
        const char *pattern = json_string_value(json_array_get(array, i));

        if (pattern == NULL || !wsi_room_pattern_is_valid(pattern))
            return 0;
        size += strlen(pattern) + 1;
    }
    return size;
}

static int take_patterns(struct wsi_jwt_patterns *patterns, int *why, const json_t *array)
{
    size_t size;
    char *p;

    if (array == NULL)
        return 0;
    size = json_is_array(array) && json_array_size(array) <= WSI_JWT_PATTERNS_MAX
               ? patterns_size(array)
               : 0;
    if (size == 0)
        return refuse(why, WSOCK_JWT_CLAIM);
    patterns->text = p = wsi_alloc(size);
    if (p == NULL)
        return WSOCK_ENOMEM;
    for (size_t i = 0; i < json_array_size(array); i++) {
        const char *pattern = json_string_value(json_array_get(array, i));
        const size_t len = strlen(pattern) + 1;

        memcpy(p, pattern, len);
        p += len;
    }
    patterns->is_there = true;
    patterns->count = (unsigned)json_array_size(array);
    return 0;
}

static int take_info(struct wsock_jwt *jwt, const json_t *info)
{
    size_t len;

    if (info == NULL)
        return 0;
    len = json_dumpb(info, NULL, 0, JSON_COMPACT | JSON_ENCODE_ANY);
    jwt->info = len > 0 ? wsi_alloc(len + 1) : NULL;
    if (jwt->info == NULL)
        return WSOCK_ENOMEM;
    jwt->info[len] = '\0';
    return json_dumpb(info, jwt->info, len, JSON_COMPACT | JSON_ENCODE_ANY) == len
               ? 0
               : WSOCK_ENOMEM;
}

static int take_subject(struct wsock_jwt *jwt, int *why, const json_t *sub)
{
    if (sub != NULL &&
        (!json_is_string(sub) || !wsi_identity_is_valid(json_string_value(sub))))
        return refuse(why, WSOCK_JWT_CLAIM);
    jwt->subject = wsi_strdup(sub != NULL ? json_string_value(sub) : "");
    return jwt->subject != NULL ? 0 : WSOCK_ENOMEM;
}

static int judge_claims(struct wsock_jwt *jwt, int *why, struct wsi_str part,
                        const struct view *view)
{
    json_t *claims = NULL;
    size_t len = 0;
    int r = decode(&jwt->claims, &len, part);

    if (r == WSOCK_EINVAL)
        return refuse(why, WSOCK_JWT_MALFORMED);
    if (r == 0)
        r = parse(&claims, jwt->claims, len);
    if (r == WSOCK_EINVAL)
        return refuse(why, WSOCK_JWT_CLAIMS);
    if (r == 0)
        r = judge_times(jwt, why, claims, view);
    if (r == 0)
        r = judge_parties(why, claims, view);
    if (r == 0)
        r = take_subject(jwt, why, json_object_get(claims, "sub"));
    if (r == 0)
        r = take_patterns(&jwt->rooms, why, json_object_get(claims, "rooms"));
    if (r == 0)
        r = take_patterns(&jwt->pub, why, json_object_get(claims, "pub"));
    if (r == 0)
        r = take_info(jwt, json_object_get(claims, "info"));
    json_decref(claims);
    return r;
}

/* ---- tokens ---- */

int wsi_jwt_verify(const struct wsock_jwt_key *key, struct wsock_jwt **out, int *why,
                   struct wsi_str token, const struct wsock_jwt_rules *rules)
{
    const bool has_now = rules != NULL && rules->now_ms != 0;
    const struct view view = {
        .rules = rules,
        .now_ms = has_now ? rules->now_ms : wsi_calendar_ms(),
        .leeway_ms = rules != NULL ? rules->leeway_ms : 0,
    };
    struct wsock_jwt *jwt;
    struct parts parts;
    int r;

    *why = 0;
    if (token.len > WSI_JWT_MAX)
        return refuse(why, WSOCK_JWT_TOO_LONG);
    if (!split(&parts, token))
        return refuse(why, WSOCK_JWT_MALFORMED);
    r = judge_header(key, why, parts.header);
    if (r == 0)
        r = judge_signature(key, why, &parts);
    if (r < 0)
        return r;
    jwt = wsi_zalloc(sizeof *jwt);
    if (jwt == NULL)
        return WSOCK_ENOMEM;
    wsi_ref_init(&jwt->ref);
    r = judge_claims(jwt, why, parts.payload, &view);
    if (r < 0) {
        wsi_jwt_free(jwt);
        return r;
    }
    *out = jwt;
    return 0;
}

void wsi_jwt_free(struct wsock_jwt *jwt)
{
    wsi_free(jwt->claims);
    wsi_free(jwt->subject);
    wsi_free(jwt->info);
    wsi_free(jwt->rooms.text);
    wsi_free(jwt->pub.text);
    wsi_free(jwt);
}

bool wsi_jwt_patterns_allow(const struct wsi_jwt_patterns *patterns, const char *room)
{
    const char *p = patterns->text;

    if (!wsi_room_name_is_valid(room))
        return false;
    if (!patterns->is_there)
        return true;
    for (unsigned i = 0; i < patterns->count; i++, p += strlen(p) + 1)
        if (wsi_room_pattern_matches(p, room))
            return true;
    return false;
}
