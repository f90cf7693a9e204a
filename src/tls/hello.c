/* SPDX-License-Identifier: MIT */
/*
 * Records, RFC 8446 section 5.1 (type, version, length), and in those of the handshake
 * its messages, section 4 (type, length), which may be cut by records anywhere.
 */
#include "tls/hello.h"

#include <string.h>

enum { RECORD_HANDSHAKE = 22, MESSAGE_CLIENT_HELLO = 1 };

/* Fill a header. @return how many bytes of the input it took. */
static size_t fill(uint8_t *header, size_t size, uint8_t *have, const uint8_t *in,
                   size_t len)
{
    const size_t n = len < size - *have ? len : size - *have;

    memcpy(header + *have, in, n);
    *have = (uint8_t)(*have + n);
    return n;
}

static bool take_messages(struct wsi_hello *hello, const uint8_t *in, size_t len)
{
    const uint8_t *m = hello->message;

    while (len > 0) {
        size_t n = len < hello->message_left ? len : hello->message_left;

        if (hello->message_left > 0) {
            hello->message_left -= (uint32_t)n;
        } else {
            n = fill(hello->message, sizeof hello->message, &hello->message_len, in, len);
            if (hello->message_len == sizeof hello->message) {
                hello->message_len = 0;
                hello->message_left = (uint32_t)m[1] << 16 | (uint32_t)m[2] << 8 | m[3];
                if (m[0] == MESSAGE_CLIENT_HELLO && hello->message_left > WSI_HELLO_MAX)
                    return false;
            }
        }
        in += n;
        len -= n;
    }
    return true;
}

bool wsi_hello_admit(struct wsi_hello *hello, const uint8_t *in, size_t len)
{
    const uint8_t *r = hello->record;

    while (len > 0) {
        size_t n = len < hello->record_left ? len : hello->record_left;

        if (hello->record_left > 0) {
            if (r[0] == RECORD_HANDSHAKE && !take_messages(hello, in, n))
                return false;
            hello->record_left = (uint16_t)(hello->record_left - n);
        } else {
            n = fill(hello->record, sizeof hello->record, &hello->record_len, in, len);
            if (hello->record_len == sizeof hello->record) {
                hello->record_len = 0;
                hello->record_left = (uint16_t)(r[3] << 8 | r[4]);
            }
        }
        in += n;
        len -= n;
    }
    return true;
}
