// SPDX-License-Identifier: MIT
// Node's ws as the client: client.js URL. Ends with status 1 at the first surprise.
import assert from 'node:assert';
import { once } from 'node:events';
import WebSocket from 'ws';

const texts = ['', 'Hello', 'κόσμε ☃ 😀 übung', '€'.repeat(1000)];
const sizes = [0, 1, 125, 126, 65535, 65536, 300000];
const fragments = ['frag', 'mént', 'éd ☃'];
const closes = [[1000, 'bye'], [4001, 'see you ☃']];
const url = process.argv[2];

const block = (size) => Buffer.from(Array.from({ length: size }, (_, i) => (i * 7 + 255) % 256));

async function expectEcho(ws, sent, isBinary, what) {
  const [back, backIsBinary] = await once(ws, 'message');
  assert.strictEqual(backIsBinary, isBinary, what);
  assert.ok(Buffer.from(sent).equals(back), `${what}: another echo`);
  console.log('ok', what);
}

async function echoes(ws) {
  for (const text of texts) {
    ws.send(text);
    await expectEcho(ws, text, false, `text of ${text.length} units`);
  }
  for (const size of sizes) {
    ws.send(block(size));
    await expectEcho(ws, block(size), true, `binary of ${size} bytes`);
  }
  fragments.forEach((part, i) => ws.send(part, { fin: i === fragments.length - 1 }));
  await expectEcho(ws, fragments.join(''), false, 'text in three fragments');
}

async function main() {
  for (const [code, reason] of closes) {
    const ws = new WebSocket(`${url}/echo`);
    await once(ws, 'open');
    await echoes(ws);
    ws.ping('are you there');
    const [payload] = await once(ws, 'pong');
    assert.strictEqual(payload.toString(), 'are you there');
    console.log('ok ping');
    ws.close(code, reason);
    const [gotCode, gotReason] = await once(ws, 'close');
    assert.strictEqual(gotCode, code);
    assert.ok(['', reason].includes(gotReason.toString()));
    console.log('ok close', code);
  }
  const pinged = new WebSocket(`${url}/ping`);
  await expectEcho(pinged, 'pong libwsock', false, 'answer to a ping');
  pinged.close();
  const [code, reason] = await once(new WebSocket(`${url}/close`), 'close');
  assert.deepStrictEqual([code, reason.toString()], [4001, 'asked']);
  console.log('ok close by the server');
}

setTimeout(() => { console.log('no answer in 60 s'); process.exit(1); }, 60000).unref();
await main();
