// SPDX-License-Identifier: MIT
// The client with `wsock serve`: two that talk, and a server that is killed and started again.

import assert from "node:assert/strict";
import test from "node:test";

import { connect } from "../../javascript/wsock.js";
import { next, serve } from "./serving.mjs";

test("two talk", { timeout: 20000 }, async (t) => {
  const server = await serve();
  const ann = connect(`${server.url}/rooms`, { name: "Ann" });
  const bob = connect(`${server.url}/rooms`, { name: "Bob" });
  t.after(() => ann.close());
  t.after(() => bob.close());
  t.after(() => server.kill("SIGTERM"));
  const [ours, theirs] = await Promise.all([ann.room("lobby").ready(), bob.room("lobby").ready()]);
  const heard = next(theirs, "event:greeting");
  assert.equal(await ours.publish({ text: "hello" }, { event: "greeting" }), true);
  const [data, meta] = await heard;
  assert.deepEqual(data, { text: "hello" });
  assert.deepEqual([meta.from, meta.event, meta.room], ["Ann", "greeting", "lobby"]);
  const bytes = next(ours, "message", (what) => what instanceof Uint8Array);
  await theirs.publish(Uint8Array.of(0, 127, 255));
  assert.deepEqual([...(await bytes)[0]], [0, 127, 255]);
  const gone = next(ours, "presence", ({ left }) => left.includes("Bob"));
  await theirs.leave();
  await gone;
  assert.deepEqual([...ours.members], ["Ann"]);
  await assert.rejects(bob.call("nothing"), { code: "unknown_call" });
});

// As it stands in the documentation: nothing is awaited before the first publish.
test("a few lines are a chat", { timeout: 20000 }, async (t) => {
  const server = await serve();
  const url = `${server.url}/rooms`;
  const fetchToken = async () => "token";
  const shown = [];
  const badges = [];
  const show = (from, data) => shown.push([from, data]);
  const badge = (s) => badges.push(s.state);
  t.after(() => server.kill("SIGTERM"));

  const c = connect(url, { token: async () => fetchToken() });
  t.after(() => c.close());
  const lobby = c.room("lobby", { recover: true });
  lobby.on("message", (data, meta) => show(meta.from, data));
  c.on("state", (s) => badge(s));
  const heard = next(lobby, "message");
  await lobby.publish({ text: "hello" });
  await heard;
  assert.deepEqual(shown, [[c.identity, { text: "hello" }]]);
  assert.deepEqual(badges, ["open"]);
});

test("a server that is killed is found again, and the room with it", { timeout: 30000 }, async (t) => {
  let server = await serve();
  const ann = connect(`${server.url}/rooms`, { name: "Ann", backoff: { first: 50, most: 100 }, queue: 1 });
  t.after(() => ann.close());
  t.after(() => server.kill("SIGTERM"));
  const room = await ann.room("lobby").ready();
  const waits = next(ann, "state", ({ state }) => state === "waiting");
  await server.kill("SIGKILL");
  await waits;
  assert.equal(room.isJoined, false);
  const said = room.publish("meanwhile");
  const heard = next(room, "message");
  const back = next(room, "joined");
  server = await serve(server.url);
  await back;
  assert.equal((await heard)[0], "meanwhile");
  assert.equal(await said, true);
});
