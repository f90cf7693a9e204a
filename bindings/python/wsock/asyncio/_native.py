# SPDX-License-Identifier: MIT
"""The native server on an event loop: its handlers may be coroutine functions."""

from __future__ import annotations

import asyncio
import inspect
from collections import deque
from types import TracebackType
from typing import Any, Callable, Optional, Union

from .._asks import Ask, settle, settle_by
from .._connections import Connection, Request
from .._errors import Error, log_and_close
from .._wsock import EAGAIN, ECLOSED
from .._clusters import Node
from .._rooms import Done, Joined, Person, Room
from .._servers import Endpoint
from .._servers import Server as NativeServer
from ._loops import queue_of, spawn

# Calls of one connection that wait for the one before, until it is not read any more.
_AHEAD = 64


class _Line:
    """Coroutines of one connection, or of one room: one runs at a time, in the order of the
    events."""

    def __init__(self, server: Server, subject: Union[Connection, str]) -> None:
        self._server = server
        self._subject = subject
        self._connection = None if isinstance(subject, str) else subject
        self._waiting: deque[Any] = deque()
        self._paused = False
        self._task: Optional[asyncio.Task[None]] = None

    def add(self, coroutine: Any) -> None:
        self._waiting.append(coroutine)
        if self._task is None:
            self._task = self._server._spawn(self._run())
        elif self._connection and len(self._waiting) > _AHEAD and not self._paused:
            self._paused = True
            _quietly(self._connection.pause)

    async def _run(self) -> None:
        while self._waiting:
            coroutine = self._waiting.popleft()
            if self._connection and self._paused and len(self._waiting) < _AHEAD // 4:
                self._paused = False
                _quietly(self._connection.resume)
            try:
                await coroutine
            except Exception as error:
                self._server._failed(error, self._connection)
        self._task = None
        self._server._lines.pop(self._subject, None)


def _quietly(call: Callable[[], Any]) -> None:
    try:
        call()
    except Error:  # it is closing: nothing has to be held back any more
        pass


class AsyncEndpoint(Endpoint):
    """A path of such a server."""

    def __init__(self, server: Server, handle: Any) -> None:
        super().__init__(server, handle)
        self._server = server

    def _handler(self, name: str, fn: Any) -> Any:
        if not inspect.iscoroutinefunction(fn):
            return fn
        if name == "on_request":
            return lambda request: self._server._ask(fn, request)
        return lambda connection, *args: self._server._line(connection).add(
            fn(connection, *args))


    def _hook(self, fn: Any) -> Any:
        if not inspect.iscoroutinefunction(fn):
            return super()._hook(fn)
        return lambda ask: self._server._spawn(self._server._consult(fn, ask))


class AsyncRoom(Room):
    """A room of such a server: what is told later may be awaited."""

    async def publish_and_wait(self, data: Any, **how: Any) -> Done:
        """publish(), and wait until it is known what became of the message."""
        done: Done = await _once_of(
            self._server, lambda fn: self.publish(data, on_done=fn, **how))
        return done

    async def join_and_wait(self, conn: Connection, **how: Any) -> Optional[Joined]:
        """join(), and wait until it is known how it went."""
        told: asyncio.Future[Joined] = self._server._loop.create_future()

        def joined(_: Connection, known: Joined) -> None:
            if not told.done():
                told.set_result(known)

        if self.join(conn, on_joined=joined, **how) is None:
            return None
        how_it_went: Joined = await _patient(self._server, told)
        return how_it_went

    async def people_everywhere(self) -> list[Person]:  # type: ignore[override]
        """Who is in the room on all nodes, asked of the broker. Raises Error (WSOCK_ENOTSUP)
        without a cluster, (WSOCK_EAGAIN) when the broker is away or does not say."""
        return list(await _list_of(self._server, super().people_everywhere))


async def _patient(server: Server, told: asyncio.Future[Any]) -> Any:
    """What is told, unless the server ends before: then nobody tells any more."""
    await asyncio.wait({told, server._ended}, return_when=asyncio.FIRST_COMPLETED)
    if not told.done():
        raise Error(ECLOSED, "the server has ended")
    return told.result()


async def _once_of(server: Server, ask: Callable[[Any], Any]) -> Any:
    """What a function that is called once is told: one value."""
    told: asyncio.Future[Any] = server._loop.create_future()

    def tell(value: Any) -> None:
        if not told.done():
            told.set_result(value)

    ask(tell)
    return await _patient(server, told)


async def _list_of(server: Server, ask: Callable[[Any], Any]) -> Any:
    found, why = await _once_of(server, lambda fn: ask(lambda *told: fn(told)))
    if why:
        raise Error(EAGAIN, why)
    return found


class Server(NativeServer):
    """A `wsock.Server` on the queue of an event loop, to be made inside of it: rooms,
    timers and decorators are the same, and handlers may be coroutine functions. Those of
    one connection run one after the other, in a task of its own.

        async with Server("ws://127.0.0.1:8080") as server:

            @server.on_message("/echo")
            async def echo(connection, message):
                connection.send(message)

            await server.serve_forever()
    """

    _endpoint_class = AsyncEndpoint  # type: ignore[assignment]
    _room_class = AsyncRoom

    def __init__(self, *urls: str, **options: Any) -> None:
        self._loop = asyncio.get_running_loop()
        self._watched = queue_of(self._loop)
        self._tasks: set[asyncio.Task[None]] = set()
        self._lines: dict[Union[Connection, str], _Line] = {}
        self._error_handler: Optional[Callable[[BaseException, Any], Any]] = None
        self._ended: asyncio.Future[None] = self._loop.create_future()
        super().__init__(*urls, queue=self._watched.queue, **options)
        self._watched.watch()

    def _spawn(self, coroutine: Any) -> asyncio.Task[None]:
        return spawn(self._loop, self._tasks, coroutine)

    def _line(self, subject: Union[Connection, str]) -> _Line:
        line = self._lines.get(subject)
        if line is None:
            line = self._lines[subject] = _Line(self, subject)
        return line

    def _room_handler(self, room: str, fn: Any) -> Any:
        if not inspect.iscoroutinefunction(fn):
            return fn
        return lambda told: self._line(room).add(fn(told))

    def _once(self, fn: Any) -> Any:
        if not inspect.iscoroutinefunction(fn):
            return fn
        return lambda *told: self._spawn(self._run_once(fn(*told)))

    async def _run_once(self, coroutine: Any) -> None:
        try:
            await coroutine
        except Exception as error:
            self._failed(error, None)

    async def nodes(self) -> list[Node]:  # type: ignore[override]
        """The servers of the cluster, asked of the broker. Raises Error (WSOCK_ENOTSUP)
        without a cluster, (WSOCK_EAGAIN) when the broker is away or does not say."""
        return list(await _list_of(self, super().nodes))

    def _ask(self, fn: Any, request: Request) -> None:
        request.defer()
        self._spawn(self._answer(fn, request))

    async def _answer(self, fn: Any, request: Request) -> None:
        try:
            result = await fn(request)
            if not request.answered:
                if result is False:
                    request.reject(403)
                else:
                    request.accept()
        except Exception as error:
            self._failed(error, request)
            if not request.answered:
                _quietly(lambda: request.reject(500))

    async def _consult(self, fn: Any, ask: Ask) -> None:
        try:
            settle(ask, await fn(ask))
        except Exception as error:
            if not settle_by(ask, error):
                self._failed(error, ask)
                if not (ask.answered or ask._deferred):
                    _quietly(lambda: ask.refuse("failed", "the application failed", retry=True))

    def on_error(self, fn: Any) -> Any:
        """fn(error, subject): a handler raised; see wsock.Server.on_error."""
        self._error_handler = fn
        return super().on_error(fn)

    def _failed(self, error: BaseException, subject: Any) -> None:
        (self._error_handler or log_and_close)(error, subject)

    def _has_stopped(self) -> None:
        super()._has_stopped()
        if not self._ended.done():
            self._ended.set_result(None)

    # -- running

    def run(self) -> None:
        """There is a loop already: see serve_forever()."""
        raise TypeError("await serve_forever() in place of run()")

    async def serve_forever(self) -> None:
        """Accept connections until stop() was called and all have ended. Cancelling this
        stops it."""
        self.start()
        try:
            await asyncio.shield(self._ended)
        except asyncio.CancelledError:
            await self.wait_closed()
            raise

    async def wait_closed(self) -> None:
        """Stop, and wait until all connections and handlers have ended."""
        self.stop()
        await asyncio.shield(self._ended)
        while self._tasks:
            await asyncio.wait(self._tasks)

    async def __aenter__(self) -> Server:
        return self

    async def __aexit__(self, kind: Optional[type[BaseException]],
                        exc: Optional[BaseException],
                        trace: Optional[TracebackType]) -> None:
        await self.wait_closed()
        self._handle._drop()
        self._watched.unwatch()
