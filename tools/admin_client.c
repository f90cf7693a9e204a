/* SPDX-License-Identifier: MIT */
/*
 * One HTTP request to an admin listener. The other end is a libwsock server on the same
 * machine, which ends the connection behind its answer: so there is one socket, written
 * and read to the end, and no need for a client of HTTP.
 */
#include "admin_client.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "admin_place.h"
#include "secret_file.h"
#include "tool.h"

enum { TIMEOUT_S = 30, ANSWER_MAX = 64 * 1024 * 1024 };

union address {
    struct sockaddr any;
    struct sockaddr_un un;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
};

/* @return its length; 0 for what is none. */
static socklen_t address_of(union address *out, const char *url)
{
    struct admin_place place;

    memset(out, 0, sizeof *out);
    if (!admin_place_parse(&place, url))
        return 0;
    if (place.path != NULL) {
        const size_t size = strlen(place.path) + 1;

        if (size > sizeof out->un.sun_path)
            return 0;
        out->un.sun_family = AF_UNIX;
        memcpy(out->un.sun_path, place.path, size);
        return sizeof out->un;
    }
    if (place.is_v6) {
        out->v6.sin6_family = AF_INET6;
        out->v6.sin6_port = htons((uint16_t)place.port);
        return inet_pton(AF_INET6, place.host, &out->v6.sin6_addr) == 1 ? sizeof out->v6
                                                                        : 0;
    }
    out->v4.sin_family = AF_INET;
    out->v4.sin_port = htons((uint16_t)place.port);
    return inet_pton(AF_INET, place.host, &out->v4.sin_addr) == 1 ? sizeof out->v4 : 0;
}

static int send_all(int fd, const char *data, size_t len)
{
    while (len > 0) {
        const ssize_t n = send(fd, data, len, MSG_NOSIGNAL);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) /* it may have answered already: read that */
            return errno == EPIPE || errno == ECONNRESET ? 0 : -1;
        data += n;
        len -= (size_t)n;
    }
    return 0;
}

/* @return (owned) all that comes, ended by NUL; NULL with errno. */
static char *receive_all(int fd)
{
    size_t size = 65536, len = 0;
    char *text = malloc(size + 1);

    while (text != NULL) {
        const ssize_t n = recv(fd, text + len, size - len, 0);
        char *more = NULL;

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0 && (n == 0 || (errno == ECONNRESET && len > 0))) {
            text[len] = '\0';
            return text;
        }
        len += n > 0 ? (size_t)n : 0;
        if (n > 0 && len < size)
            continue;
        if (n > 0 && size < ANSWER_MAX)
            more = realloc(text, 2 * size + 1);
        else if (n > 0)
            errno = EFBIG;
        if (more == NULL)
            free(text);
        text = more;
        size *= 2;
    }
    return NULL;
}

/* @return (owned) the answer, NULL with errno. */
static char *talk(const union address *address, socklen_t len, const char *head,
                  const char *body)
{
    const struct timeval limit = {.tv_sec = TIMEOUT_S};
    const int fd = socket(address->any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    char *text = NULL;
    int error = 0;

    if (fd < 0)
        return NULL;
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
    if (connect(fd, &address->any, len) == 0 && send_all(fd, head, strlen(head)) == 0 &&
        send_all(fd, body, strlen(body)) == 0)
        text = receive_all(fd);
    error = errno;
    close(fd);
    errno = error;
    return text;
}

/* ---- the answer ---- */

static int understand(const char *command, const char *url, const char *text,
                      json_t **out)
{
    const char *body = strstr(text, "\r\n\r\n");
    json_t *root = NULL;
    const char *why = NULL;
    int status = 0;

    if (strncmp(text, "HTTP/1.1 ", 9) == 0 && body != NULL)
        root = json_loads(body + 4, JSON_ALLOW_NUL, NULL);
    *out = json_incref(json_object_get(root, "ok"));
    why = json_string_value(json_object_get(json_object_get(root, "err"), "text"));
    if (*out == NULL && why != NULL)
        status = fail(command, "refused: %s", why);
    else if (*out == NULL)
        status = fail(command, "%s is no admin listener of wsock serve", url);
    json_decref(root);
    return status;
}

/* ---- a call ---- */

/* @return 0, or an exit status. */
static int write_head(const char *command, const char *key_file, const char *call,
                      size_t body_len, char **out)
{
    char *key = NULL, *head = NULL;
    size_t key_len = 0, size = 0;
    int status = 0;

    if (key_file != NULL)
        status = secret_file_read(command, "--admin-key", key_file, &key, &key_len);
    if (status != 0)
        return status;
    size = key_len + 256;
    head = malloc(size);
    if (head != NULL)
        snprintf(head, size,
                 "POST %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
                 "Content-Type: application/json\r\nContent-Length: %zu\r\n%s%s%s\r\n",
                 call, body_len, key != NULL ? "Authorization: Bearer " : "",
                 key != NULL ? key : "", key != NULL ? "\r\n" : "");
    if (key != NULL && strpbrk(key, "\r\n") != NULL)
        status = fail(command, "--admin-key: %s has more than one line", key_file);
    secret_file_drop(key, key_len);
    *out = head;
    return status;
}

/* One that is empty counts as not set, as in most programs. */
static const char *environment(const char *name)
{
    const char *value = getenv(name);

    return value != NULL && *value != '\0' ? value : NULL;
}

int admin_ask(const char *command, const struct admin_target *target, const char *call,
              json_t *args, json_t **out)
{
    const char *url = target->url != NULL ? target->url : environment("WSOCK_ADMIN");
    const char *key_file = target->key_file != NULL ? target->key_file
                                                    : environment("WSOCK_ADMIN_KEY");
    char *body = json_dumps(args, JSON_COMPACT), *head = NULL, *text = NULL;
    union address address;
    socklen_t len = 0;
    int status = 0;

    json_decref(args);
    if (url == NULL)
        status = usage_error(command, "where is the server? --admin or the variable "
                                      "WSOCK_ADMIN says it");
    else if ((len = address_of(&address, url)) == 0)
        status = usage_error(
            command, "%s takes unix:/PATH or http://ADDRESS:PORT, not \"%s\"",
            target->url != NULL ? "--admin" : "WSOCK_ADMIN", url);
    else if (body != NULL)
        status = write_head(command, key_file, call, strlen(body), &head);
    if (status == 0 && head != NULL)
        text = talk(&address, len, head, body);
    if (text != NULL)
        status = understand(command, url, text, out);
    else if (status == 0) {
        tell("wsock %s: cannot ask %s: %s", command, url,
             strerror(head != NULL ? errno : ENOMEM));
        status = EXIT_CONNECT;
    }
    free(text);
    free(head);
    free(body);
    return status;
}
