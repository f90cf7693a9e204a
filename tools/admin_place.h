/* SPDX-License-Identifier: MIT */
/* Where an admin listener is: "unix:/PATH" or "http://ADDRESS:PORT". */
#ifndef ADMIN_PLACE_H
#define ADMIN_PLACE_H

/** One of both. */
struct admin_place {
    const char *path; /**< of a Unix socket (borrowed from the text); NULL: TCP */
    char host[64];    /**< an address; "localhost" is 127.0.0.1 */
    int is_v6;
    unsigned port;
};

/** @return 1, or 0 for what is no such place. The host is not looked at. */
int admin_place_parse(struct admin_place *out, const char *text);

#endif
