import asyncio
import io
import socket
import time
import uuid
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from dynoform.configuration import Configuration
from dynoform.domain import log_lines, relp
from dynoform.journal import Journal
from dynoform.logplex.receivers import Receiver
from dynoform.logplex.server import Logplex
from dynoform.logplex_client import LogplexClient

APP = str(uuid.uuid4())
LOCAL = "127.0.0.1"
Scenario = Callable[[Logplex, int, int], Awaitable[None]]


def frame(text: str, process: str = "web.1", source: str = "app") -> bytes:
    return log_lines.frame(APP, source, process, text, datetime.now(UTC))


def serve(scenario: Scenario) -> str:
    stream = io.StringIO()

    async def everything() -> None:
        server = Logplex(Journal("logplex", stream))
        syslog, http = await server.start(LOCAL, 0, 0)
        async with asyncio.timeout(60):
            await scenario(server, syslog, http)
            await server.stop()

    asyncio.run(everything())
    return stream.getvalue()


async def send(port: int, data: bytes) -> None:
    _, writer = await asyncio.open_connection(LOCAL, port)
    writer.write(data)
    await writer.drain()
    writer.close()
    await writer.wait_closed()


async def ask(port: int, path: str, method: str = "GET") -> tuple[asyncio.StreamReader, asyncio.StreamWriter, str]:
    reader, writer = await asyncio.open_connection(LOCAL, port)
    writer.write(f"{method} {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    head = await reader.readuntil(b"\r\n\r\n")
    return reader, writer, head.decode()


async def chunk(reader: asyncio.StreamReader) -> str:
    size = int(await reader.readuntil(b"\r\n"), 16)
    return (await reader.readexactly(size + 2))[:-2].decode()


async def read(port: int, query: str) -> list[str]:
    reader, writer, _ = await ask(port, f"/apps/{APP}/lines?{query}")
    text = ""
    while piece := await chunk(reader):
        text += piece
    writer.close()
    return [line.partition(" ")[2] for line in text.splitlines()]


async def read_ids(port: int, query: str) -> list[tuple[str, str]]:
    """Ids and texts."""
    reader, writer, _ = await ask(port, f"/apps/{APP}/lines?{query}")
    text = ""
    while piece := await chunk(reader):
        text += piece
    writer.close()
    return [(line.partition(" ")[0], line.partition("]: ")[2]) for line in text.splitlines()]


def read_until(sock: socket.socket, end: bytes) -> bytes:
    text = b""
    while end not in text[-100_000:]:
        text += sock.recv(65536)
    return text


async def until(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110 - what is waited for has no event; serve() limits the time
        await asyncio.sleep(0.005)


async def filed(server: Logplex, number: int) -> None:
    await until(lambda: len(server.buffers.last(APP, 10_000)) >= number)


def test_lines_that_were_sent_can_be_read() -> None:
    async def scenario(server: Logplex, syslog: int, http: int) -> None:
        await send(syslog, frame("one") + frame("up", "web.1", "heroku") + frame("two", "worker.1"))
        await filed(server, 3)
        assert await read(http, "num=10") == ["app[web.1]: one", "heroku[web.1]: up", "app[worker.1]: two"]
        assert await read(http, "num=1") == ["app[worker.1]: two"]
        assert await read(http, "num=10&source=heroku") == ["heroku[web.1]: up"]
        assert await read(http, "num=10&source=app&dyno=web") == ["app[web.1]: one"]
        assert await read(http, "num=0") == []

    serve(scenario)


def test_a_reader_goes_on_after_the_line_that_it_read_last() -> None:
    async def scenario(server: Logplex, syslog: int, http: int) -> None:
        moment = datetime.now(UTC)  # two lines of the same moment, and one that comes late
        late = moment - timedelta(seconds=5)
        times = [moment, moment, late]
        await send(syslog, b"".join(log_lines.frame(APP, "app", "web.1", f"line {n}", t) for n, t in enumerate(times)))
        await filed(server, 3)
        run = server.buffers.run
        first = await read_ids(http, "num=1500&ids=1")
        assert first == [(f"{run}-{n}", f"line {n - 1}") for n in (1, 2, 3)]
        assert await read_ids(http, f"num=1&ids=1&after={run}-1") == first[1:]
        assert await read_ids(http, f"num=1&ids=1&after={run}-3") == []
        assert await read_ids(http, "num=1&ids=1&after=00000000-3") == first, "the log plane was started anew"
        assert await read_ids(http, "num=1&ids=1&after=nonsense") == first[2:]

    serve(scenario)


def test_a_reader_who_was_away_too_long_is_told_what_he_missed() -> None:
    async def scenario(server: Logplex, syslog: int, http: int) -> None:
        await send(syslog, b"".join(frame(f"line {number}") for number in range(1600)))
        await filed(server, 1500)
        await until(lambda: server.buffers.last(APP, 1)[0].line.endswith(b"line 1599"))
        found = await read_ids(http, f"ids=1&after={server.buffers.run}-50")
        assert found[0][0] == "-"
        assert found[0][1].startswith("Error L11 (Tail buffer overflow) -> This buffer dropped 50 messages since ")
        assert [text for _, text in found[1:]] == [f"line {number}" for number in range(100, 1600)]

    serve(scenario)


def test_a_tail_with_nothing_to_say_shows_that_it_is_alive(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dynoform.logplex.http.PULSE_SECONDS", 0.05)

    async def scenario(server: Logplex, syslog: int, http: int) -> None:
        reader, writer, _ = await ask(http, f"/apps/{APP}/lines?tail=1&ids=1")
        assert [await chunk(reader) for _ in range(3)] == ["\n", "\n", "\n"]
        await send(syslog, frame("now"))
        while (text := await chunk(reader)) == "\n":
            pass  # until the line has come
        assert text.endswith("app[web.1]: now\n")
        writer.close()

    serve(scenario)


def test_a_tail_goes_on_and_ends_when_its_reader_leaves() -> None:
    async def scenario(server: Logplex, syslog: int, http: int) -> None:
        await send(syslog, frame("old"))
        await filed(server, 1)
        reader, writer, head = await ask(http, f"/apps/{APP}/lines?tail=1&num=5")
        assert "Transfer-Encoding: chunked" in head
        assert (await chunk(reader)).endswith("app[web.1]: old\n")
        await send(syslog, frame("new"))
        assert (await chunk(reader)).endswith("app[web.1]: new\n")
        assert server.buffers._followers
        writer.close()
        await until(lambda: not server.buffers._followers)

    serve(scenario)


def test_a_reader_that_takes_nothing_holds_nobody_up() -> None:
    async def scenario(server: Logplex, syslog: int, http: int) -> None:
        sock = socket.create_connection((LOCAL, http))
        sock.sendall(f"GET /apps/{APP}/lines?tail=1&num=0 HTTP/1.1\r\n\r\n".encode())
        await until(lambda: bool(server.buffers._followers))
        for _ in range(40):
            await send(syslog, b"".join(frame("x" * 1000) for _ in range(500)))
        await filed(server, 1500)
        sock.settimeout(60)
        text = await asyncio.to_thread(
            lambda: read_until(sock, b"Error L11 (Tail buffer overflow) -> This buffer dropped ")
        )
        sock.close()
        assert len(text) < 20_000_000, "lines were dropped"

    serve(scenario)


def test_other_requests_are_answered_in_one_line() -> None:
    async def scenario(server: Logplex, syslog: int, http: int) -> None:
        cases = {"/health": "200 OK", "/": "404 Not Found", "/apps/x/lines": "404", f"/apps/{'-' * 36}/lines": "404"}
        for path, status in cases.items():
            _, writer, head = await ask(http, path)
            assert f" {status}" in head.splitlines()[0]
            writer.close()
        _, writer, head = await ask(http, "/health", "POST")
        assert head.startswith("HTTP/1.1 405")
        writer.close()

    serve(scenario)


def test_a_sender_of_noise_is_cut_off_and_others_go_on() -> None:
    async def scenario(server: Logplex, syslog: int, http: int) -> None:
        reader, writer = await asyncio.open_connection(LOCAL, syslog)
        writer.write(b"999999999 " + b"x" * 1000)
        with suppress(ConnectionError):  # a reset is as good
            assert await reader.read() == b""
        writer.close()
        await send(syslog, b"8 nonsense" + frame("fine"))
        await filed(server, 1)
        assert server.unreadable == 1

    assert "warning logplex" in serve(scenario)


def test_a_stop_reads_what_was_sent_before_it() -> None:
    async def scenario(server: Logplex, syslog: int, http: int) -> None:
        reader, writer = await asyncio.open_connection(LOCAL, syslog)
        writer.write(frame("first"))
        await filed(server, 1)
        writer.write(b"".join(frame(f"line {n}") for n in range(1000)))
        stopping = asyncio.create_task(server.stop())
        assert await reader.read() == b""  # the half-close tells the sender to stop
        writer.close()
        await stopping
        assert server.buffers.last(APP, 1)[0].line.endswith(b"line 999")

    serve(scenario)


def client(port: int, limit: int = 100) -> LogplexClient:
    configuration = replace(Configuration.from_environment({}), platform_address=LOCAL)
    return LogplexClient(configuration, limit=limit, port=port)


def test_the_client_delivers_and_finds_the_log_plane_again() -> None:
    async def scenario(server: Logplex, syslog: int, http: int) -> None:
        sender = client(syslog)
        sender.line(APP, "heroku", "web.1", "State changed from starting to up")
        await filed(server, 1)
        for receiver in [*server.receivers]:
            assert receiver.transport is not None
            receiver.transport.abort()
        await asyncio.sleep(0.05)
        sender.line(APP, "app", "api", "two\nlines")
        await filed(server, 3)
        await asyncio.to_thread(sender.close)
        assert await read(http, "num=9") == [
            "heroku[web.1]: State changed from starting to up", "app[api]: two", "app[api]: lines"
        ]  # fmt: skip

    serve(scenario)


def test_lines_whose_acknowledgement_is_lost_are_kept_once() -> None:
    async def scenario(server: Logplex, syslog: int, http: int) -> None:
        def hang_up(self: Receiver, frames: list[relp.Frame]) -> None:
            server.receive_all([frame.data for frame in frames if frame.command == relp.SYSLOG], self._session)
            assert self.transport is not None
            self.transport.abort()

        sender = client(syslog)
        for number in range(1, 4):
            sender.line(APP, "heroku", "web.1", f"acknowledged {number}")
            await filed(server, 2 * number - 1)
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(Receiver, "_take", hang_up)
                sender.line(APP, "heroku", "web.1", f"unacknowledged {number}")
                await filed(server, 2 * number)
        sender.line(APP, "heroku", "web.1", "end")
        await until(lambda: server.buffers.last(APP, 1)[0].line.endswith(b"end"))
        texts = [line.decode().partition("]: ")[2] for _, line in server.buffers.last(APP, 1_500)]
        assert texts == [*(f"{word} {n}" for n in range(1, 4) for word in ("acknowledged", "unacknowledged")), "end"]
        await asyncio.to_thread(sender.close)

    serve(scenario)


def test_the_client_never_waits_and_keeps_the_newest_lines() -> None:
    with socket.socket() as nobody:
        nobody.bind((LOCAL, 0))
        sender = client(nobody.getsockname()[1], limit=10)
        started = time.monotonic()
        for number in range(1000):
            sender.line(APP, "heroku", "web.1", f"line {number}")
        assert time.monotonic() - started < 10
        assert sender.dropped >= 900
        sender.close(seconds=0)
