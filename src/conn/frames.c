/* SPDX-License-Identifier: MIT */
/* The forms of a message. */
#include "conn/frames.h"

#include "conn/compress.h"
#include "conn/encode.h"

void wsi_takers_count(struct wsi_takers *takers, const struct wsock_conn *conn,
                      bool joins)
{
    const unsigned bits = conn->pmd.own_window_bits;
    const unsigned way = bits != 0 ? 1 + bits - WSI_PMD_BITS_MIN : 0;
    const unsigned bit = 1u << (conn->form * (1 + WSI_WINDOWS) + way);
    const unsigned others = wsi_takers_set(takers) & ~bit;
    uint32_t *count = &takers->count[conn->form][way];

    *count = joins ? *count + 1 : *count - 1;
    atomic_store_explicit(&takers->set, *count > 0 ? others | bit : others,
                          memory_order_relaxed);
}

static struct wsi_blob *get(const struct wsi_frames *frames, unsigned window)
{
    return atomic_load_explicit(&frames->packed[window], memory_order_acquire);
}

/* @param form (consumed) Two threads may have made the same one. */
static void set(struct wsi_frames *frames, unsigned window, struct wsi_blob *form)
{
    struct wsi_blob *expected = NULL;

    if (!atomic_compare_exchange_strong(&frames->packed[window], &expected, form))
        wsi_blob_unref(form);
}

/* A message that a window holds has no distance beyond it, whatever window its form was
 * made with: one form serves all such windows. */
static bool holds(unsigned window, size_t len)
{
    return len <= (size_t)1 << (window + WSI_PMD_BITS_MIN);
}

/* @return (borrowed from frames, nullable) a form that serves all windows that hold the
 * message. */
static struct wsi_blob *form_for_all_that_hold(const struct wsi_frames *frames,
                                               size_t len)
{
    for (unsigned window = 0; window < WSI_WINDOWS; window++)
        if (holds(window, len) && get(frames, window) != NULL)
            return get(frames, window);
    return NULL;
}

/* See to a form for this window: compress if none that is there serves. */
static void provide(struct wsi_frames *frames, struct wsi_pool *pool,
                    const struct wsi_options *options, unsigned window)
{
    const struct wsi_payload payload = wsi_encoded_payload(frames->plain);
    struct wsi_blob *form = NULL;

    if (get(frames, window) != NULL)
        return;
    if (holds(window, payload.len))
        form = form_for_all_that_hold(frames, payload.len);
    if (form != NULL)
        form = wsi_blob_ref(form);
    else
        form = wsi_compress_frame(pool, options, window + WSI_PMD_BITS_MIN,
                                  frames->plain->data[0] & 0x0f, payload.data,
                                  payload.len);
    set(frames, window, form != NULL ? form : wsi_blob_ref(frames->plain));
}

/* Peers choose their windows, so these must not decide how often we compress: what was
 * made with the smallest window is valid in every larger one (RFC 7692, 7.1.2.1). */
void wsi_frames_pack(struct wsi_frames *frames, struct wsi_pool *pool,
                     const struct wsi_options *options, unsigned windows)
{
    const size_t len = wsi_encoded_payload(frames->plain).len;
    unsigned smallest = 0, largest = WSI_WINDOWS - 1;

    if (windows == 0 || (int64_t)len < wsi_option(options, WSI_OPT_COMPRESSION_MIN_BYTES))
        return;
    while ((windows >> smallest & 1) == 0)
        smallest++;
    while ((windows >> largest & 1) == 0)
        largest--;
    provide(frames, pool, options, largest);
    provide(frames, pool, options, smallest);
    for (unsigned window = smallest + 1; window < largest; window++)
        if ((windows >> window & 1) != 0 && get(frames, window) == NULL)
            set(frames, window,
                wsi_blob_ref(get(frames, holds(window, len) ? largest : smallest)));
}

/* Whether `plain` or an earlier window has that form too. */
static bool is_repeated(const struct wsi_frames *frames, unsigned window)
{
    const struct wsi_blob *form = get(frames, window);
    unsigned earlier = 0;

    if (form == frames->plain)
        return true;
    while (get(frames, earlier) != form)
        earlier++;
    return earlier < window;
}

size_t wsi_frames_bytes(const struct wsi_frames *frames)
{
    size_t bytes = frames->plain->len;

    for (unsigned window = 0; window < WSI_WINDOWS; window++)
        if (get(frames, window) != NULL && !is_repeated(frames, window))
            bytes += get(frames, window)->len;
    return bytes;
}

void wsi_frames_share(struct wsi_frames *frames, const struct wsi_frames *from)
{
    frames->plain = wsi_blob_ref(from->plain);
    for (unsigned window = 0; window < WSI_WINDOWS; window++) {
        struct wsi_blob *form = get(from, window);

        if (form != NULL)
            set(frames, window, wsi_blob_ref(form));
    }
}

void wsi_frames_drop_packed(struct wsi_frames *frames)
{
    for (unsigned window = 0; window < WSI_WINDOWS; window++)
        wsi_blob_unref(get(frames, window));
}
