// SPDX-License-Identifier: MIT
// The client in the conversations of tests/rooms_v1/vectors.json, with their server's part and the
// time played by the test.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import test, { mock } from "node:test";

import { connect } from "../../javascript/wsock.js";
import { FakeSocket, settle } from "./fake_socket.mjs";

const TIMEOUT_MS = 20000; // of a conversation

const { values, conversations } = JSON.parse(
  readFileSync(new URL("../rooms_v1/vectors.json", import.meta.url)));

function filledIn(pattern) {
  if (typeof pattern === "string" && pattern.startsWith("$"))
    return values[pattern] ?? (pattern.startsWith("$text") ? "some text" : 1790000000001);
  if (Array.isArray(pattern)) return pattern.map(filledIn);
  if (pattern === null || typeof pattern !== "object") return pattern;
  return Object.fromEntries(Object.entries(pattern).map(([name, value]) => [name, filledIn(value)]));
}

// Bytes in the vectors are {"bytes": [...]}.
function toData(value) {
  return value?.bytes ? Uint8Array.from(value.bytes) : value;
}

function fromData(value) {
  return value instanceof Uint8Array ? { bytes: [...value] } : value;
}

class Player {
  constructor() {
    this.heard = [];
    this.sent = [];
    this.rooms = new Map();
  }

  note(who, event) {
    return (what) => this.heard.push([who, event, fromData(what)]);
  }

  noteError(who, event) {
    return ({ code }) => this.heard.push([who, event, code]);
  }

  connect({ tokens, ...options }) {
    if (tokens) options.token = async () => tokens.shift();
    this.client = connect("ws://host.invalid/rooms", { ...options, WebSocket: FakeSocket });
    for (const event of ["state", "direct", "away"])
      this.client.on(event, this.note("client", event));
    this.client.on("error", this.noteError("client", "error"));
    this.client.on("state", ({ delay }) => {
      this.delay = delay;
    });
    return this.opens();
  }

  async opens() {
    await settle();
    FakeSocket.last.open();
  }

  /** The client's clock. */
  async pass(ms) {
    mock.timers.tick(ms);
    await settle();
  }

  /** It waits as long as it says, and connects. */
  async again() {
    const before = FakeSocket.made.length;
    await this.pass(this.delay + 1); // which is no whole number
    assert.equal(FakeSocket.made.length, before + 1, "it does not connect again");
    await this.opens();
  }

  room(name, options) {
    const room = this.client.room(name, options);
    for (const event of ["joined", "presence", "message", "event:typing", "left"])
      room.on(event, this.note(name, event));
    room.on("gap", () => this.heard.push([name, "gap"]));
    room.on("refused", this.noteError(name, "refused"));
    this.rooms.set(name, room);
  }

  noteAnswer(promise) {
    promise.then((answer) => this.heard.push(["answer", answer]),
      (error) => this.heard.push(["error", error.code]));
  }

  publish(name, data, options) {
    this.noteAnswer(this.rooms.get(name).publish(toData(data), options));
  }

  history(name, options) {
    this.noteAnswer(this.rooms.get(name).history(options)
      .then((messages) => messages.map(({ data }) => data)));
  }

  direct(identity, data, options) {
    this.noteAnswer(this.client.direct(identity, data, options));
  }

  call(name, args) {
    this.noteAnswer(this.client.call(name, args));
  }

  leave(name) {
    this.rooms.get(name).leave();
  }

  async hears(expected) {
    await settle();
    if (expected.length === 0) {
      assert.deepEqual(this.heard, []);
      return;
    }
    const at = this.heard.findIndex((heard) => isHeard(heard, expected));
    assert.notEqual(at, -1, `${JSON.stringify(expected)} is not in ${JSON.stringify(this.heard)}`);
    this.heard.splice(0, at + 1);
  }
}

// Of a state what the vector names is compared.
function isHeard(heard, expected) {
  const wanted = structuredClone(expected);
  const told = structuredClone(heard);
  if (wanted[1] === "state" && told[1] === "state")
    for (const name of Object.keys(told[2])) if (!(name in wanted[2])) delete told[2][name];
  try {
    assert.deepEqual(told, wanted);
    return true;
  } catch {
    return false;
  }
}

// What each kind of step is to a client. Others are of servers only.
const kinds = {
  do: (player, [what, ...args]) => player[what](...args),
  async client(player, frame) {
    player.sent.push(...FakeSocket.last.take());
    assert.deepEqual(player.sent.shift(), frame);
  },
  server: (_, frame) => FakeSocket.last.put(frame),
  server_in_any_order: (_, frames) => FakeSocket.last.put(...frames),
  later: (_, frame) => FakeSocket.last.put(frame),
  closed: (_, code) => FakeSocket.last.lose(code),
  lost: () => FakeSocket.last.lose(),
  again: (player) => player.again(),
  hears: (player, expected) => player.hears(expected),
};

async function play(steps) {
  const player = new Player();
  try {
    for (const step of steps) {
      const [kind] = Object.keys(step);
      await settle();
      if (kind in kinds) await kinds[kind](player, filledIn(step[kind]));
    }
    await settle();
    assert.deepEqual([...player.sent, ...FakeSocket.last.take()], [], "it says more");
  } finally {
    player.client?.close();
  }
}

// Those in which a client breaks rules are for servers only.
for (const { name, steps } of conversations.filter((c) => c.steps.some((step) => step.do))) {
  test(name, { timeout: TIMEOUT_MS }, async () => {
    mock.timers.enable({ apis: ["setTimeout", "Date"] });
    try {
      await play(steps);
    } finally {
      mock.timers.reset();
    }
  });
}
