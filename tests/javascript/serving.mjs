// SPDX-License-Identifier: MIT
// `wsock serve` as a process, a relay before it that can fail, and waiting for events.

import { spawn } from "node:child_process";
import { once } from "node:events";
import net from "node:net";
import { createInterface } from "node:readline";

/** Start it. @returns its `url`, and kill(signal), which waits for the end. */
export async function serve(url = "ws://127.0.0.1:0", ...args) {
  const process_ = spawn(process.env.WSOCK, ["serve", url, ...args],
    { stdio: ["ignore", "pipe", "inherit"] });
  const [line] = await once(createInterface(process_.stdout), "line");
  const [, address] = line.match(/^listening on (ws:\S+?)(?:,|$)/);
  const ended = once(process_, "exit");
  return {
    url: address,
    async kill(signal) {
      process_.kill(signal);
      return (await ended)[0];
    },
  };
}

/** The next event that is wanted: a promise of its arguments. */
export function next(emitter, event, wanted = () => true) {
  return new Promise((resolve) => {
    const off = emitter.on(event, (...args) => {
      if (!wanted(...args)) return;
      off();
      resolve(args);
    });
  });
}

/** A way to a server: it can be cut, or fall silent without an end, as after sleep. */
export class Relay {
  #pairs = new Set();
  #open = true;

  static async before({ url }) {
    const relay = new Relay();
    relay.server = net.createServer((near) => relay.#lead(near, new URL(url)));
    relay.server.listen(0, "127.0.0.1");
    await once(relay.server, "listening");
    relay.url = `ws://127.0.0.1:${relay.server.address().port}`;
    return relay;
  }

  #lead(near, { hostname, port }) {
    near.on("error", () => {});
    if (!this.#open) {
      near.resetAndDestroy();
      return;
    }
    const far = net.connect({ host: hostname, port });
    const pair = [near, far];
    this.#pairs.add(pair);
    far.on("error", () => near.destroy());
    near.on("close", () => {
      this.#pairs.delete(pair);
      far.destroy();
    });
    near.pipe(far);
    far.pipe(near);
  }

  /** End all connections without a close frame; there are no others until open(). */
  cut() {
    this.#open = false;
    for (const [near] of this.#pairs) near.resetAndDestroy();
  }

  open() {
    this.#open = true;
  }

  /** Of the connections that are there nothing comes through any more, either way. */
  silence() {
    this.stall();
    for (const [near, far] of this.#pairs) near.unpipe(far).pause();
  }

  /** Nothing comes through, until flow(). */
  stall() {
    for (const [near, far] of this.#pairs) far.unpipe(near).pause();
  }

  flow() {
    for (const [near, far] of this.#pairs) far.pipe(near);
  }

  close() {
    this.cut();
    this.server.close();
  }
}
