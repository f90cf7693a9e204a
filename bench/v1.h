/* SPDX-License-Identifier: MIT */
/*
 * The client's side of rooms.v1 as far as load generators need it: texts out, texts in,
 * and fields of them by their names. It trusts the server to write JSON as libwsock does,
 * without white space, for it is that what is measured.
 */
#ifndef BENCH_V1_H
#define BENCH_V1_H

#include "wire.h"

#define V1_OFFER "Sec-WebSocket-Protocol: wsock.rooms.v1\r\n"
#define V1_HELLO "{\"type\":\"hello\",\"v\":1}"

/* What came of a frame, or of the response's head, that is not whole yet. Zeroed at
 * first. */
struct v1_reader {
    char *part; /* (owned, nullable) */
    size_t len, size;
};

/** @param text ended by NUL; gone after the return. */
typedef void (*v1_text_fn)(void *user, const char *text);

/** Each text that is whole by now. Pings and what else is no text is passed over. */
void v1_read(struct v1_reader *reader, const void *data, size_t len, v1_text_fn heard,
             void *user);

/** The same while the head of the response is awaited. @return whether it is whole: it is
 *  taken away then. */
bool v1_read_head(struct v1_reader *reader, const struct target *target, const void *data,
                  size_t len);

void v1_reader_fini(struct v1_reader *reader);

/** A text as one frame, which the socket has to take at once. */
void v1_send(struct wire *wire, const char *text);

bool v1_is(const char *text, const char *type);
/** @return where the value begins, NULL: there is none. */
const char *v1_field(const char *text, const char *name);
/** @return 0 when there is none. */
uint64_t v1_number(const char *text, const char *name);

#endif
