// SPDX-License-Identifier: MIT
// The chat page of `wsock serve`: one room over the subprotocol wsock.rooms.v1.
//
// `Link` keeps a connection: it says hello, joins the room again after each reconnect, and
// tells what comes by calling back. Below it the page, which knows nothing of frames. What
// others say only ever becomes text of a node, never markup.
"use strict";

const SUBPROTOCOL = "wsock.rooms.v1";
const BACKOFF_FIRST_MS = 500;
const BACKOFF_MAX_MS = 30000;
const LOG_MAX = 500;

// ---- the connection ----

class Link {
  // handlers: state(name, seconds), joined(frame, identity), msg(frame), presence(frame),
  // refused(text)
  constructor(room, name, handlers) {
    this.room = room;
    this.name = name;
    this.handlers = handlers;
    this.attempts = 0;
    this.nextId = 1;
    this.waiting = new Map(); // id -> {resolve, reject}
    this.onWake = () => this.wake();
    window.addEventListener("online", this.onWake);
    document.addEventListener("visibilitychange", this.onWake);
    this.open();
  }

  open() {
    const scheme = location.protocol === "https:" ? "wss:" : "ws:";
    const socket = new WebSocket(`${scheme}//${location.host}/rooms`, SUBPROTOCOL);
    clearTimeout(this.retryTimer);
    this.retryTimer = 0;
    this.socket = socket;
    this.handlers.state("connecting", 0);
    this.watch(10000);
    socket.onopen = () => {
      if (socket === this.socket) this.start();
    };
    socket.onmessage = (event) => {
      if (socket === this.socket) this.take(event.data);
    };
    socket.onclose = () => {
      if (socket === this.socket) this.lost();
    };
  }

  async start() {
    try {
      const welcome = await this.request({ type: "hello", name: this.name });
      this.heartbeat = welcome.heartbeat_ms;
      const joined = await this.request({ type: "join", room: this.room });
      this.attempts = 0;
      this.handlers.state("online", 0);
      this.handlers.joined(joined, welcome.identity);
    } catch (error) {
      // What the server refuses it will refuse again; a lost connection comes back.
      if (error.code && !error.retry) {
        this.close();
        this.handlers.refused(error.message);
      } else if (error.code) {
        this.lost();
      }
    }
  }

  // Full jitter: all who were cut off together do not come back together.
  lost() {
    const limit = Math.min(BACKOFF_MAX_MS, BACKOFF_FIRST_MS * 2 ** Math.min(this.attempts, 10));
    const delay = Math.random() * limit;
    this.drop();
    this.attempts++;
    this.handlers.state("waiting", Math.ceil(delay / 1000));
    this.retryTimer = setTimeout(() => this.open(), delay);
  }

  // Back at once when the network or the reader is.
  wake() {
    if (this.retryTimer && document.visibilityState === "visible" && navigator.onLine)
      this.open();
  }

  // A page cannot see pings: silence for one and a half heartbeats means that it is lost.
  watch(limit) {
    clearTimeout(this.silenceTimer);
    this.silenceTimer = setTimeout(() => this.lost(), limit);
  }

  drop() {
    const socket = this.socket;
    clearTimeout(this.silenceTimer);
    this.socket = null;
    if (socket) socket.close(1000);
    for (const { reject } of this.waiting.values()) reject(new Error("not connected"));
    this.waiting.clear();
  }

  close() {
    clearTimeout(this.retryTimer);
    this.retryTimer = 0;
    window.removeEventListener("online", this.onWake);
    document.removeEventListener("visibilitychange", this.onWake);
    this.drop();
  }

  request(frame) {
    return new Promise((resolve, reject) => {
      if (!this.socket || this.socket.readyState !== WebSocket.OPEN) {
        reject(new Error("not connected"));
        return;
      }
      const id = this.nextId++;
      this.waiting.set(id, { resolve, reject });
      this.socket.send(JSON.stringify({ ...frame, id }));
    });
  }

  say(text) {
    return this.request({ type: "pub", room: this.room, data: text });
  }

  take(text) {
    const frame = JSON.parse(text);
    this.watch(1.5 * (this.heartbeat || 25000));
    if ("re" in frame) this.takeReply(frame);
    else if (frame.room !== this.room) return;
    else if (frame.type === "msg") this.handlers.msg(frame);
    else if (frame.type === "presence") this.handlers.presence(frame);
  }

  takeReply(frame) {
    const request = this.waiting.get(frame.re);
    if (!request) return;
    this.waiting.delete(frame.re);
    if (frame.err) request.reject(Object.assign(new Error(frame.err.text), frame.err));
    else request.resolve(frame.ok);
  }
}

// ---- the page ----

const $ = (id) => document.getElementById(id);
let link = null;
let identity = "";
let members = null; // a Set of names, or null in a room too large to name them
let count = 0;

function remember(key, value) {
  try {
    if (value !== undefined) localStorage.setItem(key, value);
    return localStorage.getItem(key) || "";
  } catch {
    return ""; // storage may be forbidden
  }
}

function element(tag, className, text) {
  const node = document.createElement(tag);
  if (className) node.className = className;
  if (text !== undefined) node.textContent = text;
  return node;
}

function addToLog(node) {
  const log = $("log");
  const atEnd = log.scrollHeight - log.scrollTop - log.clientHeight < 40;
  log.append(node);
  while (log.childElementCount > LOG_MAX) log.firstElementChild.remove();
  if (atEnd) log.scrollTop = log.scrollHeight;
}

function logEvent(text) {
  addToLog(element("li", "event", text));
}

// Binary and other JSON are shown as what they are; text as it is.
function textOf(data) {
  if (typeof data === "string") return data;
  if (data && typeof data.b64 === "string" && Object.keys(data).length === 1)
    return `(binary, ${atob(data.b64).length} bytes)`;
  return JSON.stringify(data);
}

function showMessage(frame) {
  const when = new Date(frame.time);
  const item = element("li", frame.from === identity ? "own" : "");
  const time = element("time", "", when.toLocaleTimeString([], { timeStyle: "short" }));
  time.dateTime = when.toISOString();
  time.title = when.toLocaleString();
  item.append(element("span", "from", frame.from), time, element("p", "text", textOf(frame.data)));
  addToLog(item);
}

function showMembers() {
  const list = $("member-list");
  const names = members ? [...members].sort((a, b) => a.localeCompare(b)) : [];
  list.replaceChildren(
    ...names.map((name) =>
      element("li", name === identity ? "own" : "", name === identity ? `${name} (you)` : name),
    ),
  );
  if (!members) list.append(element("li", "", "too many to list"));
  $("count").textContent = count;
}

function showState(state, seconds) {
  const texts = {
    connecting: "connecting…",
    online: "online",
    waiting: `back in ${seconds} s`,
    offline: "offline",
  };
  $("state").dataset.state = state;
  $("state").textContent = texts[state];
  $("send").disabled = state !== "online";
}

function takeJoined(frame, own) {
  identity = own;
  count = frame.count;
  members = frame.members ? new Set(frame.members) : null;
  logEvent(`You are here as ${own}`);
  showMembers();
}

function takePresence(frame) {
  count = frame.count;
  for (const name of frame.joined || []) {
    if (members) members.add(name);
    logEvent(`${name} came`);
  }
  for (const name of frame.left || []) {
    if (members) members.delete(name);
    logEvent(`${name} left`);
  }
  if (!frame.joined && !frame.left) members = null;
  showMembers();
}

function roomOfHash() {
  try {
    return decodeURIComponent(location.hash.slice(1));
  } catch {
    return "";
  }
}

function enter(room, name) {
  remember("wsock.name", name);
  location.hash = encodeURIComponent(room);
  $("title").textContent = room;
  document.title = `${room} · wsock chat`;
  $("log").replaceChildren();
  $("enter-error").textContent = "";
  $("enter").hidden = true;
  $("chat").hidden = false;
  members = null;
  count = 0;
  link = new Link(room, name, {
    state: showState,
    joined: takeJoined,
    msg: showMessage,
    presence: takePresence,
    refused: (text) => leave(text),
  });
  $("say").focus();
}

function leave(why) {
  if (link) link.close();
  link = null;
  showState("offline", 0);
  document.title = "wsock chat";
  $("chat").hidden = true;
  $("enter").hidden = false;
  $("enter-error").textContent = why || "";
  ($("room").value ? $("name") : $("room")).focus();
}

async function send() {
  const box = $("say");
  const text = box.value;
  if (!text.trim() || !link || $("send").disabled) return;
  box.value = "";
  fitBox();
  try {
    await link.say(text);
  } catch (error) {
    logEvent(`Not sent (${error.message}): ${text}`);
  }
}

function fitBox() {
  const box = $("say");
  box.style.height = "auto";
  box.style.height = `${box.scrollHeight + 2}px`;
}

function submitEnter(event) {
  event.preventDefault();
  const room = $("room").value.trim();
  const name = $("name").value.trim();
  if (room && name) enter(room, name);
}

// Another room in the address: follow it, with the name of before.
function followHash() {
  const room = roomOfHash();
  $("room").value = room;
  if (link && room && room !== link.room) {
    link.close();
    enter(room, link.name);
  }
}

$("enter-form").addEventListener("submit", submitEnter);
$("say-form").addEventListener("submit", (event) => {
  event.preventDefault();
  send();
});
$("say").addEventListener("input", fitBox);
$("say").addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  send();
});
$("leave").addEventListener("click", () => leave());
$("toggle-members").addEventListener("click", () => {
  const shown = $("members").classList.toggle("shown");
  $("toggle-members").setAttribute("aria-expanded", String(shown));
});
window.addEventListener("hashchange", followHash);

$("name").value = remember("wsock.name");
followHash();
($("room").value ? $("name") : $("room")).focus();
