// SPDX-License-Identifier: MIT
// The echo and the fan-out of Node's ws, without compression: ws_plain.js PORT echo|room.
import { WebSocketServer } from 'ws';

const [port, what] = process.argv.slice(2);
const server = new WebSocketServer({ host: '127.0.0.1', port: Number(port) });

server.on('connection', (ws) => {
  ws.on('message', (data, binary) => {
    if (what === 'echo') {
      ws.send(data, { binary });
      return;
    }
    for (const member of server.clients) {
      member.send(data, { binary });
    }
  });
});
server.on('listening', () => console.log('ready'));
