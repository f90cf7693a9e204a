/* SPDX-License-Identifier: MIT */
/*
 * Tokens: a byte that says what is right about one, then header, NUL, payload, NUL, and
 * signature, each as it goes behind base64url; or with bit 0 a whole token as it comes.
 * With bit 1 the signature is that of the secret, whatever the input says. A token holds
 * only if it was signed so, by HS256, and what comes out of it keeps to its bounds.
 */
#include "fuzz.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <wsock/error.h>

#include "proto/base64.h"
#include "v1/jwt.h"

static const char secret[] = "a secret that only this test has";

enum { RAW = 1, SIGNED = 2 };

static size_t append(char *out, const void *data, size_t len)
{
    size_t n;

    wsi_base64_encode(out, data, len);
    for (n = 0; out[n] != '\0' && out[n] != '='; n++)
        out[n] = (char)(out[n] == '+' ? '-' : out[n] == '/' ? '_' : out[n]);
    return n;
}

static char *make_token(size_t *out_len, int flags, const uint8_t *data, size_t len)
{
    const uint8_t *first = len > 0 ? memchr(data, 0, len) : NULL;
    const size_t header_len = first != NULL ? (size_t)(first - data) : len;
    const uint8_t *payload = data + header_len + (first != NULL);
    const size_t left = len - header_len - (first != NULL);
    const uint8_t *second = left > 0 ? memchr(payload, 0, left) : NULL;
    const size_t payload_len = second != NULL ? (size_t)(second - payload) : left;
    char *token = malloc(2 * len + 100);
    uint8_t mac[32];
    unsigned mac_len = 0;
    size_t n;

    CHECK(token != NULL);
    n = append(token, data, header_len);
    token[n++] = '.';
    n += append(token + n, payload, payload_len);
    if (flags & SIGNED) {
        HMAC(EVP_sha256(), secret, sizeof secret - 1, (uint8_t *)token, n, mac, &mac_len);
        token[n++] = '.';
        n += append(token + n, mac, sizeof mac);
    } else {
        token[n++] = '.';
        if (second != NULL)
            n += append(token + n, second + 1, left - payload_len - 1);
    }
    *out_len = n;
    return token;
}

/* Made here, and not taken apart as it is there. */
static void check_signature(const char *token, size_t len)
{
    const char *dot = memrchr(token, '.', len);
    char expected[48];
    uint8_t mac[32];
    unsigned mac_len = 0;
    size_t n;

    CHECK(dot != NULL);
    HMAC(EVP_sha256(), secret, sizeof secret - 1, (const uint8_t *)token,
         (size_t)(dot - token), mac, &mac_len);
    n = append(expected, mac, sizeof mac);
    CHECK(len - (size_t)(dot + 1 - token) == n && memcmp(dot + 1, expected, n) == 0);
}

static void check_token(const struct wsock_jwt *jwt)
{
    const size_t len = strlen(jwt->subject);

    CHECK(len <= 255);
    CHECK(strlen(jwt->claims) <= WSI_JWT_MAX && jwt->claims[0] != '\0');
    CHECK(jwt->info == NULL || jwt->info[0] != '\0');
    CHECK(jwt->expires_ms >= 0);
    CHECK(!wsi_jwt_patterns_allow(&jwt->rooms, ""));
    CHECK(jwt->rooms.is_there || wsi_jwt_patterns_allow(&jwt->rooms, "lobby"));
    CHECK(jwt->rooms.count > 0 || !jwt->rooms.is_there ||
          !wsi_jwt_patterns_allow(&jwt->rooms, "lobby"));
    CHECK(jwt->pub.count <= WSI_JWT_PATTERNS_MAX);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    const struct wsock_jwt_rules rules = {
        .size = sizeof rules, .now_ms = 1700000000000, .leeway_ms = 1000};
    const int flags = len > 0 ? data[0] : 0;
    struct wsock_jwt_key *key = NULL;
    struct wsock_jwt *jwt = NULL;
    const char *text = NULL;
    size_t token_len = 0;
    char *token, *exact;
    int why = -1, r;

    if (len == 0)
        return 0;
    CHECK(wsi_jwt_key_new(&key, &text, WSOCK_JWT_HS256,
                          (struct wsi_str){secret, sizeof secret - 1}) == 0);
    if (flags & RAW) {
        token_len = len - 1;
        token = fuzz_copy(data + 1, token_len);
    } else {
        token = make_token(&token_len, flags, data + 1, len - 1);
    }
    exact = fuzz_copy(token, token_len);
    r = wsi_jwt_verify(key, &jwt, &why, (struct wsi_str){exact, token_len}, &rules);
    CHECK(r == 0 ? why == 0 : r == WSOCK_EACCESS && why > 0);
    CHECK(token_len <= WSI_JWT_MAX || why == WSOCK_JWT_TOO_LONG);
    if (r == 0) {
        check_signature(exact, token_len);
        check_token(jwt);
        wsi_jwt_free(jwt);
    }
    wsi_jwt_key_free(key);
    free(exact);
    free(token);
    return 0;
}
