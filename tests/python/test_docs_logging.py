# SPDX-License-Identifier: MIT
"""The guide of `websockets` to logs: formats, adapters, JSON, silence, and what each level has."""
import asyncio
import io
import json
import logging

import pytest

from programs import at, run, running, script
from wsock.asyncio.client import connect
from wsock.asyncio.server import broadcast, serve
from wsock.exceptions import ConnectionClosed, InvalidStatus
from wsock.sync import client as sync_client
from wsock.sync import server as sync_server


async def echo(websocket):
    async for message in websocket:
        await websocket.send(message)


async def visit(logger=None, path="/", handler=echo, **arguments):
    async with serve(handler, "localhost", 0, logger=logger, **arguments) as server:
        headers = {"X-Forwarded-For": "192.0.2.1"}
        async with connect(at(server, path), additional_headers=headers) as websocket:
            try:
                await websocket.send("x")
                await websocket.recv()
            except ConnectionClosed:
                pass


class Telling(logging.LoggerAdapter):
    """Says which connection it is, and whose, as far as that is known."""

    def process(self, text, arguments):
        websocket = arguments.get("extra", {}).get("websocket")
        if websocket is None:
            return text, arguments
        seen.append(websocket)
        if websocket.request is None:
            return text, arguments
        forwarded = websocket.request.headers.get("X-Forwarded-For")
        return f"{websocket.id} {forwarded} {text}", arguments


seen = []


def test_a_format_with_the_time_and_the_text():
    with script("""
        import asyncio, logging
        from wsock.asyncio.client import connect
        from wsock.asyncio.server import serve

        logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s", level=logging.INFO)

        async def nothing(websocket):
            pass

        async def main():
            async with serve(nothing, "127.0.0.1", 0) as server:
                uri = "ws://127.0.0.1:%d" % server.sockets[0].getsockname()[1]
                async with connect(uri) as websocket:
                    await websocket.wait_closed()

        asyncio.run(main())
    """) as program:
        lines = program.end().splitlines()
    assert all(line[:2] == "20" and line[23:].split()[0] in ("INFO", "WARNING")
               for line in lines), lines
    told = [line.split(" INFO ")[1] for line in lines if " INFO " in line]
    assert told[0].startswith("server listening on 127.0.0.1:")
    assert sorted(told[1:]) == ["connection closed", "connection open", "server closed",
                                "server closing"]


def test_records_have_the_connection(caplog):
    with caplog.at_level(logging.INFO, "wsock.server"):
        run(visit())
    records = {record.message: record for record in caplog.records}
    opened, closed = records["connection open"], records["connection closed"]
    assert opened.websocket is closed.websocket
    assert opened.websocket.remote_address[0] in ("127.0.0.1", "::1")
    assert not hasattr(records["server closing"], "websocket")


@pytest.mark.parametrize("kind", ["asyncio", "sync"])
def test_an_adapter_tells_who_it_is(caplog, kind):
    async def handler(websocket):
        websocket.logger.info("handled")

    def handler_now(websocket):
        websocket.logger.info("handled")

    seen.clear()
    logger = Telling(logging.getLogger("mine"), None)
    with caplog.at_level(logging.INFO, "mine"):
        if kind == "asyncio":
            run(visit(logger, handler=handler))
        else:
            with running(sync_server.serve(handler_now, "localhost", 0,
                                           logger=logger)) as server:
                headers = {"X-Forwarded-For": "192.0.2.1"}
                with sync_client.connect(at(server), additional_headers=headers) as websocket:
                    websocket.wait_closed()
    told = [record.message for record in caplog.records if record.name == "mine"]
    for text in ("connection open", "handled", "connection closed"):
        assert f"{seen[0].id} 192.0.2.1 {text}" in told
    assert "server closing" in told and len({websocket.id for websocket in seen}) == 1


class AsJson(logging.Formatter):
    def format(self, record):
        event = {"message": record.getMessage(), "level": record.levelname,
                 "logger": record.name, **getattr(record, "event_data", {})}
        if record.exc_info:
            event["exc_info"] = self.formatException(record.exc_info)
        return json.dumps(event)


class WithData(logging.LoggerAdapter):
    def process(self, text, arguments):
        websocket = arguments.get("extra", {}).get("websocket")
        if websocket is not None:
            data = {"connection": str(websocket.id)}
            if websocket.request is not None:
                data["client"] = websocket.request.headers.get("X-Forwarded-For")
            arguments["extra"]["event_data"] = data
        return text, arguments


def test_logs_in_json():
    async def fail(websocket):
        raise LookupError("as planned")

    stream = io.StringIO()
    output = logging.StreamHandler(stream)
    output.setFormatter(AsJson())
    logger = logging.getLogger("mine.json")
    logger.addHandler(output)
    logger.setLevel(logging.INFO)
    logger.propagate = False
    run(visit(WithData(logger, None), handler=fail))
    events = [json.loads(line) for line in stream.getvalue().splitlines()]
    failed, = [event for event in events if event["level"] == "ERROR"]
    assert failed["message"] == "connection handler failed"
    assert failed["client"] == "192.0.2.1" and len(failed["connection"]) == 36
    assert failed["exc_info"].endswith("LookupError: as planned")
    assert {event["logger"] for event in events} == {"mine.json"}


SILENCE = {
    "a handler that does nothing": 'getLogger("wsock").addHandler(logging.NullHandler())',
    "no propagation": 'getLogger("wsock").propagate = False; '
                      'logging.getLogger("wsock").addHandler(logging.NullHandler())',
    "a level": 'getLogger("wsock").setLevel(logging.CRITICAL)',
    "nothing": "captureWarnings(False)",
}


@pytest.mark.parametrize("how", SILENCE)
def test_silence(how):
    """Where nothing else is said, warnings and errors go to stderr."""
    text = """
        import asyncio, logging
        from wsock.asyncio.client import connect
        from wsock.asyncio.server import serve

        {root}
        logging.{silence}

        async def fail(websocket):
            raise LookupError("as planned")

        async def main():
            async with serve(fail, "127.0.0.1", 0) as server:
                uri = "ws://127.0.0.1:%d" % server.sockets[0].getsockname()[1]
                async with connect(uri) as websocket:
                    await websocket.wait_closed()

        asyncio.run(main())
    """
    root = "logging.basicConfig()" if how == "no propagation" else ""
    with script(text.format(root=root, silence=SILENCE[how])) as program:
        told = program.end()
    if how == "nothing":
        assert "connection handler failed" in told and "LookupError: as planned" in told
    else:
        assert told == ""


# -- levels


def boom(*_):
    raise LookupError("as planned")


@pytest.mark.parametrize("arguments, text", [
    ({"handler": boom}, "connection handler failed"),
    ({"process_request": boom}, "opening handshake failed"),
    ({"process_response": boom}, "opening handshake failed"),
    ({"subprotocols": ["a"], "select_subprotocol": boom}, "opening handshake failed"),
])
def test_errors(caplog, arguments, text):
    async def main():
        try:
            await visit(**arguments)
        except InvalidStatus as refused:
            assert refused.response.status_code == 500 and "opening" in text

    with caplog.at_level(logging.INFO, "wsock.server"):
        run(main())
    errors = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert [(record.message, record.exc_info[0]) for record in errors] == [(text, LookupError)]


def test_warnings_of_broadcasts(caplog):
    """A peer that reads nothing misses what is beyond what may wait for it."""
    async def stay(websocket):
        await websocket.wait_closed()

    async def main():
        async with serve(stay, "127.0.0.1", 0, compression=None, close_timeout=0.1) as server:
            async with connect(at(server), max_queue=1, close_timeout=0.1):
                # Sockets take a few MiB, what may wait takes 4.
                for _ in range(64):
                    broadcast(server.connections, bytes(2**20))

    with caplog.at_level(logging.WARNING, "wsock.server"):
        run(main())
    warned = [record for record in caplog.records
              if record.message.startswith("skipped broadcast: ")]
    assert warned and {record.levelno for record in caplog.records} == {logging.WARNING}
    assert hasattr(warned[0], "websocket")


def test_clients_that_reconnect_say_so(caplog):
    async def main():
        async with serve(echo, "localhost", 0) as server:
            uri = at(server)
        async for _ in connect(uri, reconnect_delays=lambda: iter([0.01])):
            raise AssertionError("nobody is there")

    with caplog.at_level(logging.INFO, "wsock.client"):
        with pytest.raises(OSError):
            run(main())
    assert [(record.name, record.levelname) for record in caplog.records
            if "reconnecting in 0.0 seconds" in record.message] == [("wsock.client", "INFO")]
