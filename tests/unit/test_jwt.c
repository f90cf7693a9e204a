/* SPDX-License-Identifier: MIT */
/*
 * Signed tokens: the examples of RFC 7515, what claims decide, and tokens of people who
 * would like to be somebody else.
 */
#include "test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/pem.h>
#include <wsock/error.h>

#include "proto/base64.h"
#include "v1/jwt.h"

#define SECRET "a secret that only this test has"
#define NOW_MS 1700000000000

/* RFC 7515 appendix A.1. */
#define A1_KEY                                                                    \
    "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwj" \
    "AzZr1Z9CAow"
#define A1_TOKEN                                                             \
    "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9."                              \
    "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLm" \
    "NvbS9pc19yb290Ijp0cnVlfQ."                                              \
    "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
/* Appendix A.2: the modulus of its key; the exponent is 65537. */
#define A2_MODULUS                                                                     \
    "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2m"  \
    "JPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg" \
    "0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4u" \
    "DZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk" \
    "2PAcDTW9gb54h4FRWyuXpoQ"
#define A2_TOKEN                                                                       \
    "eyJhbGciOiJSUzI1NiJ9."                                                            \
    "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLm"           \
    "NvbS9pc19yb290Ijp0cnVlfQ."                                                        \
    "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF" \
    "5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK" \
    "5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqt" \
    "FZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrB" \
    "p0igcN_IoypGlUPQGe77Rw"
#define A_EXPIRES_MS 1300819380000

/* ---- keys and tokens ---- */

static struct wsock_jwt_key *key_of(int algorithm, struct wsi_str data)
{
    struct wsock_jwt_key *key = NULL;
    const char *why = NULL;

    if (wsi_jwt_key_new(&key, &why, algorithm, data) != 0)
        fail_msg("no key: %s", why);
    return key;
}

static struct wsock_jwt_key *test_key(void)
{
    return key_of(WSOCK_JWT_HS256, WSI_STR(SECRET));
}

static size_t append_base64url(char *out, const void *data, size_t len)
{
    size_t n;

    wsi_base64_encode(out, data, len);
    for (n = 0; out[n] != '\0' && out[n] != '='; n++)
        out[n] = (char)(out[n] == '+' ? '-' : out[n] == '/' ? '_' : out[n]);
    out[n] = '\0';
    return n;
}

/* @return (owned) a token with those two texts, signed with that secret. */
static char *sign_bytes(struct wsi_str header, struct wsi_str payload, const char *secret)
{
    char *token = malloc(2 * (header.len + payload.len) + 200);
    unsigned char mac[32];
    unsigned mac_len = 0;
    size_t n;

    assert_non_null(token);
    n = append_base64url(token, header.ptr, header.len);
    token[n++] = '.';
    n += append_base64url(token + n, payload.ptr, payload.len);
    HMAC(EVP_sha256(), secret, (int)strlen(secret), (unsigned char *)token, n, mac,
         &mac_len);
    token[n++] = '.';
    append_base64url(token + n, mac, sizeof mac);
    return token;
}

static char *sign(const char *header, const char *payload, const char *secret)
{
    return sign_bytes(wsi_str_of(header), wsi_str_of(payload), secret);
}

/* @return WSOCK_JWT_*, and the token in *out if it is 0. */
static int judge(struct wsock_jwt **out, const struct wsock_jwt_key *key,
                 const char *token, const struct wsock_jwt_rules *rules)
{
    const struct wsock_jwt_rules now = {.size = sizeof now, .now_ms = NOW_MS};
    int why = -1;
    const int r = wsi_jwt_verify(key, out, &why, wsi_str_of(token),
                                 rules != NULL ? rules : &now);

    assert_true(r == 0 ? why == 0 : r == WSOCK_EACCESS && why > 0);
    return why;
}

#define HEADER "{\"alg\":\"HS256\"}"

static int judge_claims(const char *claims, const struct wsock_jwt_rules *rules)
{
    struct wsock_jwt_key *key = test_key();
    struct wsock_jwt *jwt = NULL;
    char *token = sign(HEADER, claims, SECRET);
    const int why = judge(&jwt, key, token, rules);

    assert_int_equal(why == 0, jwt != NULL);
    if (jwt != NULL)
        wsi_jwt_free(jwt);
    wsi_jwt_key_free(key);
    free(token);
    return why;
}

/* ---- the RFC's examples ---- */

static void example_of_hs256_holds(void **state)
{
    uint8_t secret[80];
    const ptrdiff_t len = wsi_base64url_decode(secret, WSI_STR(A1_KEY));
    const struct wsock_jwt_rules rules = {
        .size = sizeof rules, .issuer = "joe", .now_ms = A_EXPIRES_MS - 1};
    struct wsock_jwt_key *key;
    struct wsock_jwt *jwt = NULL;

    (void)state;
    assert_int_equal(len, 64);
    key = key_of(WSOCK_JWT_HS256, (struct wsi_str){(char *)secret, 64});
    assert_int_equal(judge(&jwt, key, A1_TOKEN, &rules), 0);
    assert_int_equal(jwt->expires_ms, A_EXPIRES_MS);
    assert_string_equal(jwt->subject, "");
    assert_null(jwt->info);
    assert_string_equal(jwt->claims, "{\"iss\":\"joe\",\r\n \"exp\":1300819380,\r\n "
                                     "\"http://example.com/is_root\":true}");
    wsi_jwt_free(jwt);
    wsi_jwt_key_free(key);
}

/* @return (owned) the key of appendix A.2 in PEM. */
static char *key_a2(void)
{
    /* SubjectPublicKeyInfo (RFC 8017 appendix A.1.1) of a modulus of 257 bytes, the
     * first of them 0, which is what makes it positive. */
    static const uint8_t before[] = {0x30, 0x82, 0x01, 0x22, 0x30, 0x0d, 0x06, 0x09, 0x2a,
                                     0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05,
                                     0x00, 0x03, 0x82, 0x01, 0x0f, 0x00, 0x30, 0x82, 0x01,
                                     0x0a, 0x02, 0x82, 0x01, 0x01, 0x00};
    static const uint8_t behind[] = {0x02, 0x03, 0x01, 0x00, 0x01};
    uint8_t der[sizeof before + 256 + sizeof behind + 4];
    char text[600], *pem = malloc(1000);

    assert_non_null(pem);
    memcpy(der, before, sizeof before);
    assert_int_equal(wsi_base64url_decode(der + sizeof before, WSI_STR(A2_MODULUS)), 256);
    memcpy(der + sizeof before + 256, behind, sizeof behind);
    wsi_base64_encode(text, der, sizeof before + 256 + sizeof behind);
    strcpy(pem, "-----BEGIN PUBLIC KEY-----\n");
    for (size_t i = 0; i < strlen(text); i += 64)
        sprintf(pem + strlen(pem), "%.64s\n", text + i);
    strcat(pem, "-----END PUBLIC KEY-----\n");
    return pem;
}

static void example_of_rs256_holds(void **state)
{
    const struct wsock_jwt_rules rules = {
        .size = sizeof rules, .issuer = "joe", .now_ms = A_EXPIRES_MS - 1};
    char *pem = key_a2(), token[] = A2_TOKEN;
    struct wsock_jwt_key *key = key_of(WSOCK_JWT_RS256, wsi_str_of(pem));
    struct wsock_jwt *jwt = NULL;

    (void)state;
    assert_int_equal(judge(&jwt, key, token, &rules), 0);
    assert_int_equal(jwt->expires_ms, A_EXPIRES_MS);
    wsi_jwt_free(jwt);
    token[sizeof token - 30] ^= 1;
    assert_int_equal(judge(&jwt, key, token, &rules), WSOCK_JWT_SIGNATURE);
    wsi_jwt_key_free(key);
    free(pem);
}

/* ---- who would like to be somebody else ---- */

static void token_of_another_algorithm_is_refused(void **state)
{
    static const char *const headers[] = {
        "{\"alg\":\"none\"}",
        "{\"alg\":\"None\"}",
        "{\"alg\":\"NONE\"}",
        "{\"alg\":\"\"}",
        "{\"alg\":\"hs256\"}",
        "{\"alg\":\"HS256 \"}",
        "{\"alg\":\"RS256\"}",
        "{\"alg\":\"HS384\"}",
        "{\"alg\":\"HS512\"}",
        "{\"alg\":\"ES256\"}",
        "{\"alg\":null}",
        "{\"alg\":true}",
        "{\"alg\":[\"HS256\"]}",
        "{}",
        "{\"typ\":\"JWT\"}",
        "{\"ALG\":\"HS256\"}",
        "{\"alg\":{\"alg\":\"HS256\"}}",
    };
    struct wsock_jwt_key *key = test_key();
    struct wsock_jwt *jwt = NULL;

    (void)state;
    for (size_t i = 0; i < sizeof headers / sizeof headers[0]; i++) {
        char *token = sign(headers[i], "{\"sub\":\"ann\"}", SECRET);

        if (judge(&jwt, key, token, NULL) != WSOCK_JWT_ALGORITHM)
            fail_msg("%s is taken", headers[i]);
        /* and as those do who sign nothing */
        strrchr(token, '.')[1] = '\0';
        if (judge(&jwt, key, token, NULL) != WSOCK_JWT_ALGORITHM)
            fail_msg("%s is taken without a signature", headers[i]);
        free(token);
    }
    wsi_jwt_key_free(key);
}

/* Who knows the public key signs with it as if it were a secret. */
static void public_key_is_no_secret(void **state)
{
    char *pem = key_a2();
    struct wsock_jwt_key *key = key_of(WSOCK_JWT_RS256, wsi_str_of(pem)), *none = NULL;
    char *token = sign(HEADER, "{\"sub\":\"ann\"}", pem);
    struct wsock_jwt *jwt = NULL;
    const char *why = NULL;

    (void)state;
    assert_int_equal(judge(&jwt, key, token, NULL), WSOCK_JWT_ALGORITHM);
    free(token);
    token = sign("{\"alg\":\"RS256\"}", "{\"sub\":\"ann\"}", pem);
    assert_int_equal(judge(&jwt, key, token, NULL), WSOCK_JWT_SIGNATURE);
    assert_int_equal(wsi_jwt_key_new(&none, &why, WSOCK_JWT_HS256, wsi_str_of(pem)),
                     WSOCK_EINVAL);
    assert_string_equal(why, "it is a key or a certificate in PEM, and no secret");
    wsi_jwt_key_free(key);
    free(token);
    free(pem);
}

/* The right signature, and one byte more. There is room for it. */
static void lengthen(char *signature)
{
    uint8_t bytes[40] = {0};

    assert_int_equal(wsi_base64url_decode(bytes, wsi_str_of(signature)), 32);
    append_base64url(signature, bytes, 33);
}

static void wrong_signature_is_refused(void **state)
{
    struct wsock_jwt_key *key = test_key();
    char *token = sign(HEADER, "{\"sub\":\"ann\"}", "another secret of the same length");
    struct wsock_jwt *jwt = NULL;
    size_t dot;

    (void)state;
    assert_int_equal(judge(&jwt, key, token, NULL), WSOCK_JWT_SIGNATURE);
    free(token);
    token = sign(HEADER, "{\"sub\":\"ann\"}", SECRET);
    dot = (size_t)(strrchr(token, '.') - token);
    token[dot + 1] ^= 1; /* of what is decoded, the first byte */
    assert_int_equal(judge(&jwt, key, token, NULL), WSOCK_JWT_SIGNATURE);
    token[dot + 1] ^= 1;
    token[dot - 4] ^= 1; /* the claims are other ones */
    assert_int_equal(judge(&jwt, key, token, NULL), WSOCK_JWT_SIGNATURE);
    token[dot - 4] ^= 1;
    token[dot + 5] = '\0'; /* the begin of the right signature */
    assert_int_equal(judge(&jwt, key, token, NULL), WSOCK_JWT_SIGNATURE);
    token[dot + 1] = '\0';
    assert_int_equal(judge(&jwt, key, token, NULL), WSOCK_JWT_SIGNATURE);
    free(token);
    token = sign(HEADER, "{\"sub\":\"ann\"}", SECRET);
    lengthen(strrchr(token, '.') + 1);
    assert_int_equal(judge(&jwt, key, token, NULL), WSOCK_JWT_SIGNATURE);
    wsi_jwt_key_free(key);
    free(token);
}

static void what_is_no_token_is_malformed(void **state)
{
    static const char *const bad[] = {
        "",
        ".",
        "..",
        "a",
        "a.b",
        "eyJhbGciOiJIUzI1NiJ9",
        "eyJhbGciOiJIUzI1NiJ9.",
        "eyJhbGciOiJIUzI1NiJ9=.e30.AAAA", /* padded */
        "eyJhbGciOiJIUzI1NiJ.e30.AAAA",   /* cut */
        "eyJhbGciOiJIUzI1NiJ9 .e30.AAAA",
        "eyJhbGciOiJIUzI1NiJ9.e30.AA/A",      /* plain Base64 */
        "eyJhbGciOiJIUzI1NiJ9.e30.AB",        /* bits behind the last byte */
        "eyJhbGciOiJIUzI1NiJ9.e30.AAAA.AAAA", /* another part */
        "W10.e30.AAAA",                       /* the header is an array */
        "bnVsbA.e30.AAAA",                    /* null */
    };
    struct wsock_jwt_key *key = test_key();
    struct wsock_jwt *jwt = NULL;

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        if (judge(&jwt, key, bad[i], NULL) != WSOCK_JWT_MALFORMED)
            fail_msg("\"%s\" is not malformed", bad[i]);
    wsi_jwt_key_free(key);
}

static void header_that_is_odd_is_refused(void **state)
{
    static const struct {
        const char *header;
        int why;
    } rows[] = {
        {"{\"alg\":\"HS256\",\"alg\":\"HS256\"}", WSOCK_JWT_MALFORMED},
        {"{\"alg\":\"HS256\",\"alg\":\"none\"}", WSOCK_JWT_MALFORMED},
        {"{\"alg\":\"HS256\\u0000\"}", WSOCK_JWT_MALFORMED},
        {"{\"alg\":\"HS256\"} {}", WSOCK_JWT_MALFORMED},
        {"{\"alg\":\"HS256\",\"n\":99999999999999999999999}", WSOCK_JWT_MALFORMED},
        {"{\"alg\":\"HS256\",\"crit\":[\"exp\"]}", WSOCK_JWT_CRITICAL},
        {"{\"alg\":\"HS256\",\"crit\":null}", WSOCK_JWT_CRITICAL},
        {"{\"alg\":\"HS256\",\"kid\":\"../../etc/passwd\",\"jku\":\"http://x/\"}", 0},
    };
    struct wsock_jwt_key *key = test_key();

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char *token = sign(rows[i].header, "{}", SECRET);
        struct wsock_jwt *jwt = NULL;

        if (judge(&jwt, key, token, NULL) != rows[i].why)
            fail_msg("%s", rows[i].header);
        if (jwt != NULL)
            wsi_jwt_free(jwt);
        free(token);
    }
    wsi_jwt_key_free(key);
}

static void nul_in_a_token_ends_nothing(void **state)
{
    struct wsock_jwt_key *key = test_key();
    struct wsock_jwt *jwt = NULL;
    char *token = sign_bytes(WSI_STR("{\"alg\":\"HS256\"}\0"), WSI_STR("{}"), SECRET);

    (void)state;
    assert_int_equal(judge(&jwt, key, token, NULL), WSOCK_JWT_MALFORMED);
    free(token);
    token = sign_bytes(WSI_STR(HEADER), WSI_STR("{\"sub\":\"ann\"}\0{}"), SECRET);
    assert_int_equal(judge(&jwt, key, token, NULL), WSOCK_JWT_CLAIMS);
    free(token);
    wsi_jwt_key_free(key);
}

/* ---- size and depth ---- */

static char *nested(size_t depth)
{
    char *claims = malloc(2 * depth + 20);

    assert_non_null(claims);
    strcpy(claims, "{\"info\":");
    memset(claims + 8, '[', depth);
    memset(claims + 8 + depth, ']', depth);
    strcpy(claims + 8 + 2 * depth, "}");
    return claims;
}

static void depth_is_bounded(void **state)
{
    (void)state;
    for (size_t depth = 30; depth <= 2000; depth = depth < 33 ? depth + 1 : depth * 3) {
        char *claims = nested(depth);

        assert_int_equal(judge_claims(claims, NULL), depth <= 31 ? 0 : WSOCK_JWT_CLAIMS);
        free(claims);
    }
    /* Brackets in a text nest nothing. */
    assert_int_equal(
        judge_claims("{\"info\":\"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[\\\"["
                     "[[[[[[\"}",
                     NULL),
        0);
}

static void length_is_bounded(void **state)
{
    struct wsock_jwt_key *key = test_key();
    struct wsock_jwt *jwt = NULL;
    char claims[6100];

    (void)state;
    for (size_t pad = 6050; pad < 6090; pad++) {
        char *token;
        size_t len;
        int why;

        snprintf(claims, sizeof claims, "{\"p\":\"%*s\"}", (int)pad, "");
        token = sign(HEADER, claims, SECRET);
        len = strlen(token);
        why = judge(&jwt, key, token, NULL);
        assert_int_equal(why, len <= 8192 ? 0 : WSOCK_JWT_TOO_LONG);
        if (why == 0)
            wsi_jwt_free(jwt);
        free(token);
        if (len > 8192)
            break;
        assert_true(pad < 6089);
    }
    wsi_jwt_key_free(key);
}

/* ---- claims ---- */

static void claims_are_an_object_without_repetition(void **state)
{
    static const char *const bad[] = {
        "",
        "[]",
        "null",
        "\"sub\"",
        "{\"a\"",
        "{\"a\":1,}",
        "{} x",
        "{\"sub\":\"ann\",\"sub\":\"bob\"}",
        "{\"exp\":1,\"exp\":9999999999}",
        "{\"info\":{\"a\":1,\"a\":2}}",
        "{\"a\":1e999}",
        "{\"a\":\"\xff\"}",
        "{\"a\":\"\\u0000\"}",
    };

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        if (judge_claims(bad[i], NULL) != WSOCK_JWT_CLAIMS)
            fail_msg("%s is taken", bad[i]);
}

static void times_hold_within_the_leeway(void **state)
{
    static const struct {
        const char *claims;
        int64_t leeway_ms;
        int why;
    } rows[] = {
        {"{\"exp\":1700000001}", 0, 0},
        {"{\"exp\":1700000000}", 0, WSOCK_JWT_EXPIRED}, /* "on or after", 4.1.4 */
        {"{\"exp\":1699999999}", 0, WSOCK_JWT_EXPIRED},
        {"{\"exp\":1699999999}", 1001, 0},
        {"{\"exp\":1699999999}", 1000, WSOCK_JWT_EXPIRED},
        {"{\"exp\":1700000000.5}", 0, 0},
        {"{\"exp\":1}", 30000, WSOCK_JWT_EXPIRED},
        {"{\"nbf\":1700000000}", 0, 0},
        {"{\"nbf\":1700000001}", 0, WSOCK_JWT_NOT_YET_VALID},
        {"{\"nbf\":1700000001}", 1000, 0},
        {"{\"iat\":1700000000}", 0, 0},
        {"{\"iat\":1700000031}", 30000, WSOCK_JWT_NOT_YET_VALID},
        {"{\"iat\":1700000030}", 30000, 0},
        {"{\"nbf\":1,\"iat\":1,\"exp\":253402300799}", 0, 0},
        {"{\"exp\":\"1800000000\"}", 0, WSOCK_JWT_CLAIM},
        {"{\"exp\":null}", 0, WSOCK_JWT_CLAIM},
        {"{\"exp\":true}", 0, WSOCK_JWT_CLAIM},
        {"{\"exp\":-1}", 0, WSOCK_JWT_CLAIM},
        {"{\"exp\":0}", 0, WSOCK_JWT_CLAIM},
        {"{\"exp\":1e300}", 0, WSOCK_JWT_CLAIM},
        {"{\"exp\":9223372036854775807}", 0, WSOCK_JWT_CLAIM},
        {"{\"nbf\":-9223372036854775808}", 0, WSOCK_JWT_CLAIM},
        {"{\"nbf\":{}}", 0, WSOCK_JWT_CLAIM},
        {"{\"iat\":[]}", 0, WSOCK_JWT_CLAIM},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const struct wsock_jwt_rules rules = {
            .size = sizeof rules, .now_ms = NOW_MS, .leeway_ms = rows[i].leeway_ms};
        const int why = judge_claims(rows[i].claims, &rules);

        if (why != rows[i].why)
            fail_msg("%s with %d: %d", rows[i].claims, (int)rows[i].leeway_ms, why);
    }
}

static void issuer_and_audience_are_those_asked_for(void **state)
{
    static const struct {
        const char *claims, *issuer, *audience;
        int why;
    } rows[] = {
        {"{}", NULL, NULL, 0},
        {"{\"iss\":\"a\"}", NULL, NULL, 0},
        {"{\"iss\":\"a\"}", "a", NULL, 0},
        {"{\"iss\":\"b\"}", "a", NULL, WSOCK_JWT_ISSUER},
        {"{\"iss\":[\"a\"]}", "a", NULL, WSOCK_JWT_ISSUER},
        {"{}", "a", NULL, WSOCK_JWT_ISSUER},
        {"{\"aud\":\"us\"}", NULL, "us", 0},
        {"{\"aud\":[\"them\",\"us\"]}", NULL, "us", 0},
        {"{\"aud\":\"them\"}", NULL, "us", WSOCK_JWT_AUDIENCE},
        {"{\"aud\":[]}", NULL, "us", WSOCK_JWT_AUDIENCE},
        {"{\"aud\":[[\"us\"]]}", NULL, "us", WSOCK_JWT_AUDIENCE},
        {"{\"aud\":{\"us\":\"us\"}}", NULL, "us", WSOCK_JWT_AUDIENCE},
        {"{\"aud\":null}", NULL, NULL, WSOCK_JWT_AUDIENCE},
        {"{}", NULL, "us", WSOCK_JWT_AUDIENCE},
        {"{\"aud\":\"us\"}", NULL, NULL, WSOCK_JWT_AUDIENCE}, /* section 4.1.3 */
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const struct wsock_jwt_rules rules = {.size = sizeof rules,
                                              .now_ms = NOW_MS,
                                              .issuer = rows[i].issuer,
                                              .audience = rows[i].audience};

        if (judge_claims(rows[i].claims, &rules) != rows[i].why)
            fail_msg("%s", rows[i].claims);
    }
}

static void subject_is_an_identity(void **state)
{
    char claims[400];

    (void)state;
    assert_int_equal(judge_claims("{\"sub\":\"\"}", NULL), WSOCK_JWT_CLAIM);
    assert_int_equal(judge_claims("{\"sub\":17}", NULL), WSOCK_JWT_CLAIM);
    assert_int_equal(judge_claims("{\"sub\":null}", NULL), WSOCK_JWT_CLAIM);
    assert_int_equal(judge_claims("{\"sub\":\"a\\nb\"}", NULL), WSOCK_JWT_CLAIM);
    snprintf(claims, sizeof claims, "{\"sub\":\"%0255d\"}", 0);
    assert_int_equal(judge_claims(claims, NULL), 0);
    snprintf(claims, sizeof claims, "{\"sub\":\"%0256d\"}", 0);
    assert_int_equal(judge_claims(claims, NULL), WSOCK_JWT_CLAIM);
}

static void rooms_are_those_of_the_patterns(void **state)
{
    struct wsock_jwt_key *key = test_key();
    char *token = sign(HEADER,
                       "{\"sub\":\"\xc3\x84nne\",\"info\":{\"a\": [1, 2.5]},"
                       "\"rooms\":[\"lobby\",\"match.*.chat\",\"team.>\"],\"pub\":[]}",
                       SECRET);
    struct wsock_jwt *jwt = NULL;

    (void)state;
    assert_int_equal(judge(&jwt, key, token, NULL), 0);
    assert_string_equal(jwt->subject, "\xc3\x84nne");
    assert_string_equal(jwt->info, "{\"a\":[1,2.5]}");
    assert_int_equal(jwt->expires_ms, 0);
    assert_true(wsi_jwt_patterns_allow(&jwt->rooms, "lobby"));
    assert_true(wsi_jwt_patterns_allow(&jwt->rooms, "match.7.chat"));
    assert_true(wsi_jwt_patterns_allow(&jwt->rooms, "team.a.b"));
    assert_false(wsi_jwt_patterns_allow(&jwt->rooms, "lobby2"));
    assert_false(wsi_jwt_patterns_allow(&jwt->rooms, "match.7"));
    assert_false(wsi_jwt_patterns_allow(&jwt->rooms, "team"));
    assert_false(wsi_jwt_patterns_allow(&jwt->rooms, "team.>")); /* no name */
    assert_false(wsi_jwt_patterns_allow(&jwt->rooms, ""));
    assert_false(wsi_jwt_patterns_allow(&jwt->pub, "lobby"));
    wsi_jwt_free(jwt);
    free(token);
    token = sign(HEADER, "{}", SECRET);
    assert_int_equal(judge(&jwt, key, token, NULL), 0);
    assert_true(wsi_jwt_patterns_allow(&jwt->rooms, "lobby"));
    assert_true(wsi_jwt_patterns_allow(&jwt->pub, "lobby"));
    wsi_jwt_free(jwt);
    free(token);
    wsi_jwt_key_free(key);
}

static void rooms_that_are_no_patterns_are_refused(void **state)
{
    static const char *const bad[] = {
        "null",   "\"lobby\"",  "{}",           "true",      "[1]",
        "[\"\"]", "[\"a..b\"]", "[\"a\",null]", "[\">.a\"]", "[[\"a\"]]",
    };
    char claims[2000];
    size_t n;

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        snprintf(claims, sizeof claims, "{\"rooms\":%s}", bad[i]);
        if (judge_claims(claims, NULL) != WSOCK_JWT_CLAIM)
            fail_msg("%s is taken", claims);
        snprintf(claims, sizeof claims, "{\"pub\":%s}", bad[i]);
        if (judge_claims(claims, NULL) != WSOCK_JWT_CLAIM)
            fail_msg("%s is taken", claims);
    }
    for (int count = 256; count <= 257; count++) {
        n = (size_t)snprintf(claims, sizeof claims, "{\"rooms\":[\"a\"");
        for (int i = 1; i < count; i++)
            n += (size_t)snprintf(claims + n, sizeof claims - n, ",\"a\"");
        snprintf(claims + n, sizeof claims - n, "]}");
        assert_int_equal(judge_claims(claims, NULL), count == 256 ? 0 : WSOCK_JWT_CLAIM);
    }
}

/* ---- keys ---- */

static char *pem_of(EVP_PKEY *pkey, int is_private)
{
    BIO *bio = BIO_new(BIO_s_mem());
    char *data = NULL, *pem;
    long len;

    if (is_private)
        assert_int_equal(PEM_write_bio_PrivateKey(bio, pkey, NULL, NULL, 0, NULL, NULL),
                         1);
    else
        assert_int_equal(PEM_write_bio_PUBKEY(bio, pkey), 1);
    len = BIO_get_mem_data(bio, &data);
    pem = malloc((size_t)len + 1);
    assert_non_null(pem);
    memcpy(pem, data, (size_t)len);
    pem[len] = '\0';
    BIO_free(bio);
    EVP_PKEY_free(pkey);
    return pem;
}

static void key_is_refused(int algorithm, char *data, const char *expected)
{
    struct wsock_jwt_key *key = NULL;
    const char *why = NULL;

    assert_int_equal(wsi_jwt_key_new(&key, &why, algorithm, wsi_str_of(data)),
                     WSOCK_EINVAL);
    assert_null(key);
    assert_string_equal(why, expected);
    free(data);
}

static void weak_and_foreign_keys_are_refused(void **state)
{
    (void)state;
    key_is_refused(WSOCK_JWT_HS256, strdup("31 bytes are less than the MAC"),
                   "a secret has 32 bytes or more");
    key_is_refused(WSOCK_JWT_HS256, pem_of(EVP_RSA_gen(2048), 1),
                   "it is a key or a certificate in PEM, and no secret");
    key_is_refused(WSOCK_JWT_RS256, strdup(SECRET),
                   "it is no public key and no certificate in PEM");
    key_is_refused(WSOCK_JWT_RS256, pem_of(EVP_RSA_gen(2048), 1),
                   "it is no public key and no certificate in PEM");
    key_is_refused(WSOCK_JWT_RS256, pem_of(EVP_EC_gen("P-256"), 0),
                   "it is no key of RSA");
    key_is_refused(WSOCK_JWT_RS256, pem_of(EVP_RSA_gen(1024), 0),
                   "a key of RSA has 2048 to 16384 bits");
    key_is_refused(3, strdup(SECRET), "the algorithm is neither HS256 nor RS256");
    key_is_refused(0, strdup(SECRET), "the algorithm is neither HS256 nor RS256");
}

static void failed_allocations_are_told(void **state)
{
    struct wsock_jwt_key *key = NULL;
    struct wsock_jwt *jwt = NULL;
    const char *text = NULL;
    char *token = sign(
        HEADER, "{\"sub\":\"ann\",\"info\":1,\"rooms\":[\"a\"],\"pub\":[\"b\"]}", SECRET);
    int r = 0, why = 0;

    (void)state;
    FOR_EACH_OOM(r, r = wsi_jwt_key_new(&key, &text, WSOCK_JWT_HS256, WSI_STR(SECRET)),
                 wsi_jwt_key_free(key));
    key = test_key();
    FOR_EACH_OOM(r, r = wsi_jwt_verify(key, &jwt, &why, wsi_str_of(token), NULL),
                 wsi_jwt_free(jwt));
    wsi_jwt_key_free(key);
    free(token);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(example_of_hs256_holds),
        TEST(example_of_rs256_holds),
        TEST(token_of_another_algorithm_is_refused),
        TEST(public_key_is_no_secret),
        TEST(wrong_signature_is_refused),
        TEST(what_is_no_token_is_malformed),
        TEST(header_that_is_odd_is_refused),
        TEST(nul_in_a_token_ends_nothing),
        TEST(depth_is_bounded),
        TEST(length_is_bounded),
        TEST(claims_are_an_object_without_repetition),
        TEST(times_hold_within_the_leeway),
        TEST(issuer_and_audience_are_those_asked_for),
        TEST(subject_is_an_identity),
        TEST(rooms_are_those_of_the_patterns),
        TEST(rooms_that_are_no_patterns_are_refused),
        TEST(weak_and_foreign_keys_are_refused),
        TEST(failed_allocations_are_told),
    };

    return cmocka_run_group_tests_name("jwt", tests, NULL, NULL);
}
