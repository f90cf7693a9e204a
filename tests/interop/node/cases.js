// SPDX-License-Identifier: MIT
// What every client of tests/interop/ sends; the other languages hold the same list.

// Bytes that do not compress, the same in all languages.
function noise(size) {
  let state = 1;
  return Buffer.from(Array.from({ length: size }, () => {
    state = (Math.imul(state, 1103515245) + 12345) >>> 0;
    return state >>> 24;
  }));
}

const block = (size) => Buffer.from(Array.from({ length: size }, (_, i) => (i * 7 + 255) % 256));

const letters = String.fromCharCode(...noise(48).map((byte) => 48 + byte % 64));

export const texts = ['', 'a', 'Hello', 'κόσμε ☃ 😀 übung', '€'.repeat(1000),
  'wsock '.repeat(171)];
export const binaries = [...[0, 1, 125, 126, 65535, 65536, 300000].map(block), noise(65536),
  Buffer.concat(Array(6).fill(noise(10000)))];
// Sent without waiting in between. They differ in their number only, which is what a context
// is for; their letters do not compress by themselves.
export const row = Array.from({ length: 8 }, (_, i) => `row ${i} ${letters}`);
export const fragments = ['frag', 'mént', 'éd ☃'];
export const closes = [[1000, 'bye'], [4001, 'see you ☃']];
