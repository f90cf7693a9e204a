/* SPDX-License-Identifier: MIT */
/* Compression of messages, and where its contexts live. */
#include "conn/compress.h"

#include <string.h>

#include <wsock/error.h>

#include "conn/conn.h"
#include "conn/extra.h"
#include "core/alloc.h"
#include "proto/frame.h"
#include "proto/utf8.h"

enum {
    IDLE_MAX = 16,            /* compressors that are kept for the next who asks */
    SCRATCH_MAX = 256 * 1024, /* what a buffer may keep for the next message */
};

/* Defaults of "auto". A context of one's own is for thousands of connections, a shared
 * one for as many as there are threads. */
enum {
    SHARED_WINDOW_BITS = 15,
    SHARED_MEMORY_LEVEL = 8,
    DEDICATED_WINDOW_BITS = 12,
    DEDICATED_MEMORY_LEVEL = 5,
};

static void trim(struct wsi_buf *buf)
{
    buf->len = 0;
    if (buf->capacity > SCRATCH_MAX)
        wsi_buf_fini(buf);
}

/* ---- compressors on loan ---- */

void wsi_compressors_init(struct wsi_compressors *compressors)
{
    pthread_mutex_init(&compressors->lock, NULL);
    compressors->idle = NULL;
    compressors->idle_count = 0;
}

static void free_compressor(struct wsi_compressor *compressor)
{
    wsi_deflater_free(compressor->deflater);
    wsi_buf_fini(&compressor->out);
    wsi_free(compressor);
}

void wsi_compressors_fini(struct wsi_compressors *compressors)
{
    while (compressors->idle != NULL) {
        struct wsi_compressor *next = compressors->idle->next;

        free_compressor(compressors->idle);
        compressors->idle = next;
    }
    pthread_mutex_destroy(&compressors->lock);
}

static bool same_settings(const struct wsi_deflate_settings *a,
                          const struct wsi_deflate_settings *b)
{
    return a->window_bits == b->window_bits && a->memory_level == b->memory_level &&
           a->level == b->level;
}

/* @return (nullable) an idle one with these settings. */
static struct wsi_compressor *take_idle(struct wsi_compressors *compressors,
                                        const struct wsi_deflate_settings *settings)
{
    struct wsi_compressor **link = &compressors->idle;
    struct wsi_compressor *found;

    while (*link != NULL && !same_settings(&(*link)->settings, settings))
        link = &(*link)->next;
    found = *link;
    if (found != NULL) {
        *link = found->next;
        compressors->idle_count--;
    }
    return found;
}

static struct wsi_compressor *new_compressor(const struct wsi_deflate_settings *settings)
{
    struct wsi_compressor *compressor = wsi_zalloc(sizeof *compressor);

    if (compressor == NULL)
        return NULL;
    compressor->settings = *settings;
    compressor->settings.takeover = false;
    if (wsi_deflater_new(&compressor->deflater, &compressor->settings) < 0) {
        wsi_free(compressor);
        return NULL;
    }
    return compressor;
}

struct wsi_compressor *wsi_compressor_take(struct wsi_compressors *compressors,
                                           const struct wsi_deflate_settings *settings)
{
    struct wsi_compressor *compressor;

    pthread_mutex_lock(&compressors->lock);
    compressor = take_idle(compressors, settings);
    pthread_mutex_unlock(&compressors->lock);
    return compressor != NULL ? compressor : new_compressor(settings);
}

/* The one that was given back first. With the lock held; there is one. */
static struct wsi_compressor *oldest(struct wsi_compressors *compressors)
{
    struct wsi_compressor **link = &compressors->idle;
    struct wsi_compressor *last;

    while ((*link)->next != NULL)
        link = &(*link)->next;
    last = *link;
    *link = NULL;
    compressors->idle_count--;
    return last;
}

void wsi_compressor_give(struct wsi_compressors *compressors,
                         struct wsi_compressor *compressor)
{
    struct wsi_compressor *excess = NULL;

    trim(&compressor->out);
    pthread_mutex_lock(&compressors->lock);
    if (compressors->idle_count == IDLE_MAX)
        excess = oldest(compressors);
    compressor->next = compressors->idle;
    compressors->idle = compressor;
    compressors->idle_count++;
    pthread_mutex_unlock(&compressors->lock);
    if (excess != NULL)
        free_compressor(excess);
}

bool wsi_compressor_run(struct wsi_compressor *compressor, const void *data, size_t len)
{
    compressor->out.len = 0;
    return wsi_deflater_message(compressor->deflater, &compressor->out, data, len) == 0 &&
           compressor->out.len < len;
}

/* ---- what was agreed ---- */

static unsigned or_default(const struct wsi_options *options, enum wsi_option_id id,
                           unsigned shared, unsigned dedicated)
{
    const int64_t value = wsi_option(options, id);

    if (value != 0)
        return (unsigned)value;
    return wsi_option(options, WSI_OPT_COMPRESSION) == WSI_PMD_DEDICATED ? dedicated
                                                                         : shared;
}

struct wsi_pmd_config wsi_compress_config(const struct wsi_options *options)
{
    const uint8_t mode = (uint8_t)wsi_option(options, WSI_OPT_COMPRESSION);

    return (struct wsi_pmd_config){
        .mode = mode,
        .own_window_bits = (uint8_t)or_default(options, WSI_OPT_COMPRESSION_WINDOW_BITS,
                                               SHARED_WINDOW_BITS, DEDICATED_WINDOW_BITS),
        .peer_window_bits = (uint8_t)or_default(
            options, WSI_OPT_COMPRESSION_PEER_WINDOW_BITS, SHARED_WINDOW_BITS,
            DEDICATED_WINDOW_BITS),
        .own_takeover = mode == WSI_PMD_DEDICATED,
        .peer_takeover = mode == WSI_PMD_DEDICATED,
    };
}

void wsi_conn_agree_compression(struct wsock_conn *conn,
                                const struct wsi_pmd_params *params)
{
    conn->pmd = *params;
    wsi_session_allow_compressed(&conn->session);
}

static struct wsi_deflate_settings settings_for(const struct wsi_options *options,
                                                unsigned window_bits)
{
    return (struct wsi_deflate_settings){
        .window_bits = (uint8_t)window_bits,
        .memory_level = (uint8_t)or_default(options, WSI_OPT_COMPRESSION_MEMORY_LEVEL,
                                            SHARED_MEMORY_LEVEL, DEDICATED_MEMORY_LEVEL),
        .level = (uint8_t)wsi_option(options, WSI_OPT_COMPRESSION_LEVEL),
    };
}

/* ---- messages out ---- */

struct wsi_deflate_settings wsi_conn_deflate_settings(const struct wsock_conn *conn)
{
    struct wsi_deflate_settings settings = settings_for(&conn->profile->options,
                                                        conn->pmd.own_window_bits);

    settings.takeover = conn->pmd.own_takeover;
    return settings;
}

struct wsi_blob *wsi_compress_frame(struct wsi_pool *pool,
                                    const struct wsi_options *options,
                                    unsigned window_bits, unsigned opcode,
                                    const void *data, size_t len)
{
    const struct wsi_deflate_settings settings = settings_for(options, window_bits);
    struct wsi_compressor *compressor = wsi_compressor_take(&pool->compressors,
                                                            &settings);
    struct wsi_blob *frame = NULL;

    if (compressor == NULL)
        return NULL;
    if (wsi_compressor_run(compressor, data, len)) {
        const struct wsi_buf *out = &compressor->out;

        frame = wsi_blob_new(out->len + WSI_FRAME_HEADER_MAX);
        if (frame != NULL) {
            frame->len = wsi_frame_write_header(
                frame->data, WSI_FRAME_FIN | WSI_FRAME_RSV1 | opcode, out->len, NULL);
            memcpy(frame->data + frame->len, out->data, out->len);
            frame->len += out->len;
        }
    }
    wsi_compressor_give(&pool->compressors, compressor);
    return frame;
}

struct wsi_deflater *wsi_conn_own_deflater(struct wsock_conn *conn)
{
    struct wsi_extra *extra = wsi_conn_extra(conn);

    if (extra != NULL && extra->deflater == NULL) {
        const struct wsi_deflate_settings settings = wsi_conn_deflate_settings(conn);

        if (wsi_deflater_new(&extra->deflater, &settings) < 0)
            return NULL;
    }
    return extra != NULL ? extra->deflater : NULL;
}

bool wsi_conn_deflate(struct wsock_conn *conn, const void *data, size_t len,
                      const struct wsi_buf **out)
{
    struct wsi_deflater *deflater = wsi_conn_own_deflater(conn);
    struct wsi_buf *scratch = &conn->worker->deflated;

    *out = scratch;
    return deflater != NULL && wsi_deflater_message(deflater, scratch, data, len) == 0;
}

void wsi_conn_deflated(struct wsock_conn *conn)
{
    trim(&conn->worker->deflated);
}

void wsi_conn_forget_sent(struct wsock_conn *conn)
{
    const struct wsi_extra *extra = wsi_extra_of(conn);

    if (extra != NULL && extra->deflater != NULL)
        wsi_deflater_reset(extra->deflater);
}

/* ---- messages in ---- */

/* @return (nullable) one of the connection's own, made now if need be. */
static struct wsi_inflater *own_inflater(struct wsock_conn *conn)
{
    struct wsi_extra *extra = wsi_conn_extra(conn);

    if (extra != NULL && extra->inflater == NULL)
        wsi_inflater_new(&extra->inflater, conn->pmd.peer_window_bits,
                         conn->pmd.peer_takeover);
    return extra != NULL ? extra->inflater : NULL;
}

static struct wsi_inflater *inflater_for(struct wsock_conn *conn)
{
    struct wsi_worker *worker = conn->worker;

    if (conn->pmd.peer_takeover)
        return own_inflater(conn);
    if (worker->inflater == NULL)
        wsi_inflater_new(&worker->inflater, WSI_PMD_BITS_MAX, false);
    return worker->inflater;
}

struct wsi_inflater *wsi_conn_part_inflater(struct wsock_conn *conn)
{
    return own_inflater(conn);
}

void wsi_conn_part_inflated(struct wsock_conn *conn)
{
    struct wsi_extra *extra = wsi_extra_of(conn);

    if (extra == NULL || conn->pmd.peer_takeover)
        return;
    wsi_inflater_free(extra->inflater);
    extra->inflater = NULL;
}

void wsi_conn_fail_inflate(struct wsock_conn *conn, int error)
{
    wsi_conn_inflated(conn);
    switch (error) {
    case WSOCK_ETOOBIG:
        wsi_conn_fail(conn, 1009, "a message inflates to more than max_message_bytes");
        break;
    case WSOCK_EPROTOCOL:
        wsi_conn_fail(conn, 1007, "a compressed message is no valid DEFLATE data");
        break;
    case WSOCK_EUTF8:
        wsi_conn_fail(conn, 1007, "a text message is not valid UTF-8");
        break;
    default:
        wsi_conn_fail(conn, 1011, "out of memory");
    }
}

int wsi_conn_inflate(struct wsock_conn *conn, struct wsi_event *event)
{
    const int64_t limit = wsi_option(&conn->profile->options, WSI_OPT_MAX_MESSAGE_BYTES);
    struct wsi_inflater *inflater = inflater_for(conn);
    struct wsi_buf *out = &conn->worker->inflated;
    int r = WSOCK_ENOMEM;

    if (inflater != NULL)
        r = wsi_inflater_message(inflater, out, event->data, event->len, (uint64_t)limit);
    if (r == 0 && event->opcode == WSI_OP_TEXT && !wsi_utf8_is_valid(out->data, out->len))
        r = WSOCK_EUTF8;
    if (r < 0) {
        wsi_conn_fail_inflate(conn, r);
        return -1;
    }
    event->data = out->data;
    event->len = out->len;
    return 0;
}

void wsi_conn_inflated(struct wsock_conn *conn)
{
    trim(&conn->worker->inflated);
}
