// SPDX-License-Identifier: MIT
// The chat page of `wsock serve`: one room, by the client of javascript/wsock.js. What others say
// only ever becomes text of a node, never markup.

import { connect } from "./wsock.js";

const LOG_MAX = 500;
const KEPT_MAX = 100;

const $ = (id) => document.getElementById(id);
let client = null;
let room = null;
let known = null; // who we were when we last joined
let last = null; // the position of the newest message that is shown
let hindrance = null; // why we are not in the room yet, as it was told
let isAtEnd = true; // of the log
let logTop = 0; // as far as it was scrolled

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

function addToLog(node, before = null) {
  const log = $("log");
  log.insertBefore(node, before);
  while (log.childElementCount > LOG_MAX) log.firstElementChild.remove();
  keepAtEnd();
}

// Whoever reads the newest goes on to, also when the keyboard of a phone or the members take room.
function keepAtEnd() {
  if (isAtEnd) $("log").scrollTop = $("log").scrollHeight;
}

// The end also moves away by itself, when the log becomes smaller: only who scrolls back leaves it.
function noteScroll() {
  const { scrollHeight, scrollTop, clientHeight } = $("log");
  if (scrollHeight - scrollTop - clientHeight < 40) isAtEnd = true;
  else if (scrollTop < logTop) isAtEnd = false;
  logTop = scrollTop;
}

function logEvent(text) {
  const node = element("li", "event", text);
  addToLog(node);
  return node;
}

// Binary and other JSON are shown as what they are; text as it is.
function textOf(data) {
  if (typeof data === "string") return data;
  if (data instanceof Uint8Array) return `(binary, ${data.length} bytes)`;
  return JSON.stringify(data);
}

function messageNode(data, { from, time: sent }) {
  const when = new Date(sent);
  const item = element("li", from === client.identity ? "own" : "");
  const time = element("time", "", when.toLocaleTimeString([], { timeStyle: "short" }));
  time.dateTime = when.toISOString();
  time.title = when.toLocaleString();
  item.append(
    element("span", "from", from ?? "(the server)"),
    time,
    element("p", "text", textOf(data)),
  );
  return item;
}

function showMessage(data, meta) {
  last = { epoch: meta.epoch, offset: meta.offset };
  addToLog(messageNode(data, meta));
}

// What the room has kept from before now, in its place: above a line of the log.
async function showKept(line) {
  const here = room;
  const { position } = here;
  const shown = last?.epoch === position?.epoch ? last?.offset : 0;
  if (!position) return; // it keeps nothing
  try {
    const kept = await here.history({ limit: KEPT_MAX, before: position.offset + 1 });
    if (here !== room || !line.isConnected) return;
    for (const message of kept.filter(({ offset }) => !(offset <= shown)))
      addToLog(messageNode(message.data, message), line);
  } catch {
    // The connection went; what is missing then is told when it is back.
  }
}

function showMembers() {
  const own = client.identity;
  const names = [...(room.members ?? [])].sort((a, b) => a.localeCompare(b));
  const list = $("member-list");
  list.replaceChildren(
    ...names.map((name) =>
      element("li", name === own ? "own" : "", name === own ? `${name} (you)` : name),
    ),
  );
  if (!room.members) list.append(element("li", "", "too many to list"));
  $("count").textContent = room.count;
}

// Online is who is in the room.
function showState({ state, reason }) {
  const texts = {
    connecting: "connecting…",
    open: "entering…",
    online: "online",
    waiting: "reconnecting…",
    closed: "offline",
  };
  const shown = state === "open" && room.isJoined ? "online" : state;
  $("state").dataset.state = shown;
  $("state").textContent = texts[shown];
  $("send").disabled = shown !== "online";
  if (state === "closed" && client) leave(reason || "The server ended the connection.");
}

// A connection that came back with all that was missed is nothing to tell.
function showJoined({ recovered }) {
  const before = known;
  known = client.identity;
  hindrance = null;
  showState(client);
  showMembers();
  if (recovered && known === before) return;
  if (before && !recovered) logEvent("Some messages may be missing here");
  const line = logEvent(`You are here as ${known}`);
  if (!recovered) showKept(line);
}

// It is tried again, and told once.
function showWaiting({ error }) {
  showState(client);
  if (hindrance === error.message) return;
  hindrance = error.message;
  logEvent(`Not in the room yet: ${hindrance}. Trying again…`);
}

function showLeft(reason) {
  const texts = { kicked: "You were sent out of the room.", closed: "The room was closed." };
  leave(texts[reason] ?? `You were sent out of the room: ${reason}`);
}

function showPresence({ joined, left }) {
  for (const name of joined) logEvent(`${name} came`);
  for (const name of left) logEvent(`${name} left`);
  showMembers();
}

function roomOfHash() {
  try {
    return decodeURIComponent(location.hash.slice(1));
  } catch {
    return "";
  }
}

function enter(roomName, name) {
  remember("wsock.name", name);
  location.hash = encodeURIComponent(roomName);
  $("title").textContent = roomName;
  document.title = `${roomName} · wsock chat`;
  $("log").replaceChildren();
  $("enter-error").textContent = "";
  $("enter").hidden = true;
  $("chat").hidden = false;
  client = connect("/rooms", { name });
  client.on("state", showState);
  room = client.room(roomName, { recover: true });
  last = null;
  known = null;
  hindrance = null;
  isAtEnd = true;
  room.on("joined", showJoined);
  room.on("presence", showPresence);
  room.on("message", showMessage);
  room.on("refused", (error) => leave(error.message));
  room.on("waiting", showWaiting);
  room.on("left", showLeft);
  showState(client);
  $("say").focus();
}

function leave(why) {
  const old = client;
  client = null;
  old?.close();
  showState({ state: "closed" });
  document.title = "wsock chat";
  $("chat").hidden = true;
  $("enter").hidden = false;
  $("enter-error").textContent = why || "";
  ($("room").value ? $("name") : $("room")).focus();
}

async function send() {
  const box = $("say");
  const text = box.value;
  if (!text.trim() || !client || $("send").disabled) return;
  box.value = "";
  fitBox();
  try {
    await room.publish(text);
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
  const roomName = $("room").value.trim();
  const name = $("name").value.trim();
  if (roomName && name) enter(roomName, name);
}

// Another room in the address: follow it, with the name of before.
function followHash() {
  const roomName = roomOfHash();
  $("room").value = roomName;
  if (client && roomName && roomName !== room.name) {
    leave();
    enter(roomName, remember("wsock.name"));
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
$("log").addEventListener("scroll", noteScroll);
new ResizeObserver(keepAtEnd).observe($("log"));

$("name").value = remember("wsock.name");
followHash();
($("room").value ? $("name") : $("room")).focus();
