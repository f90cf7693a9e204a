/* SPDX-License-Identifier: MIT */
/*
 * How large a greeting a client of TLS announces. Who makes room for a message as soon as
 * its length is known can be made to by nine bytes; so this looks at the length before.
 */
#ifndef WSI_TLS_HELLO_H
#define WSI_TLS_HELLO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Real ones have 0.3 to 2 KiB, and some more with a ticket. */
enum { WSI_HELLO_MAX = 16 * 1024 };

/** What is known of the stream so far. All zero: nothing came yet. */
struct wsi_hello {
    uint8_t record[5], record_len;   /* the header of a record, and how much is there */
    uint8_t message[4], message_len; /* and of a message of the handshake */
    uint16_t record_left;
    uint32_t message_left;
};

/**
 * The next bytes of what a client sends in the clear.
 *
 * @return false when they announce a greeting (ClientHello, RFC 8446 section 4.1.2) of
 *         more than WSI_HELLO_MAX bytes.
 */
bool wsi_hello_admit(struct wsi_hello *hello, const uint8_t *in, size_t len);

#endif
