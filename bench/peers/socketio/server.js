// SPDX-License-Identifier: MIT
// The room of Socket.IO over several nodes: socketio.js PORT REDIS-URL. Only WebSockets,
// without compression; everybody is in one room.
import { createServer } from 'node:http';
import { createAdapter } from '@socket.io/redis-adapter';
import { createClient } from 'redis';
import { Server } from 'socket.io';

const [port, url] = process.argv.slice(2);
const publisher = createClient({ url });
const subscriber = publisher.duplicate();
await Promise.all([publisher.connect(), subscriber.connect()]);

const http = createServer();
const io = new Server(http, {
  adapter: createAdapter(publisher, subscriber),
  transports: ['websocket'],
  perMessageDeflate: false,
  httpCompression: false,
});
io.on('connection', (socket) => {
  socket.join('all');
  socket.on('m', (data) => io.to('all').emit('m', data));
});
http.listen(Number(port), '127.0.0.1', () => console.log('ready'));
