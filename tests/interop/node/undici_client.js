// SPDX-License-Identifier: MIT
// undici, which is Node's own WebSocket, as the client: undici_client.js URL. Has no pings and
// no fragments to send. Ends with status 1 at the first surprise.
import assert from 'node:assert';
import { WebSocket } from 'undici';
import { binaries, closes, row, texts } from './cases.js';

const url = process.argv[2];

// The next event of this name; an end that nobody awaits is a surprise.
const next = (ws, name) => new Promise((resolve, reject) => {
  ws.addEventListener(name, resolve, { once: true });
  ws.addEventListener('close', () => reject(new Error('the connection ended')), { once: true });
});

// With the messages that came, so that none is missed however many come at once.
function connect(path) {
  const ws = new WebSocket(url + path);
  ws.binaryType = 'arraybuffer';
  ws.came = [];
  ws.addEventListener('message', ({ data }) => ws.came.push(data));
  return ws;
}

async function expectEcho(ws, sent, what) {
  while (ws.came.length === 0)
    await next(ws, 'message');
  const back = ws.came.shift();
  if (typeof sent === 'string')
    assert.strictEqual(back, sent, what);
  else
    assert.ok(sent.equals(Buffer.from(back)), `${what}: another echo`);
  console.log('ok', what);
}

async function echoes(ws) {
  for (const text of texts) {
    ws.send(text);
    await expectEcho(ws, text, `text of ${text.length} units`);
  }
  for (const binary of binaries) {
    ws.send(binary);
    await expectEcho(ws, binary, `binary of ${binary.length} bytes`);
  }
  for (const text of row)
    ws.send(text);
  for (const text of row)
    await expectEcho(ws, text, text);
}

async function main() {
  for (const [code, reason] of closes) {
    const ws = connect('/echo');
    await next(ws, 'open');
    await echoes(ws);
    ws.close(code, reason);
    const end = await next(ws, 'close');
    assert.strictEqual(end.code, code);
    assert.ok(['', reason].includes(end.reason));
    console.log('ok close', code);
  }
  const pinged = connect('/ping');
  await expectEcho(pinged, 'pong libwsock', 'answer to a ping');
  pinged.close();
  const { code, reason } = await next(connect('/close'), 'close');
  assert.deepStrictEqual([code, reason], [4001, 'asked']);
  console.log('ok close by the server');
}

setTimeout(() => { console.log('no answer in 60 s'); process.exit(1); }, 60000).unref();
await main();
