/* SPDX-License-Identifier: MIT */
/* Errors of TLS, whoever finds them. */
#include "tls/tls.h"

const char *wsock_tls_error_text(int tls_error)
{
    switch (tls_error) {
#define ERROR_CASE(name, value, text) \
    case (value):                     \
        return text;
        WSOCK_TLS_ERROR_MAP(ERROR_CASE)
#undef ERROR_CASE
    default:
        return "unknown error";
    }
}

bool wsi_tls_is_certificate_error(int error)
{
    return error >= WSOCK_TLS_EXPIRED && error <= WSOCK_TLS_PIN;
}
