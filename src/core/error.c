/* SPDX-License-Identifier: MIT */
/* Texts and names of the error codes, from the one map in wsock/error.h. */
#include <wsock/error.h>

#include <stddef.h>

const char *wsock_strerror(int code)
{
    switch (code) {
    case 0:
        return "no error";
#define TEXT_CASE(name, value, text) \
    case (value):                    \
        return text;
        WSOCK_ERROR_MAP(TEXT_CASE)
#undef TEXT_CASE
    default:
        return "unknown error";
    }
}

const char *wsock_error_name(int code)
{
    switch (code) {
#define NAME_CASE(name, value, text) \
    case (value):                    \
        return "WSOCK_" #name;
        WSOCK_ERROR_MAP(NAME_CASE)
#undef NAME_CASE
    default:
        return NULL;
    }
}
