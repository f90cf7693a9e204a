/* SPDX-License-Identifier: MIT */
/* Authorization headers: what is exactly right is read, all else is nothing. */
#include "test.h"

#include <stdlib.h>
#include <string.h>

#include "proto/base64.h"
#include "proto/credentials.h"

static void says(const char *value, const char *user, const char *password)
{
    const size_t size = wsi_basic_size(wsi_str_of(value));
    char *out = malloc(size + 1);

    assert_non_null(out);
    if (size != strlen(user) + strlen(password) + 2)
        fail_msg("%s has size %zu", value, size);
    out[size] = '!';
    wsi_basic_write(out, wsi_str_of(value));
    assert_string_equal(out, user);
    assert_string_equal(out + strlen(user) + 1, password);
    assert_int_equal(out[size], '!');
    free(out);
}

static void basic_has_user_and_password(void **state)
{
    (void)state;
    /* The example of RFC 7617 section 2. */
    says("Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==", "Aladdin", "open sesame");
    says("bASIC   QWxhZGRpbjpvcGVuIHNlc2FtZQ==", "Aladdin", "open sesame");
    says("Basic Og==", "", "");
    says("Basic YTo=", "a", "");
    says("Basic OmI=", "", "b");
    says("Basic YTpiOmM6", "a", "b:c:");
    says("Basic dGVzdDoxMjPCow==", "test", "123\xc2\xa3"); /* section 2.1 */
}

static void basic_that_is_anything_else_is_nothing(void **state)
{
    static const char *const bad[] = {
        "",
        "Basic",
        "Basic ",
        "Basic\tYTpi",
        "BasicYTpi",
        "Digest YTpi",
        "Basic YWI=",      /* no colon */
        "Basic YTpi YTpi", /* two words */
        "Basic YTpi,YTpi",
        "Basic YTo",      /* no padding */
        "Basic YTp=",     /* bits behind the last byte */
        "Basic YTo=YTo=", /* padding in the middle */
        "Basic YTpi====",
        "Basic a:b",
        "Basic YTr_", /* base64url */
        "Basic YTpi\xc3\xa4",
        "Basic YToA", /* NUL */
        "Basic YQA6Yg==",
        "Basic YTpiCg==", /* a line feed behind it */
        "Basic YTp/",     /* DEL */
    };

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        if (wsi_basic_size(wsi_str_of(bad[i])) != 0)
            fail_msg("\"%s\" is taken", bad[i]);
}

/* Of every length, so that the cuts of the decoder fall everywhere. */
static void long_password_is_read_whole(void **state)
{
    char plain[1026], value[1500] = "Basic ";

    (void)state;
    memset(plain, 'p', sizeof plain);
    memcpy(plain, "user:", 5);
    for (size_t len = 5; len < sizeof plain - 1; len++) {
        wsi_base64_encode(value + 6, plain, len);
        plain[len] = '\0';
        says(value, "user", plain + 5);
        plain[len] = 'p';
    }
    /* Padding at the cut, and more behind it. */
    wsi_base64_encode(value + 6, plain, 191);
    strcat(value, "cHBw");
    assert_int_equal(wsi_basic_size(wsi_str_of(value)), 0);
    wsi_base64_encode(value + 6, plain, 600);
    value[300] = '!';
    assert_int_equal(wsi_basic_size(wsi_str_of(value)), 0);
}

static void basic_is_made_of_a_url(void **state)
{
    struct wsi_credentials credentials;
    char value[WSI_BASIC_SIZE];

    (void)state;
    assert_null(wsi_credentials_decode(&credentials, WSI_STR("Al%61ddin"),
                                       WSI_STR("open%20%3asesame")));
    assert_null(wsi_basic_refuses(&credentials));
    says(wsi_basic_make(value, &credentials).ptr, "Aladdin", "open :sesame");
    assert_null(wsi_credentials_decode(&credentials, WSI_STR(""), WSI_STR("")));
    assert_string_equal(wsi_basic_make(value, &credentials).ptr, "Basic Og==");
    assert_non_null(wsi_credentials_decode(&credentials, WSI_STR("%4"), WSI_STR("")));
    assert_non_null(wsi_credentials_decode(&credentials, WSI_STR(""), WSI_STR("%")));
    assert_null(wsi_credentials_decode(&credentials, WSI_STR("a%3ab"), WSI_STR("")));
    assert_non_null(strstr(wsi_basic_refuses(&credentials), "colon"));
    assert_null(wsi_credentials_decode(&credentials, WSI_STR("a"), WSI_STR("%0a")));
    assert_non_null(strstr(wsi_basic_refuses(&credentials), "control"));
}

static void longest_credentials_are_made_whole(void **state)
{
    char text[WSI_CREDENTIAL_MAX + 2], user[WSI_CREDENTIAL_MAX + 1];
    const struct wsi_str longest = {text, WSI_CREDENTIAL_MAX};
    const struct wsi_str longer = {text, WSI_CREDENTIAL_MAX + 1};
    struct wsi_credentials credentials;
    char value[WSI_BASIC_SIZE];

    (void)state;
    memset(text, 'u', sizeof text);
    memcpy(user, text, WSI_CREDENTIAL_MAX);
    user[WSI_CREDENTIAL_MAX] = '\0';
    assert_non_null(wsi_credentials_decode(&credentials, longer, WSI_STR("")));
    assert_non_null(wsi_credentials_decode(&credentials, WSI_STR(""), longer));
    assert_null(wsi_credentials_decode(&credentials, longest, longest));
    says(wsi_basic_make(value, &credentials).ptr, user, user);
    assert_int_equal(strlen(value) + 1, sizeof value);
}

static void bearer_has_a_token(void **state)
{
    static const char *const good[] = {
        "Bearer mF_9.B5f-4.1JqM", /* the example of RFC 6750 section 2.1 */
        "bearer  mF_9.B5f-4.1JqM",
    };
    struct wsi_str token;

    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        assert_true(wsi_bearer_token(wsi_str_of(good[i]), &token));
        assert_true(wsi_str_equal(token, WSI_STR("mF_9.B5f-4.1JqM")));
    }
    assert_true(wsi_bearer_token(WSI_STR("Bearer aZ09-._~+/=="), &token));
    assert_true(wsi_str_equal(token, WSI_STR("aZ09-._~+/==")));
}

static void bearer_that_is_anything_else_is_nothing(void **state)
{
    static const char *const bad[] = {
        "",           "Bearer",      "Bearer ",    "Bearera",    "Bearer\ta",
        "Bearer a b", "Bearer a,b",  "Bearer =",   "Bearer a=b", "Bearer \"a\"",
        "Bearer a:b", "Bearer \xe4", "Basic YTpi", "Token a",
    };
    struct wsi_str token;

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        if (wsi_bearer_token(wsi_str_of(bad[i]), &token))
            fail_msg("\"%s\" is taken", bad[i]);
    assert_false(wsi_bearer_token((struct wsi_str){"Bearer a\0b", 10}, &token));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(basic_has_user_and_password),
        TEST(basic_that_is_anything_else_is_nothing),
        TEST(long_password_is_read_whole),
        TEST(basic_is_made_of_a_url),
        TEST(longest_credentials_are_made_whole),
        TEST(bearer_has_a_token),
        TEST(bearer_that_is_anything_else_is_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
