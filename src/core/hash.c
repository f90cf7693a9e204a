/* SPDX-License-Identifier: MIT */
/* SipHash-2-4: four words of state, two rounds for each word of input, four at the end.
 */
#include "core/hash.h"

#include <string.h>

#include "core/random.h"

void wsi_hash_key_init(struct wsi_hash_key *key)
{
    wsi_random_system(key->word, sizeof key->word);
}

static inline uint64_t rotate(uint64_t x, unsigned bits)
{
    return x << bits | x >> (64 - bits);
}

static inline void mix(uint64_t v[4], int rounds)
{
    for (int i = 0; i < rounds; i++) {
        v[0] += v[1];
        v[1] = rotate(v[1], 13) ^ v[0];
        v[0] = rotate(v[0], 32);
        v[2] += v[3];
        v[3] = rotate(v[3], 16) ^ v[2];
        v[0] += v[3];
        v[3] = rotate(v[3], 21) ^ v[0];
        v[2] += v[1];
        v[1] = rotate(v[1], 17) ^ v[2];
        v[2] = rotate(v[2], 32);
    }
}

static inline void take(uint64_t v[4], uint64_t word)
{
    v[3] ^= word;
    mix(v, 2);
    v[0] ^= word;
}

/* Little-endian, whatever the machine is. */
static uint64_t word_of(const uint8_t *bytes, size_t len)
{
    uint64_t word = 0;

    for (size_t i = 0; i < len; i++)
        word |= (uint64_t)bytes[i] << (8 * i);
    return word;
}

uint64_t wsi_hash(const struct wsi_hash_key *key, const void *data, size_t len)
{
    const uint8_t *bytes = data;
    const size_t whole = len & ~(size_t)7;
    uint64_t v[4] = {
        key->word[0] ^ UINT64_C(0x736f6d6570736575),
        key->word[1] ^ UINT64_C(0x646f72616e646f6d),
        key->word[0] ^ UINT64_C(0x6c7967656e657261),
        key->word[1] ^ UINT64_C(0x7465646279746573),
    };

    for (size_t i = 0; i < whole; i += 8)
        take(v, word_of(bytes + i, 8));
    take(v, word_of(bytes + whole, len - whole) | (uint64_t)len << 56);
    v[2] ^= 0xff;
    mix(v, 4);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}
