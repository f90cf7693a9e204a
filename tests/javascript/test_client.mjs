// SPDX-License-Identifier: MIT
// What the client does when connections, servers and tokens fail, with a clock of the test's.

import assert from "node:assert/strict";
import test, { afterEach, beforeEach, mock } from "node:test";

import { connect, RoomsError } from "../../javascript/wsock.js";
import { FakeSocket, settle } from "./fake_socket.mjs";

let client;
let states;

beforeEach(() => {
  mock.timers.enable({ apis: ["setTimeout", "Date"] });
  FakeSocket.made.length = 0;
});

afterEach(() => {
  client?.close();
  client = undefined;
  mock.restoreAll();
  mock.timers.reset();
});

async function pass(ms) {
  await settle();
  mock.timers.tick(ms);
  await settle();
}

function begin(options = {}) {
  client = connect("ws://host.invalid/rooms", { WebSocket: FakeSocket, ...options });
  states = [];
  client.on("state", (change) => states.push(change));
  return client;
}

async function welcome(fields = {}) {
  await settle();
  const socket = FakeSocket.last;
  socket.open();
  const [hello] = socket.take();
  assert.equal(hello.type, "hello");
  socket.put({ re: hello.id, ok: { type: "welcome", v: 1, identity: "Ann", heartbeat_ms: 25000, ...fields } });
  await settle();
  return socket;
}

async function opened(options, fields) {
  begin(options);
  return welcome(fields);
}

// A room that is joined; `joined` are fields of the answer.
async function entered(socket, options, joined = {}) {
  const room = client.room("lobby", options);
  const [join] = socket.take();
  socket.put({ re: join.id, ok: { type: "joined", room: "lobby", count: 1, recovered: false, members: ["Ann"], ...joined } });
  await settle();
  return room;
}

const at = (offset, epoch = "e1") => ({ epoch, offset });
const msg = (offset, prev = offset - 1, epoch = "e1") => (
  { type: "msg", room: "lobby", event: "message", data: offset, from: "Bob", time: 1, epoch, offset, prev });

function hear(room, event) {
  const heard = [];
  room.on(event, (what) => heard.push(what));
  return heard;
}

test("waits longer after each loss, at random, and at most so long", async () => {
  mock.method(Math, "random", () => 0.5);
  begin({ backoff: { first: 1000, most: 5000 } });
  const delays = [];
  for (let i = 0; i < 5; i++) {
    await settle();
    FakeSocket.last.lose();
    delays.push(states.at(-1).delay);
    assert.equal(client.state, "waiting");
    await pass(delays.at(-1));
    assert.equal(client.state, "connecting");
  }
  assert.deepEqual(delays, [500, 1000, 2000, 2500, 2500]);
});

test("begins anew only after it was open for a while", async () => {
  mock.method(Math, "random", () => 0.5);
  await opened();
  FakeSocket.last.lose();
  await pass(states.at(-1).delay);
  await welcome();
  FakeSocket.last.lose();
  assert.equal(states.at(-1).delay, 500);
  await pass(500);
  await welcome();
  await pass(10000);
  FakeSocket.last.lose();
  assert.equal(states.at(-1).delay, 250);
});

for (const [code, back] of [[1000, true], [1001, true], [1006, true], [1011, true], [1013, true],
  [4408, true], [4429, true], [1002, false], [1008, false], [1009, false], [4400, false],
  [4403, false], [4410, false], [4477, false], [4401, false]]) {
  test(`${back ? "comes back" : "stays away"} after ${code}`, async () => {
    await opened({ token: "same" });
    FakeSocket.last.lose(code, "so it is");
    assert.equal(client.state, back ? "waiting" : "closed");
    assert.equal(states.at(-1).code, code);
    assert.equal(states.at(-1).reason, "so it is");
  });
}

test("comes back with another token, and not for ever", async () => {
  let given = 0;
  begin({ token: async () => `token ${++given}` });
  await settle();
  FakeSocket.last.open();
  assert.equal(FakeSocket.last.take()[0].token, "token 1");
  FakeSocket.last.lose(4401);
  await pass(30000);
  FakeSocket.last.open();
  assert.equal(FakeSocket.last.take()[0].token, "token 2");
  FakeSocket.last.lose(4401);
  assert.equal(client.state, "closed");
});

test("a hello that is refused for its token comes back with another one", async () => {
  let given = 0;
  begin({ token: async () => `token ${++given}` });
  await settle();
  FakeSocket.last.open();
  const [{ id }] = FakeSocket.last.take();
  FakeSocket.last.put({ re: id, err: { code: "unauthorized", text: "who are you?", retry: false } });
  await settle();
  assert.equal(client.state, "waiting");
  assert.equal(states.at(-1).code, 4401);
  await pass(30000);
  FakeSocket.last.open();
  assert.equal(FakeSocket.last.take()[0].token, "token 2");
});

test("a token that cannot be had is told and tried again", async () => {
  let fails = true;
  const errors = [];
  begin({ token: () => {
    if (fails) throw new Error("no net");
    return "t";
  } });
  client.on("error", (error) => errors.push(error));
  await settle();
  assert.equal(client.state, "waiting");
  assert.equal(errors[0].message, "no token: no net");
  fails = false;
  await pass(30000);
  await welcome();
  assert.equal(client.state, "open");
});

test("gets another token before the old one is over", async () => {
  let given = 0;
  const socket = await opened({ token: () => `t${++given}` }, { expires_ms: 10000, heartbeat_ms: 1e6 });
  await pass(7999);
  assert.deepEqual(socket.take(), []);
  await pass(1);
  const [refresh] = socket.take();
  assert.deepEqual([refresh.type, refresh.token], ["refresh", "t2"]);
  socket.put({ re: refresh.id, ok: { expires_ms: 1000 } });
  await pass(800);
  assert.equal(socket.take()[0].token, "t3");
});

test("silence for one and a half heartbeats is a loss, and it comes back at once", async () => {
  const socket = await opened();
  await pass(37000);
  socket.put({ type: "hb" });
  await pass(37000);
  assert.equal(client.state, "open");
  await pass(500);
  assert.deepEqual(states.slice(-2).map(({ state, delay }) => [state, delay]),
    [["waiting", 0], ["connecting", 0]]);
});

test("what came while the machine slept is heard before it counts as silence", async () => {
  const socket = await opened();
  await settle();
  mock.timers.setTime(Date.now() + 3600000); // every timer is late now
  await pass(1);
  assert.equal(client.state, "open");
  socket.put({ type: "hb" });
  await pass(1000);
  assert.equal(client.state, "open");
  await pass(37500);
  assert.notEqual(client.state, "open");
});

test("sleep from which nothing comes is a loss soon after", async () => {
  await opened();
  await settle();
  mock.timers.setTime(Date.now() + 3600000);
  await pass(1);
  assert.equal(client.state, "open");
  await pass(1000);
  assert.notEqual(client.state, "open");
});

test("silence counts also where the clock was set back", async () => {
  await opened();
  const real = Date.now;
  mock.method(Date, "now", () => real.call(Date) - 3600000);
  await pass(37500);
  assert.equal(client.state, "open");
  await pass(37500);
  assert.notEqual(client.state, "open");
});

test("a server that does not answer is given up in time", async () => {
  begin({ timeout: 3000 });
  await settle();
  FakeSocket.last.open();
  await pass(3000);
  assert.equal(client.state, "waiting");
  assert.deepEqual(FakeSocket.made[0].closedWith.code, 1000);
});

test("an error that no close follows is a loss, once", async () => {
  begin();
  await settle();
  const [socket] = FakeSocket.made;
  socket.onerror({});
  await pass(100);
  assert.equal(client.state, "waiting");
  socket.lose();
  assert.equal(states.filter(({ state }) => state === "waiting").length, 1);
});

test("a hello that is refused ends it, unless it may be tried again", async () => {
  begin();
  await settle();
  FakeSocket.last.open();
  FakeSocket.last.put({ re: 1, err: { code: "busy", text: "later", retry: true } });
  await settle();
  assert.equal(client.state, "waiting");
  await pass(30000);
  FakeSocket.last.open();
  FakeSocket.last.put({ re: 2, err: { code: "bad_name", text: "no name", retry: false } });
  await settle();
  assert.equal(client.state, "closed");
  assert.equal(states.at(-1).reason, "no name");
});

test("requests fail with a reason: down, lost, timeout, closed", async () => {
  begin();
  await assert.rejects(client.call("f"), { code: "down" });
  const socket = await welcome();
  const lost = client.call("f");
  socket.lose();
  await assert.rejects(lost, { code: "lost" });
  await pass(30000);
  await welcome({ heartbeat_ms: 1e6 });
  const late = assert.rejects(client.call("f"), { code: "timeout" });
  await pass(10000);
  await late;
  const last = client.call("f");
  client.close();
  await assert.rejects(last, { code: "closed" });
  await assert.rejects(client.call("f"), (error) => error instanceof RoomsError && error.code === "closed");
});

test("who waits to be in a room hears of the end", async () => {
  begin();
  const ready = client.room("lobby").ready();
  const room = client.room("lobby");
  client.close();
  await assert.rejects(ready, { code: "closed" });
  await assert.rejects(room.ready(), { code: "closed" });
  assert.throws(() => client.room("other"), { code: "closed" });
});

test("publishes wait only where the program said how many", async () => {
  begin({ queue: 2 });
  const room = client.room("lobby");
  await settle();
  FakeSocket.last.lose();
  const first = room.publish(1);
  const second = room.publish(2);
  await assert.rejects(room.publish(3), { code: "down" });
  await pass(states.at(-1).delay);
  const socket = await welcome();
  const frames = socket.take();
  assert.deepEqual(frames.map((f) => [f.type, f.data]), [["join", undefined], ["pub", 1], ["pub", 2]]);
  socket.put(...frames.map((f) => ({ re: f.id, ok: f.type === "join" ? { count: 1, members: [] } : true })));
  assert.deepEqual(await Promise.all([first, second]), [true, true]);
});

test("what is published right after connect() waits for the first connection, and not for more", async () => {
  begin();
  const room = client.room("lobby");
  const said = Array.from({ length: 64 }, (_, i) => room.publish(i));
  await assert.rejects(room.publish(64), { code: "down" });
  const socket = await welcome();
  const [join, ...pubs] = socket.take();
  assert.equal(join.type, "join");
  assert.deepEqual(pubs.map(({ data }) => data), Array.from({ length: 64 }, (_, i) => i));
  socket.put(...pubs.map(({ id }) => ({ re: id, ok: true })));
  assert.deepEqual(new Set(await Promise.all(said)), new Set([true]));
  socket.lose();
  await assert.rejects(room.publish("down"), { code: "down" });
  client.close();
  begin({ queue: 1 });
  const kept = client.room("lobby").publish("kept");
  const refused = client.room("lobby").publish("refused");
  await settle();
  FakeSocket.last.lose();
  await assert.rejects(refused, { code: "down" });
  await pass(states.at(-1).delay);
  const again = await welcome();
  const [, pub] = again.take();
  again.put({ re: pub.id, ok: true });
  assert.equal(await kept, true);
});

// A page as far as the client looks at it.
function makePage(t) {
  const listeners = new Map();
  const add = (event, listener) => listeners.set(event, listener);
  const remove = (event, listener) => {
    assert.equal(listeners.get(event), listener);
    listeners.delete(event);
  };
  const page = { listeners, visibilityState: "visible", addEventListener: add, removeEventListener: remove };
  const before = ["addEventListener", "removeEventListener", "document"].map((name) =>
    [name, Object.getOwnPropertyDescriptor(globalThis, name)]);
  Object.assign(globalThis, { addEventListener: add, removeEventListener: remove, document: page });
  t.after(() => {
    for (const [name, was] of before) {
      delete globalThis[name];
      if (was) Object.defineProperty(globalThis, name, was);
    }
  });
  return page;
}

for (const event of ["online", "visibilitychange", "pageshow", "resume"]) {
  test(`comes back at once on ${event}, where the page is looked at`, async (t) => {
    const page = makePage(t);
    mock.method(Math, "random", () => 0.5);
    await opened();
    const before = FakeSocket.made.length;
    FakeSocket.last.lose();
    page.visibilityState = "hidden";
    page.listeners.get(event)();
    await settle();
    assert.equal(client.state, "waiting");
    page.visibilityState = "visible";
    page.listeners.get(event)();
    await settle();
    assert.equal(client.state, "connecting");
    assert.equal(FakeSocket.made.length, before + 1);
    await welcome();
    page.listeners.get(event)();
    await pass(1000);
    assert.equal(client.state, "open"); // one that is heard of is left alone
    client.close();
    assert.equal(page.listeners.size, 0);
  });
}

test("what cannot be JSON is refused where it was given", async () => {
  const socket = await opened({ queue: 5 });
  const room = await entered(socket);
  const loop = {};
  loop.loop = loop;
  await assert.rejects(room.publish(loop), TypeError);
  await assert.rejects(room.publish(undefined), /undefined is no JSON/);
  assert.throws(() => client.room("other", { info: loop }), TypeError);
  assert.deepEqual(socket.take(), []);
  client.room("other");
  assert.equal(socket.take()[0].room, "other");
  assert.deepEqual(socket.take(), []);
});

test("rooms are joined again, in batches of at most 64", async () => {
  const socket = await opened();
  for (let i = 0; i < 70; i++) client.room(`room.${i}`);
  const ids = socket.take().map((f) => f.id);
  assert.equal(ids.length, 70);
  ids.forEach((re) => socket.put({ re, ok: { count: 1, members: [], recovered: false } }));
  await settle();
  socket.lose();
  await pass(30000);
  const again = await welcome();
  assert.deepEqual(again.sent.map((batch) => batch.length), [64, 6]);
});

test("with recover it asks for what it missed and hears each message once", async () => {
  const socket = await opened();
  const room = await entered(socket, { recover: true }, { position: at(4) });
  const heard = hear(room, "message");
  const gaps = hear(room, "gap");
  socket.put(msg(5), msg(6), msg(6), msg(5));
  socket.lose();
  await pass(30000);
  const again = await welcome();
  const [join] = again.take();
  assert.deepEqual(join.since, at(6));
  again.put({ re: join.id, ok: { recovered: true, count: 1, members: [], position: at(8) } });
  await settle();
  again.put(msg(7), msg(8), msg(9));
  assert.deepEqual(heard, [5, 6, 7, 8, 9]);
  assert.deepEqual(gaps, []);
  assert.deepEqual(room.position, at(9));
});

test("what cannot be recovered is an event, not silence", async () => {
  const socket = await opened();
  const room = await entered(socket, { recover: true }, { position: at(4) });
  const gaps = hear(room, "gap");
  const joins = hear(room, "joined");
  socket.lose();
  await pass(30000);
  const again = await welcome();
  const [join] = again.take();
  again.put({ re: join.id, ok: { recovered: false, count: 1, members: [], position: at(2, "e2") } });
  await settle();
  assert.equal(gaps.length, 1);
  assert.equal(joins.at(-1).recovered, false);
  assert.deepEqual(room.position, at(2, "e2"));
  const heard = hear(room, "message");
  again.put(msg(3, 2, "e2"));
  assert.deepEqual(heard, [3]);
});

test("another epoch in the midst is a gap, and what comes is heard", async () => {
  const socket = await opened();
  const room = await entered(socket, { recover: true }, { position: at(4) });
  const gaps = hear(room, "gap");
  const heard = hear(room, "message");
  socket.put(msg(5), msg(1, 0, "e2"), msg(2, 1, "e2"));
  assert.deepEqual([heard, gaps.length], [[5, 1, 2], 1]);
  assert.deepEqual(room.position, at(2, "e2"));
});

test("a message that is missing between two is fetched", async () => {
  const socket = await opened();
  const room = await entered(socket, { recover: true }, { position: at(0) });
  const heard = hear(room, "message");
  socket.put(msg(1), msg(4, 3), msg(5));
  const [leave, join] = socket.take();
  assert.equal(leave.type, "leave");
  assert.deepEqual([join.type, join.since], ["join", at(1)]);
  socket.put({ re: leave.id, ok: { type: "left", room: "lobby", reason: "asked" } },
    { re: join.id, ok: { recovered: true, count: 1, members: [], position: at(5) } });
  await settle();
  socket.put(msg(2), msg(3), msg(4), msg(5));
  assert.deepEqual(heard, [1, 2, 3, 4, 5]);
});

test("what it was left out of is no gap", async () => {
  const socket = await opened();
  const room = await entered(socket, { recover: true }, { position: at(0) });
  const heard = hear(room, "message");
  const skip = (offset) => ({ type: "skip", room: "lobby", ...at(offset), prev: offset - 1 });
  socket.put(msg(1), skip(2), skip(2), msg(3));
  assert.deepEqual(heard, [1, 3]);
  assert.deepEqual(room.position, at(3));
  assert.deepEqual(socket.take(), []);
  socket.put(skip(5)); // and here one is missing before it
  assert.deepEqual(socket.take().map(({ type, since }) => [type, since]),
    [["leave", undefined], ["join", at(3)]]);
});

test("a room that was left, refused or closed is gone", async () => {
  const socket = await opened();
  const room = await entered(socket);
  const reasons = hear(room, "left");
  socket.put({ type: "left", room: "lobby", reason: "kicked" });
  assert.deepEqual(reasons, ["kicked"]);
  const other = client.room("other");
  const refusals = hear(other, "refused");
  const ready = other.ready();
  const [join] = socket.take();
  socket.put({ re: join.id, err: { code: "forbidden", text: "not you", retry: false } });
  await assert.rejects(ready, { code: "forbidden" });
  assert.equal(refusals[0].message, "not you");
  socket.lose();
  await pass(30000);
  assert.deepEqual((await welcome()).take(), []);
});

test("a room that is refused for now is tried again, later each time, at random", async () => {
  mock.method(Math, "random", () => 0.5);
  const socket = await opened({}, { heartbeat_ms: 1e6 });
  const room = client.room("lobby");
  const waits = hear(room, "waiting");
  const refusals = hear(room, "refused");
  const ready = room.ready();
  const refuse = (code) => {
    const frames = socket.take();
    assert.equal(frames.at(-1).type, "join");
    socket.put({ re: frames.at(-1).id, err: { code, text: "later", retry: true } });
    return frames.map(({ type }) => type);
  };
  refuse("full");
  for (const delay of [250, 500, 1000, 2000]) {
    assert.deepEqual([waits.at(-1).delay, waits.at(-1).error.code], [delay, "full"]);
    await pass(delay - 1);
    assert.deepEqual(socket.take(), []);
    await pass(1);
    refuse("full");
  }
  await pass(4000);
  socket.put({ re: socket.take()[0].id, ok: { type: "joined", room: "lobby", count: 1, members: [] } });
  assert.equal(await ready, room);
  assert.deepEqual(refusals, []);
  assert.equal(waits.length, 5);
});

test("a room that waits is joined once, by the next connection, and not when it was left", async () => {
  const random = mock.method(Math, "random", () => 0.9);
  const socket = await opened({}, { heartbeat_ms: 1e6 });
  for (const name of ["lobby", "attic"]) {
    client.room(name);
    const [{ id }] = socket.take();
    socket.put({ re: id, err: { code: "busy", text: "later", retry: true } });
  }
  client.room("attic").leave();
  random.mock.mockImplementation(() => 0.1);
  socket.lose();
  await pass(50);
  const again = await welcome({ heartbeat_ms: 1e6 });
  assert.deepEqual(again.take().map(({ type, room }) => [type, room]), [["join", "lobby"]]);
  await pass(1000);
  assert.deepEqual(again.take(), []);
});

test("a join whose answer is late may have been done: it leaves, and joins", async () => {
  mock.method(Math, "random", () => 0.5);
  const socket = await opened({ timeout: 1000 }, { heartbeat_ms: 1e6 });
  const room = client.room("lobby");
  const [first] = socket.take();
  await pass(1000);
  socket.put({ re: first.id, ok: { type: "joined", room: "lobby", count: 1, members: [] } });
  await pass(250);
  const [leave, join] = socket.take();
  assert.deepEqual([leave.type, join.type], ["leave", "join"]);
  socket.put({ re: leave.id, ok: { type: "left", room: "lobby", reason: "asked" } },
    { re: join.id, ok: { type: "joined", room: "lobby", count: 1, members: [] } });
  assert.equal(room.isJoined, true);
});

test("a room that is left while the join is under way is left at the server, too", async () => {
  const socket = await opened();
  const room = client.room("lobby");
  const left = room.leave();
  const [join, leave] = socket.take();
  assert.deepEqual([join.type, leave.type], ["join", "leave"]);
  const other = client.room("lobby");
  const [again] = socket.take();
  socket.put({ re: join.id, ok: { type: "joined", room: "lobby", count: 1, members: [] } },
    { re: leave.id, ok: { type: "left", room: "lobby", reason: "asked" } },
    { re: again.id, ok: { type: "joined", room: "lobby", count: 1, members: [] } });
  await left;
  assert.deepEqual([room.isJoined, other.isJoined], [false, true]);
  const third = client.room("vip");
  const gone = third.leave();
  for (const { id } of socket.take())
    socket.put({ re: id, err: { code: "not_member", text: "no", retry: false } });
  await gone;
});

test("away: it goes and comes back within the time the server gives", async () => {
  mock.method(Math, "random", () => 0.5);
  const socket = await opened();
  const told = hear(client, "away");
  socket.put({ type: "away", after_ms: 4000 });
  assert.deepEqual(told, [{ after: 4000, reconnect: true }]);
  await pass(1999);
  assert.equal(client.state, "open");
  await pass(1);
  assert.notEqual(client.state, "open");
  await pass(0);
  await welcome();
  assert.equal(client.state, "open");
  FakeSocket.last.put({ type: "away", reconnect: false });
  assert.equal(client.state, "closed");
});

test("away: a close that comes at once does not bring all of them back at once", async () => {
  mock.method(Math, "random", () => 0.5);
  const socket = await opened();
  socket.put({ type: "away", after_ms: 4000 });
  socket.lose(1001);
  assert.equal(client.state, "waiting");
  assert.equal(states.at(-1).delay, 2000);
  await pass(2000);
  await welcome();
  assert.equal(client.state, "open");
});

test("unknown frames and fields, and listeners that throw, hurt nobody", async () => {
  const socket = await opened();
  const room = await entered(socket);
  const thrown = [];
  globalThis.reportError = (error) => thrown.push(error.message);
  room.on("message", () => {
    throw new Error("mine");
  });
  const heard = hear(room, "message");
  socket.put({ type: "news" }, null, 7, { re: 999, ok: 1 }, { type: "msg", room: "elsewhere", data: 1 },
    { type: "msg", room: "lobby", data: "x", from: "Bob", time: 1, extra: true });
  delete globalThis.reportError;
  assert.deepEqual(heard, ["x"]);
  assert.deepEqual(thrown, ["mine"]);
});

test("bytes of any size come and go as base64, and what only looks so stays", async () => {
  const socket = await opened();
  const room = await entered(socket);
  const heard = hear(room, "message");
  const bytes = Uint8Array.from({ length: 20000 }, (_, i) => i % 251);
  room.publish(bytes).catch(() => {});
  room.publish(new DataView(bytes.buffer, 1, 2)).catch(() => {});
  const [all, part] = socket.take();
  assert.equal(all.data.b64, Buffer.from(bytes).toString("base64"));
  assert.equal(part.data.b64, "AQI=");
  for (const data of [all.data, { b64: "AQI=", more: 1 }, { b64: "no base64!" }, { b64: 7 }, null])
    socket.put({ type: "msg", room: "lobby", data, time: 1 });
  assert.deepEqual(heard, [bytes, { b64: "AQI=", more: 1 }, { b64: "no base64!" }, { b64: 7 }, null]);
});

test("large rooms count their members and do not name them", async () => {
  const socket = await opened();
  const room = await entered(socket);
  socket.put({ type: "presence", room: "lobby", count: 2, joined: ["Bob"], infos: { Bob: { age: 7 } } });
  assert.deepEqual([[...room.members], room.infos], [["Ann", "Bob"], { Bob: { age: 7 } }]);
  socket.put({ type: "presence", room: "lobby", count: 1, left: ["Bob"] });
  assert.deepEqual([[...room.members], room.infos, room.count], [["Ann"], {}, 1]);
  socket.put({ type: "presence", room: "lobby", count: 2, joined: [] }); // one without identity
  assert.deepEqual([[...room.members], room.count], [["Ann"], 2]);
  socket.put({ type: "presence", room: "lobby", count: 5000 });
  assert.deepEqual([room.members, room.count], [null, 5000]);
  socket.put({ type: "presence", room: "lobby", count: 5001, joined: ["Eve"] });
  assert.equal(room.members, null);
});

test("whoever is called __proto__ says something of nobody else", async () => {
  const socket = await opened();
  const room = await entered(socket);
  const infos = JSON.parse('{"__proto__": {"Ann": "not what Ann says"}}');
  socket.put({ type: "presence", room: "lobby", count: 2, joined: ["__proto__"], infos });
  assert.equal(room.infos.Ann, undefined);
  assert.deepEqual(Object.entries(room.infos), [["__proto__", { Ann: "not what Ann says" }]]);
  socket.put({ type: "presence", room: "lobby", count: 1, left: ["__proto__"] });
  assert.deepEqual(room.infos, {});
});

test("options that do not exist, and a page without WebSocket, are errors at once", () => {
  assert.throws(() => connect("ws://host.invalid", { tokens: 1, WebSocket: FakeSocket }), /no option "tokens"/);
  assert.throws(() => connect("ftp://host.invalid", { WebSocket: FakeSocket }), /neither ws nor wss/);
  begin();
  client.room("lobby", { recover: true });
  assert.throws(() => client.room("lobby", { recover: false }), /there already/);
  assert.throws(() => client.room("other", { recovery: true }), /no option "recovery"/);
});
