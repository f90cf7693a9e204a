// SPDX-License-Identifier: MIT
// The script for pages without modules offers what the module offers, and the types name it all.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import test from "node:test";
import vm from "node:vm";

import * as module from "../../javascript/wsock.js";

const types = readFileSync(new URL("../../javascript/wsock.d.ts", import.meta.url), "utf8");

test("the script sets the global wsock", () => {
  const page = vm.createContext({ Map, Set, URL, console, setTimeout, clearTimeout });
  vm.runInContext(readFileSync(process.env.WSOCK_IIFE, "utf8"), page);
  const names = vm.runInContext("Object.keys(wsock)", page);
  assert.deepEqual([...names].sort(), Object.keys(module).sort());
  assert.throws(() => vm.runInContext("wsock.connect('ws://host.invalid')", page), /no WebSocket here/);
});

test("a URL that is none is told, with what it lacks outside of pages", () => {
  class WebSocket {}
  assert.throws(() => module.connect("/rooms", { WebSocket }), /"\/rooms" is no URL with a host/);
  assert.throws(() => module.connect("ftp://host", { WebSocket }), /scheme is neither ws nor wss/);
});

test("the directory is a package of Node", () => {
  const place = new URL("../../javascript/", import.meta.url);
  const { type, exports } = JSON.parse(readFileSync(new URL("package.json", place), "utf8"));
  assert.equal(type, "module");
  assert.deepEqual(Object.keys(exports), ["types", "default"]);
  for (const file of Object.values(exports)) assert.ok(readFileSync(new URL(file, place)).length);
});

test("the types have every name, and no other", () => {
  for (const [name, value] of Object.entries(module)) {
    const [, body] = types.match(new RegExp(`export class ${name}\\b[^{]*\\{([^]*?)\\n\\}`)) ?? [];
    if (!body) {
      assert.match(types, new RegExp(`export (function|class) ${name}\\b`));
      continue;
    }
    const typed = [...body.matchAll(/^ {2}(?:readonly )?(\w+)[(:]/gm)].map((m) => m[1]);
    const members = Object.getOwnPropertyNames(value.prototype)
      .filter((member) => member !== "constructor" && !member.startsWith("_"));
    for (const member of members) assert.ok(typed.includes(member), `${name}.${member} has no type`);
  }
  const typed = [...types.matchAll(/^export (?:class|function) (\w+)/gm)].map((m) => m[1]);
  assert.deepEqual(typed.sort(), Object.keys(module).sort());
});
