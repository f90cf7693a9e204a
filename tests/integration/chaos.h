/* SPDX-License-Identifier: MIT */
/*
 * A proxy of TCP that does what networks do, at random from a seed: it passes bytes on in
 * pieces of any size, late, and cuts connections anywhere, the handshake included: by a
 * reset, by an end of stream, or at once when they are made.
 */
#ifndef WSI_TEST_CHAOS_H
#define WSI_TEST_CHAOS_H

#include <stddef.h>
#include <stdint.h>

struct chaos;

/** @param upstream ws://127.0.0.1:port, where it connects to.
 *  @param url      (out) where it listens. */
struct chaos *chaos_begin(const char *upstream, uint64_t seed, char *url, size_t size);

/** The count of connections that were cut, for await(). */
int *chaos_cuts(struct chaos *chaos);

/** From now on it only delays and divides. */
void chaos_calm(struct chaos *chaos);

void chaos_end(struct chaos *chaos);

#endif
