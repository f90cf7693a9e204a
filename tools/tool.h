/* SPDX-License-Identifier: MIT */
/*
 * What the subcommands of `wsock` share: exit statuses, arguments, complaints, and the
 * texts that are built into the program.
 */
#ifndef TOOL_H
#define TOOL_H

#include <stddef.h>
#include <stdint.h>

#include <wsock/wsock.h>

/** Exit statuses; `wsock connect` uses them all, and its --help explains them. */
enum {
    EXIT_OK = 0,
    EXIT_FAILED = 1,
    EXIT_USAGE = 2,
    EXIT_CONNECT = 3,
    EXIT_TLS = 4,
    EXIT_HTTP = 5,
    EXIT_TIMEOUT = 6,
    EXIT_LOST = 7,
    EXIT_INTERRUPTED = 130,
};

int serve_main(int argc, char **argv);
int connect_main(int argc, char **argv);
int bench_main(int argc, char **argv);
int publish_main(int argc, char **argv);
int rooms_main(int argc, char **argv);
int kick_main(int argc, char **argv);
int cluster_main(int argc, char **argv);

/* text.c: built into the program by embed.py */

struct embedded_file {
    const char *name; /**< "chat.js", "serve.txt" */
    const char *data; /**< NUL-terminated behind its length */
    size_t len;
};
extern const struct embedded_file embedded_files[];
extern const size_t embedded_count;

/** @return NULL when there is no such file. */
const struct embedded_file *embedded_find(const char *name);

/** What a command does with an option of the library otherwise than the library. */
struct option_rule {
    const char *name;    /**< NULL at the end of a list */
    const char *value;   /**< its default here; NULL: --set does not take it */
    const char *instead; /**< then: the command's own flag, NULL when there is none */
};

/** @return the rule for that name, or NULL. @param rules (nullable) */
const struct option_rule *option_rule_of(const struct option_rule *rules,
                                         const char *name);

/**
 * Print the manual of a command, with the library's options of these scopes where it
 * says so. @param rules (nullable) @return EXIT_OK, or EXIT_FAILED when standard output
 * cannot take it.
 */
int help_print(const char *command, int scopes, const struct option_rule *rules);

/* args.c */

/** One option of a command. `letter` may be 0; `id` is what args_next() answers. */
struct arg_option {
    const char *name; /**< without the dashes */
    char letter;
    char takes; /**< 1: a value follows; ARG_MAY_TAKE: it may, behind "=" */
    int id;
};

enum { ARG_MAY_TAKE = 2 };

/** What args_next() answers besides the ids of options, which start at 1. */
enum { ARG_END = 0, ARG_PLAIN = -1, ARG_BAD = -2 };

struct args {
    const char *command; /**< "serve", for complaints */
    const struct arg_option *options;
    size_t option_count;
    char **argv;
    int argc;
    int index;
    int only_plain;      /**< "--" was seen */
    const char *cluster; /**< rest of "-bv" after its first letter */
};

void args_init(struct args *args, const char *command, const struct arg_option *options,
               size_t option_count, int argc, char **argv);

/**
 * The next argument. Names are taken whole, never abbreviated.
 *
 * @param value (out) of an option that takes one, or the argument itself for ARG_PLAIN;
 *              else NULL.
 * @return an option's id, ARG_PLAIN, ARG_END, or ARG_BAD after a complaint.
 */
int args_next(struct args *args, const char **value);

/** Print one line to standard error. What steers a terminal is shown as '?', since a peer
 *  may have said it. */
void tell(const char *format, ...) __attribute__((format(printf, 1, 2)));

/** Tell "wsock COMMAND: ...". @return EXIT_USAGE. */
int usage_error(const char *command, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/** The same. @return EXIT_FAILED. */
int fail(const char *command, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/** Say what the library says of its options (@param sentence), and behind it by which
 * flags of the command they are set. @return EXIT_FAILED. */
int fail_by_flag(const char *command, const char *what, const char *sentence);

/** The name that is nearest to a wrong one: try all there are, and read `name`. */
struct nearest {
    const char *wrong, *name; /* name: NULL while none is near enough */
    size_t distance;
};
/** @param wrong (borrowed until the last try) */
struct nearest nearest_to(const char *wrong);
void nearest_try(struct nearest *nearest, const char *name);

/** A whole decimal number. @return 0, or EXIT_USAGE after a complaint that names option,
 *  value and range. */
int parse_count(const char *command, const char *option, const char *text, int64_t min,
                int64_t max, int64_t *out);

/** Bytes: a whole number, or one with KiB, MiB or GiB (K, M, G), as --set takes it.
 *  Results as parse_count(). */
int parse_bytes(const char *command, const char *option, const char *text, int64_t min,
                int64_t max, int64_t *out);

/** Seconds with an optional fraction, to milliseconds. Results as parse_count(). */
int parse_seconds(const char *command, const char *option, const char *text,
                  int64_t *out_ms);

/** Set one NAME=VALUE of --set on whatever of the three takes it (each nullable, and so
 *  the rules). @return 0, or EXIT_USAGE after a complaint. */
int set_option(const char *command, const struct option_rule *rules,
               wsock_runtime *runtime, wsock_server *server, wsock_client *client,
               const char *assignment);

/** Add "Name: value" to the requests of a client. @return 0, or EXIT_USAGE after a
 * complaint. */
int client_add_header(const char *command, wsock_client *client, const char *header);

/** How a client gets to its server. */
struct way {
    const char *proxy;  /**< of --proxy, nullable */
    char resolve[4096]; /**< of every --resolve, separated by commas */
};

/** Add what a --resolve says. @return 0, or EXIT_USAGE after a complaint. */
int way_add_resolve(const char *command, struct way *way, const char *value);

/** Tell the client. @return 0, or EXIT_USAGE after a complaint. */
int way_set(const char *command, const struct way *way, wsock_client *client);

/** Say why wsock_runtime_client() did not take a URL. @return the exit status. */
int client_refuse_url(const char *command, wsock_runtime *runtime, int code,
                      const char *url);

/** The same of a listener's URL, which the server complained of. @return EXIT_USAGE. */
int refuse_url(const char *command, const char *sentence, const char *url);

/** What may help who could not connect: the other of ws and wss. @return (nullable)
 *  static text. */
const char *way_hint(const wsock_conn *conn, const wsock_close_info *info);

/** Milliseconds of a clock that only goes forward. */
int64_t now_ms(void);

#endif
