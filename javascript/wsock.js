// SPDX-License-Identifier: MIT
// Rooms of libwsock for pages and Node, over the subprotocol wsock.rooms.v1; what the frames mean
// stands in docs/rooms-v1.md.
//
//   Client   one connection that comes back by itself: hello, tokens, requests and their answers
//   Room     a room of it, joined again after each reconnect; where it has recover, nothing that
//            was missed goes unnoticed

const SUBPROTOCOL = "wsock.rooms.v1";
const BATCH_MAX = 64;
const STABLE_MS = 10000; // open for so long: the next loss begins to wait anew
const LATE_MS = 1000; // a timer so late says that the page was frozen or the machine slept
const ERROR_MS = 100; // an error without a close for so long is the end
const TIMER_MAX_MS = 2 ** 31 - 1;

// Codes after which coming back would be for nothing. 4401 asks for another token.
const FINAL_CODES = new Set([1002, 1003, 1007, 1008, 1009, 1010]);
const RETURN_CODES = new Set([4401, 4408, 4429]);
const CODE_TOKEN = 4401;

/** What a request may fail with: `code` as the server names it, or one of `down` (not connected),
 *  `lost` (the connection went before the answer came), `timeout` and `closed`. */
export class RoomsError extends Error {
  constructor(code, text, retry) {
    super(text);
    this.name = "RoomsError";
    this.code = code;
    this.retry = retry;
  }
}

/** Connect to a server's rooms: `connect("wss://example.org/rooms", { token })`. */
export function connect(url, options) {
  return new Client(url, options);
}

// Where errors go that nobody catches.
function report(error) {
  if (typeof globalThis.reportError === "function") globalThis.reportError(error);
  else setTimeout(() => {
    throw error;
  });
}

class Emitter {
  #listeners = new Map();

  /** @returns a function that takes the listener away again. */
  on(event, listener) {
    if (typeof listener !== "function") throw new TypeError(`on("${event}"): no function`);
    if (!this.#listeners.has(event)) this.#listeners.set(event, new Set());
    this.#listeners.get(event).add(listener);
    return () => this.off(event, listener);
  }

  off(event, listener) {
    this.#listeners.get(event)?.delete(listener);
  }

  // A listener that throws is the application's error, and must not keep the others from hearing.
  _emit(event, ...args) {
    for (const listener of [...(this.#listeners.get(event) ?? [])]) {
      try {
        listener(...args);
      } catch (error) {
        report(error);
      }
    }
  }
}

// ---- data ----

function isBytes(data) {
  return data instanceof ArrayBuffer || ArrayBuffer.isView(data);
}

function toBase64(data) {
  const bytes = data instanceof ArrayBuffer
    ? new Uint8Array(data)
    : new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
  let text = "";
  for (let at = 0; at < bytes.length; at += 0x2000)
    text += String.fromCharCode(...bytes.subarray(at, at + 0x2000));
  return btoa(text);
}

function encode(data) {
  if (data === undefined) throw new TypeError("data: undefined is no JSON");
  return isBytes(data) ? { b64: toBase64(data) } : data;
}

function decode(data) {
  if (data === null || typeof data !== "object" || typeof data.b64 !== "string") return data;
  if (Object.keys(data).length !== 1) return data;
  try {
    return Uint8Array.from(atob(data.b64), (c) => c.charCodeAt(0));
  } catch {
    return data;
  }
}

// ---- options ----

const CLIENT_OPTIONS = {
  token: null, // text, or a function that gets one: () => text or a promise of it
  name: null, // who to be, where the server takes our word for it
  queue: 0, // publishes that are kept while down; more are refused. Until the first attempt
  // to connect has failed, BATCH_MAX are in any case
  timeout: 10000, // of connecting and of each request, ms
  backoff: { first: 500, most: 30000 }, // limits of the random waiting, ms
  WebSocket: null, // for Node below 22
};

const ROOM_OPTIONS = {
  recover: false, // get what was missed, or be told of a gap
  info: undefined, // what the other members see of us
  token: null, // proves that we may be in this room
};

function withDefaults(defaults, options, what) {
  for (const name of Object.keys(options ?? {})) {
    if (!(name in defaults))
      throw new TypeError(`${what}: no option "${name}"; there are ${Object.keys(defaults).join(", ")}`);
  }
  return { ...defaults, ...options };
}

function absolute(url) {
  const base = typeof location === "undefined" ? undefined : location.href;
  let parsed;
  try {
    parsed = new URL(url, base);
  } catch {
    throw new TypeError(`connect: "${url}" is no URL${base ? "" : " with a host, as ws://HOST/rooms"}`);
  }
  if (parsed.protocol === "http:") parsed.protocol = "ws:";
  if (parsed.protocol === "https:") parsed.protocol = "wss:";
  if (parsed.protocol !== "ws:" && parsed.protocol !== "wss:")
    throw new TypeError(`${url}: the scheme is neither ws nor wss`);
  return parsed.href;
}

// A request that waits to be sent. It is text already, so that what cannot be JSON fails at whoever
// gave it.
function entryOf(frame, resolve, reject) {
  return { type: frame.type, text: JSON.stringify(frame), resolve, reject };
}

// ---- the connection ----

/**
 * Events: `state` ({state, delay, code, reason}), `direct` (data, meta), `away` ({after}),
 * `error` (RoomsError, of what no promise tells). States: `connecting`, `open`, `waiting` (with
 * `delay` in ms) and `closed` for good (with `code` and `reason`).
 */
export class Client extends Emitter {
  #url;
  #options;
  #WebSocket;
  #state = "connecting";
  #identity = null;
  #rooms = new Map();
  #socket = null; // the present one; what comes from another is not heard
  #welcomed = false;
  #isNew = true; // neither welcome nor lost so far
  #attempts = 0;
  #tokenRefused = false; // 4401 since the last welcome
  #nextId = 1;
  #waiting = new Map(); // id -> {resolve, reject, timer}
  #queued = []; // publishes that wait for a connection
  #retryTimer = null;
  #silenceTimer = null;
  #refreshTimer = null;
  #stableTimer = null;
  #silence = 0; // so much of it is too much, ms
  #heard = 0;
  #awayUntil = 0; // the server said that it goes: come back then, whatever closes before
  #wake = () => this.#look();

  constructor(url, options) {
    super();
    this.#options = withDefaults(CLIENT_OPTIONS, options, "connect");
    this.#options.backoff = { ...CLIENT_OPTIONS.backoff, ...this.#options.backoff };
    this.#WebSocket = this.#options.WebSocket ?? globalThis.WebSocket;
    if (!this.#WebSocket)
      throw new TypeError("connect: there is no WebSocket here; pass one as option WebSocket");
    this.#url = absolute(url);
    this.#listenToPage("addEventListener");
    this.#open();
  }

  get state() {
    return this.#state;
  }

  /** Who the server says that we are; null before the first welcome. */
  get identity() {
    return this.#identity;
  }

  /** The room of that name, which is joined as soon as there is a connection, and again after
   *  each loss, until leave(). */
  room(name, options) {
    let room = this.#rooms.get(name);
    if (room && options !== undefined)
      throw new TypeError(`room "${name}" is there already: its options cannot change`);
    if (!room) {
      this.#mustBeAlive();
      room = new Room(this, name, withDefaults(ROOM_OPTIONS, options, `room "${name}"`));
      this.#rooms.set(name, room);
      if (this.#welcomed) this.#join([room]);
    }
    return room;
  }

  /** Call a handler of the application at the server. @returns a promise of its answer. */
  call(name, args = null) {
    return this._request({ type: "call", name, args });
  }

  /** Send to all connections of an identity. @returns a promise of how many there are. */
  async direct(identity, data, { event } = {}) {
    const answer = await this._request({ type: "direct", identity, data: encode(data), event });
    return answer.count;
  }

  /** End for good; what waits is rejected. */
  close(code = 1000, reason = "") {
    this.#end(code, reason, code, reason);
  }

  // ---- for rooms ----

  /** @returns a promise of the answer to a frame. */
  _request(frame, keep = false) {
    return new Promise((resolve, reject) => {
      const entry = entryOf(frame, resolve, reject);
      if (this.#welcomed) this.#send([entry]);
      else if (keep && this.#state !== "closed" && this.#queued.length < this.#places())
        this.#queued.push(entry);
      else reject(this.#downError());
    });
  }

  _forget(room) {
    this.#rooms.delete(room.name);
  }

  /** Join it again; `anew`: where we may be in it. */
  _rejoin(room, anew) {
    if (!this.#welcomed) return;
    if (anew) this._request({ type: "leave", room: room.name }).catch(() => {});
    this.#join([room]);
  }

  /** Full jitter, so that those who failed together do not come back together. */
  _delay(attempts) {
    const { first, most } = this.#options.backoff;
    return Math.random() * Math.min(most, first * 2 ** Math.min(attempts, 16));
  }

  // ---- requests ----

  // Who publishes right after connect() need not wait for the connection.
  #places() {
    return this.#isNew ? Math.max(this.#options.queue, BATCH_MAX) : this.#options.queue;
  }

  #downError() {
    return this.#state === "closed"
      ? new RoomsError("closed", "the connection was closed", false)
      : new RoomsError("down", "not connected", true);
  }

  #mustBeAlive() {
    if (this.#state === "closed") throw this.#downError();
  }

  #enter({ type, text, resolve, reject }) {
    const id = this.#nextId++;
    const timer = setTimeout(() => {
      this.#waiting.delete(id);
      reject(new RoomsError("timeout", `no answer to ${type} in time`, true));
    }, this.#options.timeout);
    this.#waiting.set(id, { resolve, reject, timer });
    return `${text.slice(0, -1)},"id":${id}}`;
  }

  #send(entries) {
    for (let at = 0; at < entries.length; at += BATCH_MAX) {
      const frames = entries.slice(at, at + BATCH_MAX).map((entry) => this.#enter(entry));
      this.#socket.send(frames.length === 1 ? frames[0] : `[${frames.join(",")}]`);
    }
  }

  #answer({ re, ok, err }) {
    const entry = this.#waiting.get(re);
    if (!entry) {
      // An error without an id, or an answer that comes after its time.
      if (err && re === null) this._emit("error", new RoomsError(err.code, err.text, !!err.retry));
      return;
    }
    this.#waiting.delete(re);
    clearTimeout(entry.timer);
    if (err) entry.reject(new RoomsError(err.code, err.text, !!err.retry));
    else entry.resolve(ok);
  }

  // ---- opening ----

  async #open() {
    const turn = {}; // stands for the socket until there is one
    this.#clearTimers();
    this.#socket = turn;
    this.#set({ state: "connecting" });
    this.#watch(this.#options.timeout);
    try {
      const token = await this.#token();
      if (this.#socket === turn) this.#dial(token);
    } catch (error) {
      if (this.#socket !== turn) return;
      this._emit("error", new RoomsError("token", `no token: ${error.message}`, true));
      this.#lost(0, "no token");
    }
  }

  async #token() {
    const { token } = this.#options;
    return typeof token === "function" ? token() : token;
  }

  #dial(token) {
    const socket = new this.#WebSocket(this.#url, SUBPROTOCOL);
    this.#socket = socket;
    socket.onopen = () => {
      if (socket === this.#socket) this.#hello(token);
    };
    socket.onmessage = ({ data }) => {
      if (socket === this.#socket) this.#take(data);
    };
    // onclose follows; but not in older versions of Node, when nothing could be connected.
    socket.onerror = () => setTimeout(() => {
      if (socket === this.#socket) this.#closed(1006, "");
    }, ERROR_MS);
    socket.onclose = ({ code, reason }) => {
      if (socket === this.#socket) this.#closed(code, reason);
    };
  }

  async #hello(token) {
    const socket = this.#socket;
    const { name } = this.#options;
    const frame = { type: "hello", v: 1, token: token ?? undefined, name: name ?? undefined };
    try {
      const welcome = await new Promise((resolve, reject) =>
        this.#send([entryOf(frame, resolve, reject)]));
      if (socket === this.#socket) this.#welcome(welcome);
    } catch (error) {
      if (socket !== this.#socket) return;
      // As the close code will say, which comes behind it.
      if (error.code === "unauthorized") this.#closed(CODE_TOKEN, error.message);
      else if (error.retry) this.#lost(0, error.message);
      else this.#end(0, error.message, 1000, "");
    }
  }

  #welcome({ identity, heartbeat_ms: heartbeat, expires_ms: expires }) {
    this.#welcomed = true;
    this.#isNew = false;
    this.#tokenRefused = false;
    this.#identity = identity;
    this.#watch(heartbeat > 0 ? 1.5 * heartbeat : TIMER_MAX_MS);
    this.#refreshIn(expires);
    this.#stableTimer = setTimeout(() => {
      this.#attempts = 0;
    }, STABLE_MS);
    this.#join([...this.#rooms.values()]);
    this.#send(this.#queued.splice(0));
    this.#set({ state: "open" });
  }

  #join(rooms) {
    this.#send(rooms.map((room) => entryOf(room._joinFrame(),
      (joined) => room._joined(joined),
      (error) => room._refused(error))));
  }

  // A fifth of its time before the token is over another one takes its place.
  #refreshIn(expires) {
    if (typeof expires !== "number") return;
    this.#refreshTimer = setTimeout(() => this.#refresh(), Math.min(0.8 * expires, TIMER_MAX_MS));
  }

  async #refresh() {
    const socket = this.#socket;
    try {
      const token = await this.#token();
      if (socket !== this.#socket) return;
      const answer = await this._request({ type: "refresh", token });
      if (socket === this.#socket) this.#refreshIn(answer.expires_ms);
    } catch (error) {
      // The server closes with 4401 when the old one is over, and then there is another try.
      if (socket === this.#socket) this._emit("error", error);
    }
  }

  // ---- what comes ----

  #take(text) {
    let frames;
    this.#heard = Date.now();
    try {
      frames = JSON.parse(text);
    } catch {
      this.#end(4400, "the server sent what is no JSON", 4400, "no JSON");
      return;
    }
    for (const frame of Array.isArray(frames) ? frames : [frames]) this.#takeFrame(frame);
  }

  #takeFrame(frame) {
    if (frame === null || typeof frame !== "object") return;
    if ("re" in frame) this.#answer(frame);
    else if (frame.type === "msg") this.#rooms.get(frame.room)?._message(frame);
    else if (frame.type === "skip") this.#rooms.get(frame.room)?._skip(frame);
    else if (frame.type === "missed") this.#rooms.get(frame.room)?._missed(frame);
    else if (frame.type === "presence") this.#rooms.get(frame.room)?._presence(frame);
    else if (frame.type === "left") this.#rooms.get(frame.room)?._left(frame.reason);
    else if (frame.type === "direct") this._emit("direct", decode(frame.data), frame);
    else if (frame.type === "away") this.#away(frame);
  }

  // The server will go: all its clients spread their coming back.
  #away({ after_ms: after = 0, reconnect = true }) {
    const delay = Math.random() * after;
    this.#awayUntil = Date.now() + delay;
    this._emit("away", { after, reconnect });
    if (reconnect === false) this.#end(1001, "the server goes away", 1000, "");
    else this.#later(delay, () => this.#lost(1001, "the server goes away", 0));
  }

  // ---- losing it ----

  #later(delay, what) {
    const socket = this.#socket;
    clearTimeout(this.#retryTimer);
    this.#retryTimer = setTimeout(() => {
      this.#retryTimer = null;
      if (socket === this.#socket) what();
    }, delay);
  }

  #closed(code, reason) {
    const again = code >= 4400 && code <= 4499 ? RETURN_CODES.has(code) : !FINAL_CODES.has(code);
    const canRenew = typeof this.#options.token === "function" && !this.#tokenRefused;
    if (code === CODE_TOKEN) this.#tokenRefused = true;
    const away = this.#awayUntil - Date.now();
    if (again && (code !== CODE_TOKEN || canRenew)) this.#lost(code, reason, away > 0 ? away : undefined);
    else this.#end(code, reason, 1000, "");
  }

  #lost(code, reason, delay = this._delay(this.#attempts++)) {
    this.#drop(new RoomsError("lost", "the connection was lost before the answer came", true), 1000, "");
    this.#isNew = false;
    for (const { reject } of this.#queued.splice(this.#options.queue)) reject(this.#downError());
    this.#set({ state: "waiting", delay, code, reason });
    if (this.#state === "waiting") this.#later(delay, () => this.#open());
  }

  #end(code, reason, sentCode, sentReason) {
    if (this.#state === "closed") return;
    const error = new RoomsError("closed", reason || "the connection was closed", false);
    this.#drop(error, sentCode, sentReason);
    for (const { reject } of this.#queued.splice(0)) reject(error);
    for (const room of [...this.#rooms.values()]) room._end(error);
    this.#listenToPage("removeEventListener");
    this.#set({ state: "closed", code, reason });
  }

  #drop(error, code, reason) {
    const socket = this.#socket;
    const waiting = [...this.#waiting.values()];
    this.#clearTimers();
    this.#socket = null;
    this.#welcomed = false;
    this.#waiting.clear();
    for (const { reject, timer } of waiting) {
      clearTimeout(timer);
      reject(error);
    }
    for (const room of this.#rooms.values()) room._down();
    // Only 1000 and 3000 to 4999 may be given.
    if (socket?.close) socket.close(code >= 3000 && code <= 4999 ? code : 1000, reason);
  }

  #clearTimers() {
    clearTimeout(this.#retryTimer);
    clearTimeout(this.#silenceTimer);
    clearTimeout(this.#refreshTimer);
    clearTimeout(this.#stableTimer);
    this.#retryTimer = null;
  }

  #set(change) {
    this.#state = change.state;
    this._emit("state", { delay: 0, code: 0, reason: "", ...change });
  }

  // ---- silence, sleep and the network's return ----

  // A page cannot see pings, so the server's heartbeat must come.
  #watch(limit) {
    this.#silence = limit;
    this.#heard = Date.now();
    this.#watchFor(limit);
  }

  #watchFor(delay) {
    const due = Date.now() + delay;
    clearTimeout(this.#silenceTimer);
    this.#silenceTimer = setTimeout(() => {
      this.#heard = Math.min(this.#heard, Date.now()); // the clock may have been set back
      const left = this.#heard + this.#silence - Date.now();
      if (left > 0) this.#watchFor(left);
      // After sleep what has come meanwhile still waits behind this timer.
      else if (Date.now() - due > LATE_MS) this.#watchFor(LATE_MS);
      else this.#lost(1006, "nothing came for too long", this.#welcomed ? 0 : undefined);
    }, delay);
  }

  #look() {
    if (typeof document !== "undefined" && document.visibilityState === "hidden") return;
    if (globalThis.navigator?.onLine === false) return;
    if (this.#state === "waiting") this.#open();
    else if (Date.now() - this.#heard >= this.#silence) this.#watchFor(LATE_MS);
  }

  #listenToPage(method) {
    if (typeof globalThis[method] !== "function") return;
    globalThis[method]("online", this.#wake);
    globalThis[method]("pageshow", this.#wake);
    if (typeof document === "undefined") return;
    document[method]("visibilitychange", this.#wake);
    document[method]("resume", this.#wake);
  }
}

// ---- a room ----

/**
 * Events: `message` (data, meta) for each message; `event:NAME` (data, meta) for those that were
 * published with that event; `joined` ({recovered, count, members}); `presence` ({joined, left,
 * count}); `gap` () when messages may have been missed and cannot be had; `left` (reason);
 * `refused` (RoomsError) when the server did not let us in; `waiting` ({delay, error}) when it
 * did not let us in now, and we try again.
 *
 * meta: from, event, time (ms since 1970), room, epoch, offset.
 */
export class Room extends Emitter {
  #client;
  #options;
  #isIn = false;
  #isAsked = false; // a join is under way
  #gone = false;
  #refusals = 0; // in a row, each for now only
  #retryTimer = null;
  #position = null;
  #wasIn = false;
  #ready = [];

  constructor(client, name, options) {
    super();
    this.#client = client;
    this.#options = options;
    this.name = name;
    JSON.stringify([options.info, options.token]); // what cannot be JSON fails here, and not later
    this.count = 0;
    this.members = new Set(); // null in large rooms, whose members are only counted
    this.infos = {};
  }

  /** Whether we are in it now. */
  get isJoined() {
    return this.#isIn;
  }

  /** The last message that we have, where recover is on and the room keeps messages. */
  get position() {
    return this.#position ? { ...this.#position } : null;
  }

  /** @returns a promise that is kept as soon as we are in, and broken when we are refused. */
  ready() {
    if (this.#isIn) return Promise.resolve(this);
    if (this.#gone) return Promise.reject(new RoomsError("closed", "the room was left", false));
    return new Promise((resolve, reject) => this.#ready.push({ resolve, reject }));
  }

  /** Publish JSON or bytes. @returns a promise of the position where the room keeps messages, else
   *  of true. */
  publish(data, { event, key } = {}) {
    let frame;
    try {
      frame = { type: "pub", room: this.name, data: encode(data), event, key };
    } catch (error) {
      return Promise.reject(error);
    }
    return this.#client._request(frame, true);
  }

  /** @returns a promise of kept messages, oldest first: at most `limit`, before an offset. */
  async history({ limit, before } = {}) {
    const answer = await this.#client._request({ type: "history", room: this.name, limit, before });
    return answer.messages.map((frame) => ({ ...frame, data: decode(frame.data) }));
  }

  /** Leave it for good. */
  async leave() {
    const wasIn = this.#isIn;
    const mayBeIn = wasIn || this.#isAsked;
    if (this.#gone) return;
    this._end(new RoomsError("closed", "the room was left", false));
    if (!mayBeIn) return;
    try {
      await this.#client._request({ type: "leave", room: this.name });
    } catch (error) {
      if (wasIn || error.code !== "not_member") throw error; // it was refused, behind our back
    }
  }

  // ---- for the client ----

  _joinFrame() {
    const { info, token, recover } = this.#options;
    const since = (recover && this.#position) || undefined;
    this.#isAsked = true;
    return { type: "join", room: this.name, since, info, token: token ?? undefined };
  }

  _joined({ recovered = false, count, members, infos, position }) {
    this.#isAsked = false;
    if (this.#gone) return;
    this.#refusals = 0;
    const missed = this.#options.recover && this.#wasIn && !recovered;
    this.#isIn = true;
    this.#wasIn = true;
    this.count = count;
    this.members = members ? new Set(members) : null;
    this.infos = { ...infos };
    if (!recovered) this.#position = this.#options.recover && position ? { ...position } : null;
    for (const { resolve } of this.#ready.splice(0)) resolve(this);
    this._emit("joined", { recovered, count, members: members ?? null });
    if (missed) this._emit("gap");
  }

  // What the server refuses it refuses again, unless it says that it was for now. A connection that
  // was lost brings its rooms along when it is back.
  _refused(error) {
    this.#isAsked = false;
    if (this.#gone || error.code === "lost") return;
    if (error.retry) {
      this.#tryAgain(error);
      return;
    }
    this._end(error);
    this._emit("refused", error);
  }

  #tryAgain(error) {
    const delay = this.#client._delay(this.#refusals++);
    const anew = error.code === "timeout"; // perhaps only the answer was late
    clearTimeout(this.#retryTimer);
    this.#retryTimer = setTimeout(() => this.#client._rejoin(this, anew), delay);
    this._emit("waiting", { delay, error });
  }

  _end(error) {
    this.#gone = true;
    this._down();
    this.#client._forget(this);
    for (const { reject } of this.#ready.splice(0)) reject(error);
  }

  _down() {
    this.#isIn = false;
    this.#isAsked = false;
    clearTimeout(this.#retryTimer);
  }

  _left(reason) {
    if (!this.#isIn || this.#gone) return;
    this._end(new RoomsError("left", `left: ${reason}`, false));
    this._emit("left", reason);
  }

  _presence({ count, joined, left, infos }) {
    this.count = count;
    if (!joined && !left) this.members = null;
    for (const identity of joined ?? []) this.members?.add(identity);
    this.infos = { ...this.infos, ...infos }; // assigning to __proto__ would not make an entry
    for (const identity of left ?? []) {
      this.members?.delete(identity);
      delete this.infos[identity];
    }
    this._emit("presence", { count, joined: joined ?? [], left: left ?? [] });
  }

  _message(frame) {
    if (!this.#isIn || !this.#follows(frame)) return;
    const { event = "message", from, time, epoch, offset } = frame;
    const data = decode(frame.data);
    const meta = { room: this.name, event, from, time, epoch, offset };
    this._emit("message", data, meta);
    this._emit(`event:${event}`, data, meta);
  }

  // In the place of a message that is not for us.
  _skip(frame) {
    if (this.#isIn) this.#follows(frame);
  }

  // There is more than we were sent.
  _missed({ position }) {
    const last = this.#position;
    if (!this.#isIn || !this.#options.recover || !position) return;
    if (last?.epoch !== position.epoch || last.offset < position.offset) this.#fetch();
  }

  // ---- order ----

  // What is missing comes behind another `joined`, or does not: then that says so.
  #fetch() {
    this.#isIn = false;
    this.#client._rejoin(this, true);
  }

  // Whether a message is the next one; what is missing before it is fetched, and it again.
  #follows({ epoch, offset, prev }) {
    const last = this.#position;
    if (!this.#options.recover || typeof offset !== "number") return true;
    // Of what came between the two epochs nothing is known.
    if (last && last.epoch !== epoch) this._emit("gap");
    if (last && last.epoch === epoch) {
      if (offset <= last.offset) return false;
      if (prev > last.offset) {
        this.#fetch();
        return false;
      }
    }
    this.#position = { epoch, offset };
    return true;
  }
}
