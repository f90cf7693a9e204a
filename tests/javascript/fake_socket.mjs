// SPDX-License-Identifier: MIT
// A WebSocket whose other end is the test.

export class FakeSocket {
  static made = [];

  constructor(url, protocol) {
    this.url = url;
    this.protocol = protocol;
    this.sent = [];
    this.closedWith = null;
    FakeSocket.made.push(this);
  }

  static get last() {
    return FakeSocket.made.at(-1);
  }

  send(text) {
    if (this.closedWith) throw new Error("the socket is closed");
    this.sent.push(JSON.parse(text));
  }

  close(code, reason) {
    if (code !== 1000 && (code < 3000 || code > 4999)) throw new Error(`no code for close: ${code}`);
    this.closedWith = { code, reason };
  }

  // ---- the other end ----

  open() {
    this.onopen({});
  }

  put(...frames) {
    for (const frame of frames) this.onmessage({ data: JSON.stringify(frame) });
  }

  lose(code = 1006, reason = "") {
    this.onclose({ code, reason });
  }

  /** The frames that were sent since the last time, batches taken apart. */
  take() {
    return this.sent.splice(0).flat();
  }
}

/** Promises that are kept already have told it. */
export async function settle() {
  for (let i = 0; i < 10; i++) await Promise.resolve();
}
