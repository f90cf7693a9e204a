/* SPDX-License-Identifier: MIT */
/*
 * A comparison without a short cut. The loop runs over what was given, so that its time
 * says something of the secret's length only by the divisor of an index.
 */
#include "core/secret.h"

#include <stddef.h>
#include <string.h>

bool wsi_secret_equal(const char *given, const char *secret)
{
    const size_t given_len = strlen(given);
    const size_t secret_size = strlen(secret) + 1; /* the NUL makes it never empty */
    volatile unsigned char differs = given_len + 1 != secret_size;

    for (size_t i = 0; i < given_len; i++)
        differs = (unsigned char)(differs | (given[i] ^ secret[i % secret_size]));
    return differs == 0;
}
