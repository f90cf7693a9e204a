// SPDX-License-Identifier: MIT
// The client in the conversations of tests/rooms_v1/vectors.json, with their server's part played
// by the test.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import test from "node:test";

import { connect } from "../../javascript/wsock.js";
import { FakeSocket, settle } from "./fake_socket.mjs";

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
    this.rooms = new Map();
  }

  note(who, event) {
    return (what) => this.heard.push([who, event, fromData(what)]);
  }

  connect(options) {
    this.client = connect("ws://host.invalid/rooms", { ...options, WebSocket: FakeSocket });
    for (const event of ["state", "direct"]) this.client.on(event, this.note("client", event));
    return settle().then(() => FakeSocket.last.open());
  }

  room(name, options) {
    const room = this.client.room(name, options);
    for (const event of ["joined", "presence", "message", "event:typing", "gap", "left", "refused"])
      room.on(event, this.note(name, event));
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

  direct(identity, data) {
    this.noteAnswer(this.client.direct(identity, data));
  }

  call(name, args) {
    this.noteAnswer(this.client.call(name, args));
  }

  leave(name) {
    this.rooms.get(name).leave();
  }

  async hears(expected) {
    await settle();
    const at = this.heard.findIndex((heard) => {
      try {
        assert.deepEqual(heard.slice(0, -1), expected.slice(0, -1));
        if (expected[1] === "state") assert.equal(heard.at(-1).state, expected.at(-1).state);
        else assert.deepEqual(heard.at(-1), expected.at(-1));
        return true;
      } catch {
        return false;
      }
    });
    assert.notEqual(at, -1, `${JSON.stringify(expected)} is not in ${JSON.stringify(this.heard)}`);
    this.heard.splice(0, at + 1);
  }
}

async function play(steps) {
  const player = new Player();
  const sent = [];
  for (const step of steps) {
    await settle();
    if (step.as) continue;
    if (step.do) {
      await player[step.do[0]](...step.do.slice(1));
    } else if (step.client) {
      sent.push(...FakeSocket.last.take());
      assert.deepEqual(sent.shift(), step.client);
    } else if (step.server) {
      FakeSocket.last.put(filledIn(step.server));
    } else if (step.server_in_any_order) {
      FakeSocket.last.put(...filledIn(step.server_in_any_order));
    } else {
      await player.hears(filledIn(step.hears));
    }
  }
  player.client.close();
}

for (const { name, steps } of conversations) {
  // Those in which a client breaks rules are for servers only.
  if (steps.some((step) => step.do)) test(name, () => play(steps));
}
