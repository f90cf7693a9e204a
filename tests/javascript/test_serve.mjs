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
