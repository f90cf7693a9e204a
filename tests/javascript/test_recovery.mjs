// SPDX-License-Identifier: MIT
// The client with `wsock serve --history`: connections that are cut or fall silent, and servers
// that are killed. Nothing comes twice or out of order, and what is lost is told.

import assert from "node:assert/strict";
import test from "node:test";

import { connect } from "../../javascript/wsock.js";
import { next, Relay, serve } from "./serving.mjs";

const LIMIT = { timeout: 20000 };
const SOON = { first: 50, most: 100 };

// Bob speaks to the server; Ann, who is in the room with recover, hears him through a relay.
async function meet(t, ...args) {
  const server = await serve(undefined, "--history", "1000", ...args);
  const relay = await Relay.before(server);
  const ann = connect(`${relay.url}/rooms`, { name: "Ann", backoff: SOON });
  const bob = connect(`${server.url}/rooms`, { name: "Bob", backoff: SOON });
  const met = { server, relay, ann, bob };
  t.after(() => {
    ann.close();
    bob.close();
    relay.close();
    return met.server.kill("SIGTERM");
  });
  met.theirs = await bob.room("lobby").ready();
  met.room = ann.room("lobby", { recover: true });
  met.heard = [];
  met.told = [];
  met.room.on("message", (data) => met.heard.push(data));
  met.room.on("joined", ({ recovered }) => met.told.push(recovered));
  met.room.on("gap", () => met.told.push("gap"));
  await met.room.ready();
  return met;
}

async function say(room, from, to) {
  for (let i = from; i < to; i++) await room.publish(i);
}

const upTo = (n) => Array.from({ length: n }, (_, i) => i);
const isLast = (last) => (data) => data === last;

test("a connection that is cut: exactly what was missed comes, in order", LIMIT, async (t) => {
  const { relay, ann, theirs, room, heard, told } = await meet(t);
  const first = next(room, "message", isLast(9));
  await say(theirs, 0, 10);
  await first;
  const down = next(ann, "state", ({ state }) => state === "waiting");
  relay.cut();
  await down;
  await say(theirs, 10, 200);
  const last = next(room, "message", isLast(249));
  relay.open();
  await say(theirs, 200, 250); // some of them while it comes back
  await last;
  assert.deepEqual(heard, upTo(250));
  assert.deepEqual(told, [false, true]);
});

test("cut again and again while others speak: no gap, nothing twice", LIMIT, async (t) => {
  const { relay, ann, theirs, room, heard, told } = await meet(t);
  const last = next(room, "message", isLast(1499));
  const speaking = say(theirs, 0, 1500);
  for (let i = 0; i < 8; i++) {
    const down = next(ann, "state", ({ state }) => state === "waiting");
    const back = next(room, "joined");
    relay.cut();
    await down;
    relay.open();
    await back;
  }
  await speaking;
  await last;
  assert.deepEqual(heard, upTo(1500));
  assert.deepEqual(told, [false, ...Array(8).fill(true)]);
});

test("what a slow member was left out of is fetched", LIMIT, async (t) => {
  const { relay, theirs, room, heard, told } = await meet(t, "--set", "max_backlog_bytes=64KiB",
    "--set", "compression=off");
  const long = "x".repeat(60000); // 300 of them are more than the system's buffers take
  let n = 0;
  relay.stall();
  while (n < 300) await theirs.publish(`${n++} ${long}`);
  const last = next(room, "message", (data) => parseInt(data, 10) === n - 1);
  relay.flow(); // and nothing more is said
  await last;
  assert.deepEqual(heard.map((data) => parseInt(data, 10)), upTo(n));
  assert.deepEqual([told[0], ...new Set(told.slice(1))], [false, true]);
});

test("what is no longer kept is a gap, once, and then it goes on", LIMIT, async (t) => {
  const { relay, ann, theirs, room, heard, told } = await meet(t, "--set", "history_messages=5");
  const third = next(room, "message", isLast(2));
  await say(theirs, 0, 3);
  await third;
  const down = next(ann, "state", ({ state }) => state === "waiting");
  relay.cut();
  await down;
  await say(theirs, 3, 20);
  const back = next(room, "gap");
  relay.open();
  await back;
  const last = next(room, "message", isLast(20));
  await say(theirs, 20, 21);
  await last;
  assert.deepEqual(heard, [0, 1, 2, 20]);
  assert.deepEqual(told, [false, false, "gap"]);
  assert.deepEqual((await room.history()).map(({ data }) => data), [16, 17, 18, 19, 20]);
});

test("a server that is killed and started again has another epoch, which is told", LIMIT, async (t) => {
  const met = await meet(t);
  const { ann, bob, theirs, room, heard, told } = met;
  const first = next(room, "message", isLast(4));
  await say(theirs, 0, 5);
  await first;
  const before = room.position;
  const downs = [ann, bob].map((one) => next(one, "state", ({ state }) => state === "waiting"));
  const backs = [next(room, "gap"), next(theirs, "joined")];
  await met.server.kill("SIGKILL");
  await Promise.all(downs);
  met.server = await serve(met.server.url, "--history", "1000");
  await Promise.all(backs);
  assert.notEqual(room.position.epoch, before.epoch);
  const last = next(room, "message", isLast(9));
  await say(theirs, 5, 10);
  await last;
  assert.deepEqual(heard, upTo(10));
  assert.deepEqual(told, [false, false, "gap"]);
});

test("silence without an end, as after sleep: it comes back after 1.5 heartbeats", LIMIT, async (t) => {
  const { relay, ann, theirs, room, heard, told } = await meet(t, "--heartbeat", "0.4");
  const first = next(room, "message", isLast(0));
  await say(theirs, 0, 1);
  await first;
  const changes = [];
  ann.on("state", (change) => changes.push({ ...change, at: Date.now() }));
  const back = next(room, "joined");
  const last = next(room, "message", isLast(59));
  const since = Date.now();
  relay.silence();
  await say(theirs, 1, 50);
  await back;
  await say(theirs, 50, 60);
  await last;
  assert.deepEqual(heard, upTo(60));
  assert.deepEqual(told, [false, true]);
  const [lost] = changes;
  assert.deepEqual([lost.state, lost.delay, lost.code], ["waiting", 0, 1006]);
  // The last frame may have been a heartbeat's age old, and the machine may be busy.
  assert.ok(lost.at - since >= 150 && lost.at - since < 5000, `after ${lost.at - since} ms`);
});
