// SPDX-License-Identifier: MIT
// Node's ws as the client: client.js URL. Ends with status 1 at the first surprise.
import assert from 'node:assert';
import { on, once } from 'node:events';
import WebSocket from 'ws';
import { binaries, closes, fragments, row, texts } from './cases.js';

const url = process.argv[2];

// With the messages that came, so that none is missed however many come at once.
function connect(path) {
  const ws = new WebSocket(url + path, { perMessageDeflate: { threshold: 0 } });
  ws.messages = on(ws, 'message', { close: ['close'] });
  return ws;
}

async function expectEcho(ws, sent, isBinary, what) {
  const { value, done } = await ws.messages.next();
  assert.ok(!done, `${what}: the connection ended`);
  const [back, backIsBinary] = value;
  assert.strictEqual(backIsBinary, isBinary, what);
  assert.ok(Buffer.from(sent).equals(back), `${what}: another echo`);
  console.log('ok', what);
}

async function echoes(ws) {
  for (const text of texts) {
    ws.send(text);
    await expectEcho(ws, text, false, `text of ${text.length} units`);
  }
  for (const binary of binaries) {
    ws.send(binary);
    await expectEcho(ws, binary, true, `binary of ${binary.length} bytes`);
  }
  for (const text of row)
    ws.send(text);
  for (const text of row)
    await expectEcho(ws, text, false, text);
  fragments.forEach((part, i) => ws.send(part, { fin: i === fragments.length - 1 }));
  await expectEcho(ws, fragments.join(''), false, 'text in three fragments');
}

async function main() {
  for (const [code, reason] of closes) {
    const ws = connect('/echo');
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
  const pinged = connect('/ping');
  await expectEcho(pinged, 'pong libwsock', false, 'answer to a ping');
  pinged.close();
  const [code, reason] = await once(connect('/close'), 'close');
  assert.deepStrictEqual([code, reason.toString()], [4001, 'asked']);
  console.log('ok close by the server');
}

setTimeout(() => { console.log('no answer in 60 s'); process.exit(1); }, 60000).unref();
await main();
