/* SPDX-License-Identifier: MIT */
/*
 * Standard input and output of `wsock connect`. Output is one line a message whatever the
 * message holds; input is one message a line, or one message in all.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <jansson.h>

#include "base64.h"
#include "connect.h"
#include "tool.h"

/* Longer messages are refused by every server that bounds them. */
#define INPUT_MAX_BYTES ((size_t)1 << 30)

volatile sig_atomic_t interrupts;
static int signal_wake_fd = -1;

static void on_signal(int number)
{
    const int saved = errno;
    const uint64_t one = 1;

    (void)number;
    if (interrupts++ > 0)
        _exit(EXIT_INTERRUPTED);
    if (write(signal_wake_fd, &one, sizeof one) < 0)
        _exit(EXIT_INTERRUPTED);
    errno = saved;
}

void catch_signals(int wake_fd)
{
    struct sigaction action = {
        .sa_handler = on_signal}; /* no SA_RESTART: end writes too */

    signal_wake_fd = wake_fd;
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    signal(SIGPIPE, SIG_IGN);
}

/* Room for `more` bytes and a NUL. */
static int grow(char **data, size_t *size, size_t len, size_t more)
{
    size_t wanted = *size != 0 ? *size : 4096;
    char *grown = NULL;

    while (wanted - len <= more)
        wanted *= 2;
    if (wanted == *size)
        return 0;
    grown = realloc(*data, wanted);
    if (grown == NULL)
        return -1;
    *data = grown;
    *size = wanted;
    return 0;
}

/* ---- output ---- */

static int add_json(struct output *out, const struct message *message)
{
    char *b64 = NULL;
    char *text = NULL;
    json_t *line = NULL;
    size_t len = 0;
    int r = -1;

    if (message->type == WSOCK_TEXT) {
        line = json_pack("{s:s, s:o}", "type", "text", "data",
                         json_stringn(message->data, message->len));
    } else {
        b64 = base64_encode(message->data, message->len);
        line = b64 != NULL ? json_pack("{s:s, s:s}", "type", "binary", "b64", b64) : NULL;
    }
    text = line != NULL ? json_dumps(line, JSON_COMPACT) : NULL;
    len = text != NULL ? strlen(text) : 0;
    if (text != NULL && grow(&out->data, &out->size, out->len, len) == 0) {
        memcpy(out->data + out->len, text, len);
        out->len += len;
        r = 0;
    }
    free(text);
    free(b64);
    json_decref(line);
    return r;
}

/* How many bytes must be spelled out. Of text only what would break the line; on a
 * terminal also what could steer it, U+0080 to U+009F included. Of binary everything that
 * is no plain letter. */
static size_t spelled_len(const unsigned char *p, size_t left, int type, int is_terminal)
{
    if (type != WSOCK_TEXT)
        return *p < 0x20 || *p > 0x7e || *p == '\\';
    if (*p == '\n' || *p == '\r')
        return 1;
    if (is_terminal && *p == 0xC2 && left > 1 && p[1] < 0xA0)
        return 2;
    return is_terminal && *p != '\t' && (*p < 0x20 || *p == 0x7f);
}

static char *spell(char *out, unsigned char c)
{
    if (c != '\n' && c != '\r' && c != '\\')
        return out + snprintf(out, 5, "\\x%02x", c);
    *out++ = '\\';
    *out++ = (char)(c == '\n' ? 'n' : c == '\r' ? 'r' : '\\');
    return out;
}

static int add_plain(struct output *out, const struct message *message)
{
    const unsigned char *data = (const unsigned char *)message->data;
    char *p = NULL;

    if (grow(&out->data, &out->size, out->len, message->len * 4) < 0)
        return -1;
    p = out->data + out->len;
    for (size_t i = 0; i < message->len;) {
        size_t spelled = spelled_len(data + i, message->len - i, message->type,
                                     out->is_terminal);

        if (spelled == 0)
            *p++ = message->data[i++];
        for (; spelled > 0; spelled--)
            p = spell(p, data[i++]);
    }
    out->len = (size_t)(p - out->data);
    return 0;
}

int output_add(struct output *out, const struct message *message)
{
    const int r = out->is_json ? add_json(out, message) : add_plain(out, message);

    if (r < 0 || grow(&out->data, &out->size, out->len, 1) < 0)
        return -1;
    out->data[out->len++] = '\n';
    return 0;
}

/* After a write that failed: another may have made the descriptor one that does not
 * block.
 * @return whether to try again. */
static int may_write_again(void)
{
    struct pollfd fd = {.fd = STDOUT_FILENO, .events = POLLOUT};

    if (errno == EAGAIN && poll(&fd, 1, -1) > 0)
        return 1;
    return errno == EINTR && interrupts == 0;
}

int output_flush(struct output *out)
{
    size_t done = 0;

    while (done < out->len) {
        const ssize_t n = write(STDOUT_FILENO, out->data + done, out->len - done);

        if (n < 0 && !may_write_again())
            break;
        done += n > 0 ? (size_t)n : 0;
    }
    if (done < out->len)
        return -1;
    out->len = 0;
    return 0;
}

/* ---- input ---- */

int input_read(struct input *in)
{
    const size_t chunk = 65536;
    ssize_t n = 0;

    if (in->start == in->len) {
        in->start = 0;
        in->len = 0;
    } else if (in->start > chunk) {
        memmove(in->data, in->data + in->start, in->len - in->start);
        in->len -= in->start;
        in->start = 0;
    }
    if (in->len >= INPUT_MAX_BYTES || grow(&in->data, &in->size, in->len, chunk) < 0) {
        in->has_ended = 1;
        fail("connect", "standard input: a message of more than 1 GiB");
        return -1;
    }
    n = read(STDIN_FILENO, in->data + in->len, in->size - in->len);
    if (n > 0)
        in->len += (size_t)n;
    else if (n == 0 || (errno != EINTR && errno != EAGAIN))
        in->has_ended = 1;
    return 0;
}

int input_peek(const struct input *in, const char **data, size_t *len)
{
    const size_t left = in->len - in->start;
    const char *start = left > 0 ? in->data + in->start : "";
    const char *end = NULL;

    if (in->is_whole) {
        if (!in->has_ended || in->is_taken)
            return 0;
    } else {
        end = memchr(start, '\n', left);
        if (end == NULL && (!in->has_ended || left == 0))
            return 0;
    }
    *data = start;
    *len = end != NULL ? (size_t)(end - start) : left;
    return 1;
}

void input_next(struct input *in)
{
    const char *data = NULL;
    size_t len = 0;

    if (!input_peek(in, &data, &len))
        return;
    in->is_taken = in->is_whole;
    in->start += len;
    if (in->start < in->len) /* the line's end */
        in->start++;
}
