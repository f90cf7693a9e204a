/* SPDX-License-Identifier: MIT */
/*
 * Prints docs/options.md from the option table. With the name of a file: says whether
 * that file is what would be printed.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/option.h"

static void print_value(FILE *out, const wsock_option_info *info, int id, int64_t value)
{
    char text[32];

    if (info->type == WSOCK_OPTION_STRING) {
        fprintf(out, "`\"\"`");
        return;
    }
    wsi_option_format(text, sizeof text, (enum wsi_option_id)id, value);
    fprintf(out, "%s", text);
}

static void print_range(FILE *out, const wsock_option_info *info, int id)
{
    if (info->type == WSOCK_OPTION_BOOL) {
        fprintf(out, "true, false");
    } else if (info->type == WSOCK_OPTION_STRING) {
        fprintf(out, "text");
    } else if (info->type == WSOCK_OPTION_CHOICE) {
        for (int64_t i = 0; i <= info->value_max; i++) {
            fprintf(out, "%s", i == 0 ? "" : ", ");
            print_value(out, info, id, i);
        }
    } else {
        print_value(out, info, id, info->value_min);
        fprintf(out, " to ");
        print_value(out, info, id, info->value_max);
        fprintf(out, "%s%s", info->words[0] != '\0' ? ", " : "", info->words);
    }
}

static void print_table(FILE *out, int scope)
{
    wsock_option_info info = {.size = sizeof info};

    fprintf(out, "| option | default | values | live | what it is |\n"
                 "| --- | --- | --- | --- | --- |\n");
    for (int i = 0; wsock_option_at(&info, (size_t)i) == 0; i++) {
        if (info.scope != scope)
            continue;
        fprintf(out, "| `%s` | ", info.name);
        print_value(out, &info, i, info.value_default);
        if (info.value_default_client != info.value_default) {
            fprintf(out, "; clients: ");
            print_value(out, &info, i, info.value_default_client);
        }
        fprintf(out, " | ");
        print_range(out, &info, i);
        fprintf(out, " | %s | %s |\n", info.is_live ? "yes" : "no", info.text);
    }
}

static void print_all(FILE *out)
{
    fprintf(
        out,
        "# Options\n"
        "\n"
        "Made from the table in src/core/option.h by tests/support/options_md.c; do not "
        "edit.\n"
        "\n"
        "Options are set by name, from text or from a number in the option's unit "
        "(bytes,\nmilliseconds, or a count):\n"
        "\n"
        "```c\n"
        "wsock_server_set(server, \"max_message_bytes\", \"64KiB\");\n"
        "wsock_endpoint_set_int64(endpoint, \"idle_timeout\", 90000);\n"
        "```\n"
        "\n"
        "Sizes take B, KiB, MiB, GiB, and K, M, G for the same; times take ms, s, min, "
        "h. "
        "Booleans take\ntrue, false, yes, no, on, off, 1, 0. \"off\", or the number 0, "
        "turns a limit off where the table\nsays so; \"auto\", or 0, leaves the value to "
        "the library. Case does not matter. An option\nthat is live also takes effect on "
        "what runs already; the others are fixed once the runtime's\nthreads run or the "
        "server listens, and at a client are for connections to come.\n");
    fprintf(out, "\n## Runtimes\n\n");
    print_table(out, WSOCK_SCOPE_RUNTIME);
    fprintf(out, "\n## Servers\n\n");
    print_table(out, WSOCK_SCOPE_SERVER);
    fprintf(out, "\n## Endpoints\n\n");
    print_table(out, WSOCK_SCOPE_ENDPOINT);
    fprintf(out, "\n## Servers and endpoints\n\n"
                 "Set on a server, these are the defaults of its endpoints.\n\n");
    print_table(out, WSI_SCOPE_SERVED);
    fprintf(out, "\n## Servers and clients\n\n");
    print_table(out, WSI_SCOPE_HEADS);
    fprintf(out, "\n## Clients\n\n");
    print_table(out, WSOCK_SCOPE_CLIENT);
    fprintf(out, "\n## Servers, endpoints and clients\n\n"
                 "Set on a server, these are the defaults of its endpoints.\n\n");
    print_table(out, WSI_SCOPE_CONNS);
    fprintf(out,
            "\n[compression.md](compression.md) tells what the modes and sizes of "
            "compression cost, and under\n\"Secrets\" what must not be compressed.\n");
    fprintf(out,
            "\n## Servers and rooms\n\n"
            "Set on a server, these are the defaults of the rooms that it makes from "
            "then on; a room has its\nfrom the moment when it is made "
            "([rooms.md](rooms.md)).\n\n");
    print_table(out, WSI_SCOPE_ROOMS);
}

/* 0 when the file has exactly these bytes. */
static int compare(const char *name, const char *text, size_t len)
{
    FILE *in = fopen(name, "rb");
    size_t pos = 0;
    int c;

    if (in == NULL) {
        fprintf(stderr, "%s: %s\n", name, strerror(errno));
        return 1;
    }
    while ((c = fgetc(in)) != EOF && pos < len && (unsigned char)text[pos] == c)
        pos++;
    fclose(in);
    if (c == EOF && pos == len)
        return 0;
    fprintf(stderr,
            "%s is not what the option table says (byte %zu);"
            " print it anew with options_md\n",
            name, pos);
    return 1;
}

int main(int argc, char **argv)
{
    char *text = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&text, &len);
    int status = 0;

    if (out == NULL)
        return 1;
    print_all(out);
    fclose(out);
    if (argc > 1)
        status = compare(argv[1], text, len);
    else
        fwrite(text, 1, len, stdout);
    free(text);
    return status;
}
