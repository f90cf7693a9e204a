// SPDX-License-Identifier: MIT
// Node's ws as the server: prints its URL, then a line for each close. INTEROP_TLS names a
// file with a certificate and its key, to speak TLS.
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { createServer as createSecureServer } from 'node:https';
import { WebSocketServer } from 'ws';

const fragment = 1000;
const perMessageDeflate = { threshold: 0 };
const file = process.env.INTEROP_TLS;
const pem = file && readFileSync(file);
const listener = file ? createSecureServer({ cert: pem, key: pem }) : createServer();
const server = new WebSocketServer({ server: listener, perMessageDeflate });

function sendInFragments(ws, data, binary) {
  for (let at = 0; at === 0 || at < data.length; at += fragment)
    ws.send(data.subarray(at, at + fragment), { binary, fin: at + fragment >= data.length });
}

listener.listen(0, '127.0.0.1', () =>
  console.log(`${file ? 'wss' : 'ws'}://127.0.0.1:${listener.address().port}`));
server.on('connection', (ws, request) => {
  ws.on('message', (data, binary) => {
    if (request.url === '/fragments')
      sendInFragments(ws, data, binary);
    else
      ws.send(data, { binary });
  });
  ws.on('pong', (payload) => ws.send(`pong ${payload}`));
  ws.on('close', (code, reason) => console.log('close', code, reason.toString()));
  if (request.url === '/ping')
    ws.ping('libwsock');
  else if (request.url === '/close')
    ws.close(4001, 'asked');
});
// The program ends by itself, once the last connection has told its close.
process.stdin.resume().on('end', () => listener.close());
