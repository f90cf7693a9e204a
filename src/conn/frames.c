/* SPDX-License-Identifier: MIT */
/* The forms of a message. */
#include "conn/frames.h"

#include "conn/compress.h"
#include "conn/encode.h"

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

void wsi_frames_pack(struct wsi_frames *frames, struct wsi_pool *pool,
                     const struct wsi_options *options, unsigned windows)
{
    const struct wsi_payload payload = wsi_encoded_payload(frames->plain);
    struct wsi_blob *fits_all = NULL; /* of a window that holds the whole message */

    if (windows == 0 ||
        (int64_t)payload.len < wsi_option(options, WSI_OPT_COMPRESSION_MIN_BYTES))
        return;
    for (unsigned window = 0; window < WSI_WINDOWS; window++) {
        const unsigned bits = window + WSI_PMD_BITS_MIN;
        struct wsi_blob *form = get(frames, window);

        if ((windows >> window & 1) == 0 && form == NULL)
            continue;
        if (form == NULL && fits_all == NULL) {
            form = wsi_compress_frame(pool, options, bits, frames->plain->data[0] & 0x0f,
                                      payload.data, payload.len);
            set(frames, window, form != NULL ? form : wsi_blob_ref(frames->plain));
        } else if (form == NULL) {
            set(frames, window, wsi_blob_ref(fits_all));
        }
        if (payload.len <= (size_t)1 << bits)
            fits_all = get(frames, window);
    }
}

void wsi_frames_share(struct wsi_frames *frames, const struct wsi_frames *from)
{
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
