/* SPDX-License-Identifier: MIT */
/* Where an admin listener is. Names are not looked up: it is on this machine. */
#include "admin_place.h"

#include <stdlib.h>
#include <string.h>

/* ":PORT" and nothing else. */
static int take_port(unsigned *port, const char *text)
{
    char *end = NULL;
    unsigned long value = 0;

    if (text[0] != ':' || text[1] < '0' || text[1] > '9')
        return 0;
    value = strtoul(text + 1, &end, 10);
    *port = (unsigned)value;
    return *end == '\0' && value <= 65535;
}

int admin_place_parse(struct admin_place *out, const char *text)
{
    size_t len = 0;

    *out = (struct admin_place){.path = NULL};
    if (strncmp(text, "unix:/", 6) == 0) {
        out->path = text + 5;
        return 1;
    }
    if (strncmp(text, "http://", 7) != 0)
        return 0;
    text += 7;
    out->is_v6 = *text == '[';
    text += out->is_v6;
    len = strcspn(text, out->is_v6 ? "]" : ":/");
    if (len == 0 || len >= sizeof out->host)
        return 0;
    memcpy(out->host, text, len);
    if (strcmp(out->host, "localhost") == 0 && !out->is_v6)
        memcpy(out->host, "127.0.0.1", sizeof "127.0.0.1");
    text += len;
    if (out->is_v6 && *text++ != ']')
        return 0;
    return take_port(&out->port, text);
}
