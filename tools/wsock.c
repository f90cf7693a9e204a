/* SPDX-License-Identifier: MIT */
/*
 * The command `wsock`: finds the subcommand and leaves the rest to it.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "tool.h"

struct command {
    const char *name;
    int (*run)(int argc, char **argv);
};

static const struct command commands[] = {
    {"serve", serve_main},     {"connect", connect_main}, {"bench", bench_main},
    {"publish", publish_main}, {"rooms", rooms_main},     {"kick", kick_main},
    {"cluster", cluster_main},
};

#define COMMAND_COUNT (sizeof commands / sizeof commands[0])

static int print_version(void)
{
    printf("wsock %s, libwsock %s\n", WSOCK_VERSION, wsock_version());
    return fflush(stdout) == 0 ? EXIT_OK : EXIT_FAILED;
}

static int unknown_command(const char *name)
{
    struct nearest nearest = nearest_to(name);

    for (size_t i = 0; i < COMMAND_COUNT; i++)
        nearest_try(&nearest, commands[i].name);
    if (nearest.name != NULL)
        return usage_error("", "unknown command %s; did you mean %s?", name,
                           nearest.name);
    return usage_error("", "unknown command %s; see wsock --help", name);
}

/* A standard descriptor that is closed would be the number of the next socket, and what
 * is printed would go there. */
static int hold_standard_descriptors(void)
{
    int fd = 0;

    while (fd >= 0 && fd <= 2)
        fd = open("/dev/null", O_RDWR); /* the lowest that is free */
    if (fd > 2)
        close(fd);
    return fd < 0 ? -1 : 0;
}

int main(int argc, char **argv)
{
    static char help_option[] = "--help";
    char *help[] = {help_option};
    const char *name = argc > 1 ? argv[1] : NULL;
    char **rest = argv + 2;
    int rest_count = argc - 2;

    if (hold_standard_descriptors() < 0)
        return EXIT_FAILED;
    if (name == NULL)
        return usage_error("",
                           "which command: serve, connect, bench, publish, rooms, kick "
                           "or cluster? See wsock --help");
    if (strcmp(name, "--version") == 0 || strcmp(name, "-V") == 0)
        return print_version();
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0 ||
        (strcmp(name, "help") == 0 && argc == 2))
        return help_print("wsock", 0, NULL);
    if (strcmp(name, "help") == 0) {
        name = argv[2];
        rest = help;
        rest_count = 1;
    }
    for (size_t i = 0; i < COMMAND_COUNT; i++) {
        if (strcmp(name, commands[i].name) == 0)
            return commands[i].run(rest_count, rest);
    }
    return unknown_command(name);
}
