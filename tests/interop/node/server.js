// SPDX-License-Identifier: MIT
// Node's ws as the server: prints its URL, then a line for each close.
import { WebSocketServer } from 'ws';

const fragment = 1000;
const perMessageDeflate = { threshold: 0 };
const server = new WebSocketServer({ host: '127.0.0.1', port: 0, perMessageDeflate });

function sendInFragments(ws, data, binary) {
  for (let at = 0; at === 0 || at < data.length; at += fragment)
    ws.send(data.subarray(at, at + fragment), { binary, fin: at + fragment >= data.length });
}

server.on('listening', () => console.log(`ws://127.0.0.1:${server.address().port}`));
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
process.stdin.resume().on('end', () => server.close());
