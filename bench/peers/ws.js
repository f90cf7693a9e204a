// SPDX-License-Identifier: MIT
// The compressed echo of Node's ws: ws.js PORT LEVEL MEMORY_LEVEL. Keeps what the client's
// offer lets it keep of its own context, and nothing of the client's.
import { WebSocketServer } from 'ws';

const [port, level, memLevel] = process.argv.slice(2).map(Number);
const server = new WebSocketServer({
  host: '127.0.0.1',
  port,
  perMessageDeflate: {
    clientNoContextTakeover: true,
    threshold: 0,
    zlibDeflateOptions: { level, memLevel },
  },
});

server.on('connection', (ws) => {
  ws.on('message', (data, binary) => ws.send(data, { binary }));
});
server.on('listening', () => console.log('ready'));
