/* SPDX-License-Identifier: MIT */
/*
 * Masking in vectors, written once. A variant's file defines `vec` and its
 * operations (VEC_FN, VEC_BYTES, vec_load, vec_store, vec_xor, vec_repeat) and
 * includes this; it is no header for anybody else, and has no guard for that reason.
 */

VEC_FN void mask_blocks(uint8_t *out, const uint8_t *in, size_t len, uint64_t key)
{
    /* Loaded first: in place, the loops below mask part of it before. */
    const vec tail = vec_load(in + len - VEC_BYTES);
    const vec tail_key = vec_repeat(wsi_simd_turn(key, len));
    const vec keys = vec_repeat(key);
    size_t i = 0;

    for (; len - i > 4 * VEC_BYTES; i += 4 * VEC_BYTES) {
        const vec a = vec_load(in + i), b = vec_load(in + i + VEC_BYTES);
        const vec c = vec_load(in + i + 2 * VEC_BYTES);
        const vec d = vec_load(in + i + 3 * VEC_BYTES);

        vec_store(out + i, vec_xor(a, keys));
        vec_store(out + i + VEC_BYTES, vec_xor(b, keys));
        vec_store(out + i + 2 * VEC_BYTES, vec_xor(c, keys));
        vec_store(out + i + 3 * VEC_BYTES, vec_xor(d, keys));
    }
    for (; len - i > VEC_BYTES; i += VEC_BYTES)
        vec_store(out + i, vec_xor(vec_load(in + i), keys));
    vec_store(out + len - VEC_BYTES, vec_xor(tail, tail_key));
}
