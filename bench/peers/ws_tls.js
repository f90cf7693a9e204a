// SPDX-License-Identifier: MIT
// The echo of Node's ws over TLS: ws_tls.js PORT FILE, which has the chain and the key.
import { readFileSync } from 'node:fs';
import { createServer } from 'node:https';
import { WebSocketServer } from 'ws';

const [port, file] = process.argv.slice(2);
const pem = readFileSync(file);
const https = createServer({ cert: pem, key: pem });
const server = new WebSocketServer({ server: https, perMessageDeflate: false });

server.on('connection', (ws) => {
  ws.on('message', (data, binary) => ws.send(data, { binary }));
});
https.listen(Number(port), '127.0.0.1', () => console.log('ready'));
