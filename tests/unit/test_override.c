/* SPDX-License-Identifier: MIT */
/* Addresses that are given for names: what a list says, and what is none. */
#include "test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/override.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))

static void list_gives_addresses_in_order(void **state)
{
    static const struct {
        const char *list, *host;
        unsigned port;
        const char *addresses; /* each with its port, if that is another, and a blank */
    } rows[] = {
        {"h:80:192.0.2.1", "h", 80, "192.0.2.1 "},
        {"h:80:192.0.2.1", "H", 80, "192.0.2.1 "},
        {"h:80:192.0.2.1", "h", 81, ""},
        {"h:80:192.0.2.1", "g", 80, ""},
        {"h:80:192.0.2.1", "a.h", 80, ""},
        {"h:80:[::1]", "h", 80, "::1 "},
        {"h:80:::1", "h", 80, "::1 "},
        {"h:80:2001:db8::1,g:80:::2 , h:80:192.0.2.1", "h", 80, "2001:db8::1 192.0.2.1 "},
        {"*:80:192.0.2.1", "any.example", 80, "192.0.2.1 "},
        {"*:80:192.0.2.1", "any.example", 443, ""},
        {"[::1]:80:192.0.2.1", "::1", 80, "192.0.2.1 "},
        {"[::1]:80:[::2]", "::1", 80, "::2 "},
        {"192.0.2.1:80:192.0.2.2", "192.0.2.1", 80, "192.0.2.2 "},
        {"h:65535:::", "h", 65535, ":: "},
        {"h:80:192.0.2.1:8080,h:80:192.0.2.1:80", "h", 80, "192.0.2.1>8080 192.0.2.1 "},
        {"h:80:[::1]:8080", "h", 80, "::1>8080 "},
        {"h:80:::1:8080", "h", 80, "::1:8080 "},
        {"", "h", 80, ""},
        {" , ", "h", 80, ""},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        char *copy = malloc(strlen(rows[i].list) + 1), found[100] = "";
        struct wsi_str list = {copy, strlen(rows[i].list)}, address;
        uint16_t port;

        memcpy(copy, rows[i].list, list.len);
        while (wsi_override_next(&list, wsi_str_of(rows[i].host), (uint16_t)rows[i].port,
                                 &address, &port)) {
            snprintf(found + strlen(found), sizeof found - strlen(found), "%.*s",
                     (int)address.len, address.ptr);
            if (port != rows[i].port)
                snprintf(found + strlen(found), sizeof found - strlen(found), ">%u",
                         (unsigned)port);
            snprintf(found + strlen(found), sizeof found - strlen(found), " ");
        }
        if (strcmp(found, rows[i].addresses) != 0)
            fail_msg("\"%s\" gives \"%s\"", rows[i].list, found);
        free(copy);
    }
}

static void element_is_refused_with_a_reason(void **state)
{
    static const struct {
        const char *element, *why; /* NULL: it is none to be refused */
    } rows[] = {
        {"h:1:192.0.2.1", NULL},
        {"*:1:[::1]", NULL},
        {"", "HOST:PORT:ADDRESS"},
        {"h", "HOST:PORT:ADDRESS"},
        {"h:1", "HOST:PORT:ADDRESS"},
        {"[::1]", "HOST:PORT:ADDRESS"},
        {"[::1]:1", "HOST:PORT:ADDRESS"},
        {"[::1", "HOST:PORT:ADDRESS"},
        {"[", "HOST:PORT:ADDRESS"},
        {":", "HOST:PORT:ADDRESS"},
        {"::", "empty"},
        {":1:192.0.2.1", "empty"},
        {"::1:1:192.0.2.1", "empty"},
        {"a b:1:192.0.2.1", "character"},
        {"h::192.0.2.1", "port"},
        {"h:x:192.0.2.1", "port"},
        {"h:65536:192.0.2.1", "port"},
        {"h:0:192.0.2.1", "port 0"},
        {"[::1]x:1:192.0.2.1", "bracket"},
        {"[::g]:1:192.0.2.1", "IPv6"},
        {"256.0.0.1:1:192.0.2.1", "IPv4"},
        {"h:1:", "address"},
        {"h:1:name", "address"},
        {"h:1:192.0.2.256", "address"},
        {"h:1:192.0.2.1:80", NULL},
        {"h:1:[::1]:65535", NULL},
        {"h:1:192.0.2.1:0", "address"},
        {"h:1:192.0.2.1:", "address"},
        {"h:1:192.0.2.1:65536", "address"},
        {"h:1:name:80", "address"},
        {"h:1:[::1]80", "address"},
        {"h:1:[192.0.2.1]", "address"},
        {"h:1:[]", "address"},
        {"h:1:[::1", "address"},
        {"h:1:::1]", "address"},
        {"h:1:fe80::1%lo", "address"},
        {"-h:1:192.0.2.1", NULL}, /* what authority.h takes for a name */
    };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        char *copy = malloc(strlen(rows[i].element) + 1);
        const struct wsi_str element = {copy, strlen(rows[i].element)};
        const char *why;

        memcpy(copy, rows[i].element, element.len);
        why = wsi_override_check(element);
        if ((why == NULL) != (rows[i].why == NULL) ||
            (why != NULL && strstr(why, rows[i].why) == NULL))
            fail_msg("\"%s\": %s", rows[i].element, why != NULL ? why : "taken");
        free(copy);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(list_gives_addresses_in_order),
        TEST(element_is_refused_with_a_reason),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
