/* SPDX-License-Identifier: MIT */
/*
 * What the C programs of the benchmarks share: they give up with one line, read clocks
 * and command lines, measure runs, know the heads that open a WebSocket connection, and
 * write frames.
 */
#ifndef BENCH_SUPPORT_H
#define BENCH_SUPPORT_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/types.h>
#include <time.h>

#define NS_PER_S      1000000000
#define STALL_MS      10000 /* a server that says nothing for so long has failed */
#define HEADER_MAX    14
#define RESPONSE_MAX  4096
#define EVENTS_MAX    1024
#define BYTE0_BINARY  0x82u /* FIN */
#define BYTE0_TEXT    0x81u /* FIN */
#define BYTE0_RSV1    0x40u
#define BYTE0_FIN     0x80u
#define BYTE0_OPCODE  0x0fu
#define BYTE0_CONTROL 0x08u

struct target {
    struct sockaddr_in addr;
    char host[64];
    const char *path;       /* of the URL, which must live as long */
    const char *extensions; /* a whole header line with its end, or "" */
    bool raw;               /* the server knows no accept key */
    bool tls;               /* the URL is one of wss */
};

/* One moment of the clocks that bound a measured window. */
struct clocks {
    int64_t wall, own, server;
};

void die(const char *what);
void die_errno(const char *what);

/** Zeroed. */
void *must_alloc(size_t count, size_t size);

/** @param server_pid 0: do not read a server's clock. */
struct clocks read_clocks(pid_t server_pid);

/* What makes traffic: rounds of asking and answering on connections. */
struct generator {
    /** Every connection may begin so many more: SIZE_MAX for no end, 0 for no more. */
    void (*begin)(struct generator *g, size_t rounds);
    /** Wait for what comes, and go on with it. */
    void (*turn)(struct generator *g);
    size_t active; /* connections inside a round */
    const struct run_options *options;
    uint64_t done, extra; /* what was done so far, in the program's own units */
    int64_t idle;         /* ns of the own CPU clock that were spent without work */
    int64_t idle_since;   /* and more from this moment on; 0: it works */
};

/* Both ends of what is measured. */
struct sample {
    struct clocks clocks;
    uint64_t done, extra;
    int64_t idle;
};

struct run_options;

/** @param begin, turn as above. The limit of open files is raised, too. */
void generator_init(struct generator *g,
                    void (*begin)(struct generator *g, size_t rounds),
                    void (*turn)(struct generator *g), const struct run_options *options);
void finish_all(struct generator *g);
/** Warm up, measure for some seconds while rounds go on, let them end. */
void run_by_time(struct generator *g, struct sample *from, struct sample *to);
/** Measure so many rounds, from the first to the last. */
void run_by_count(struct generator *g, size_t rounds, struct sample *from,
                  struct sample *to);

struct sample_rates {
    double seconds, own, server; /* CPU seconds */
    double done, extra;
};
struct sample_rates between(const struct sample *from, const struct sample *to);

/** The end of a report: what both programs used, as the last fields of an object of JSON
 *  and as text. @param pid 0: the server's clock was not read. @param what was done. */
void print_cpu_json(const struct sample_rates *r, pid_t pid);
void print_cpu(const struct sample_rates *r, pid_t pid, const char *what);

int64_t clock_ns(clockid_t id);

/** A number of the command line, not negative. @param text NULL: not given. */
double number_or(const char *text, double otherwise);

struct option;

/**
 * Parse the command line. Wrong usage and --help print how it is, and end the program.
 *
 * @param values (out) what each option was given, by its val; "" for a flag, NULL for
 *               what is not there.
 * @return the one plain argument, NULL when there is none.
 */
const char *parse_options(const char **values, const struct option *table,
                          const char *usage, int argc, char **argv);

/* What a command line says of a run: `values` of parse_options() begin with these. The
 * one of the server's clock is not in the table, for not all programs read it. */
enum { RUN_SECONDS, RUN_WARMUP, RUN_PID, RUN_JSON, RUN_VALUES };
#define RUN_OPTION_TABLE                                 \
    {"seconds", required_argument, NULL, RUN_SECONDS},   \
        {"warmup", required_argument, NULL, RUN_WARMUP}, \
    {                                                    \
        "json", no_argument, NULL, RUN_JSON              \
    }

struct run_options {
    double seconds, warmup;
    pid_t pid; /* 0: do not read a server's clock */
    bool json;
};

/** @param seconds, warmup when they are not given. */
struct run_options run_options_of(const char *const *values, double seconds,
                                  double warmup);

/** @param url NULL: it was not given. */
void parse_url(struct target *target, const char *url);

/** @param key four bytes of mask, or NULL. @return the header's length. */
size_t put_header(unsigned char *out, unsigned byte0, size_t len,
                  const unsigned char *key);

void apply_mask(unsigned char *data, size_t len, const unsigned char key[4]);

/* The mask of all frames: a fixed one costs nothing to find. */
extern const unsigned char frame_mask[4];

/** A whole frame of a client's. @return its length. */
size_t put_frame(unsigned char *out, unsigned byte0, const void *data, size_t len);

/** @param head (out) RESPONSE_MAX bytes. @return the length of the request in it. */
size_t put_request(char *head, const struct target *target);

/**
 * Whether what was received is the whole head of the response, which is then checked.
 *
 * @param head RESPONSE_MAX bytes; a NUL is put behind the first `len` of them.
 */
bool response_is_whole(const struct target *target, char *head, size_t len);

void raise_fd_limit(void);

/** Print "ready" and wait until standard input ends. */
void hold_idle(void);

/** A new descriptor of epoll. */
int must_epoll(void);

/** Have a socket looked after. @param user the data of its events. */
void must_watch(int epoll_fd, int fd, uint32_t events, void *user);

/**
 * Wait until something comes.
 *
 * @param events (out) EVENTS_MAX of them.
 * @param silence what to give up with when nothing came in time; NULL: go on.
 * @return how many came.
 */
int must_wait(int epoll_fd, struct epoll_event *events, int timeout_ms,
              const char *silence);

#endif
