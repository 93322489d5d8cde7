"""The gate for held requests: who waits, who is told what, who is woken."""

import asyncio
import threading
import uuid
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from dynoform.domain.routes import CustomDomain, RoutedApp, Routes, WebDyno, compute
from dynoform.errors import UnavailableError
from dynoform.journal import Journal
from dynoform.router import gate as module
from dynoform.router.gate import Gate, answers
from tests.postgres import free_port

SHOP, BLOG = uuid.UUID(int=1), uuid.UUID(int=2)


@pytest.fixture(autouse=True)
def wakes_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """An app is not told to wake again only because the test takes its time."""
    monkeypatch.setattr(module, "WAKE_SECONDS", 300.0)


def routes(*dynos: WebDyno, maintenance: bool = False) -> Routes:
    apps = [RoutedApp(SHOP, "shop", maintenance), RoutedApp(BLOG, "blog")]
    return compute(apps, dynos, "localhost", [CustomDomain("www.example.com", SHOP)])


def dyno(state: str, number: int = 1) -> WebDyno:
    port = 20000 + number if state == "up" else None
    return WebDyno(uuid.UUID(int=number), SHOP, number, state, "172.29.0.1" if port else None, port)


def test_what_held_requests_are_told() -> None:
    def told(found: Routes, app: uuid.UUID = SHOP) -> tuple[str, ...]:
        return answers(found.apps.get(app))

    assert (told(routes(dyno("idle"))), told(routes(), BLOG), told(routes(), uuid.uuid4())) == ((), ("H14",), ("H14",))
    assert told(routes(dyno("up"), dyno("up", 2))) == ("up 172.29.0.1 20001 web.1", "up 172.29.0.1 20002 web.2")
    assert told(routes(dyno("crashed"))) == ("H10",)
    assert told(routes(dyno("up"), maintenance=True)) == ("H80",)


class Asker:
    """HAProxy's side."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / module.SOCKET

    async def ask(self, app: object, state: str = "") -> str:
        reader, writer = await asyncio.open_unix_connection(self.path)
        writer.write(f"{app} {state}\n".encode())
        try:
            return (await reader.readline()).decode().strip()
        finally:
            writer.close()


async def until(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110 - what is waited for has no event; scenario() limits the time
        await asyncio.sleep(0.005)


async def waiting(gate: Gate, number: int, app: uuid.UUID = SHOP) -> None:
    """Until so many requests of an app wait."""
    await until(lambda: len(gate._waiting.get(str(app), ())) == number)


def scenario(folder: Path, gate: Gate, play: Callable[[Asker], Awaitable[None]]) -> None:
    async def run() -> None:
        async with asyncio.timeout(60):
            await gate.start(folder)
            assert gate._server is not None
            async with gate._server:
                await play(Asker(folder))

    asyncio.run(run())


def test_requests_wait_until_a_dyno_takes_traffic_and_wake_their_app_once(tmp_path: Path) -> None:
    woken: list[uuid.UUID] = []
    gate = Gate(woken.append, Journal("router-agent"))

    async def play(haproxy: Asker) -> None:
        first = [asyncio.ensure_future(haproxy.ask(SHOP)) for _ in range(3)]  # before the first routes are known
        await waiting(gate, 3)
        await until(lambda: woken == [SHOP])
        gate.tell(routes(dyno("starting")))
        await asyncio.sleep(0.1)
        assert not any(one.done() for one in first)
        gate.tell(routes(dyno("up")))
        assert await asyncio.gather(*first) == ["up 172.29.0.1 20001 web.1"] * 3
        assert await haproxy.ask(SHOP) == "up 172.29.0.1 20001 web.1"
        assert await haproxy.ask(BLOG) == "H14"

    scenario(tmp_path, gate, play)
    assert woken == [SHOP]


def test_an_app_that_goes_to_sleep_again_is_woken_again(tmp_path: Path) -> None:
    woken: list[uuid.UUID] = []
    gate = Gate(woken.append, Journal("router-agent"))

    async def play(haproxy: Asker) -> None:
        for turn in (1, 2):
            gate.tell(routes(dyno("idle")))
            asked = asyncio.ensure_future(haproxy.ask(SHOP))
            await until(lambda expected=[SHOP] * turn: woken == expected)  # type: ignore[misc]
            gate.tell(routes(dyno("up")))
            assert (await asked).startswith("up ")

    scenario(tmp_path, gate, play)


def test_who_waits_too_long_or_for_what_is_gone_is_told(tmp_path: Path) -> None:
    gate = Gate(lambda app: None, Journal("router-agent"), seconds=0.2)

    async def play(haproxy: Asker) -> None:
        gate.tell(routes(dyno("idle")))
        assert await haproxy.ask(SHOP) == "H20"
        gate._seconds = 60
        asked = asyncio.ensure_future(haproxy.ask(SHOP))
        await waiting(gate, 1)
        gate.tell(compute([], [], "localhost", []))
        assert await asked == "H14"
        assert await haproxy.ask("nonsense") == ""

    scenario(tmp_path, gate, play)


def test_no_more_wait_than_there_is_room_for_and_who_leaves_makes_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST", 1)
    gate = Gate(lambda app: None, Journal("router-agent"))

    async def play(haproxy: Asker) -> None:
        gate.tell(routes(dyno("idle")))
        leaving = asyncio.ensure_future(haproxy.ask(SHOP))
        await waiting(gate, 1)
        assert await haproxy.ask(SHOP) == "H11"
        leaving.cancel()
        await waiting(gate, 0)
        staying = asyncio.ensure_future(haproxy.ask(SHOP))
        await waiting(gate, 1)
        gate.tell(routes(dyno("up")))
        assert (await staying).startswith("up ")

    scenario(tmp_path, gate, play)


def test_a_store_that_is_away_is_asked_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    woken: list[uuid.UUID] = []
    done = threading.Event()

    def wake(app: uuid.UUID) -> None:
        woken.append(app)
        if len(woken) < 3:
            raise UnavailableError("store", "the database does not answer")
        done.set()

    gate = Gate(wake, Journal("router-agent"))

    async def play(haproxy: Asker) -> None:
        gate.tell(routes(dyno("idle")))
        asked = asyncio.ensure_future(haproxy.ask(SHOP))
        assert await asyncio.to_thread(done.wait, 50)
        gate.tell(routes(dyno("up")))
        assert (await asked).startswith("up ")

    scenario(tmp_path, gate, play)
    assert capsys.readouterr().out.count(f"app cannot be woken app={SHOP}") == 2


def listening(port: int) -> Awaitable[asyncio.Server]:
    return asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", port)


def test_dynos_that_are_down_are_tried_until_one_is_there(tmp_path: Path) -> None:
    gate = Gate(lambda _: None, Journal("router-agent"))
    port = free_port()
    up = WebDyno(uuid.UUID(int=1), SHOP, 1, "up", "127.0.0.1", port)

    async def play(haproxy: Asker) -> None:
        gate.tell(routes(up))
        assert await haproxy.ask(SHOP) == f"up 127.0.0.1 {port} web.1", "it is not known to be down"
        asked = [asyncio.ensure_future(haproxy.ask(SHOP, module.DOWN)) for _ in range(3)]
        await waiting(gate, 3)
        await asyncio.sleep(0.5)
        gate.tell(routes(up))
        await asyncio.sleep(0.1)
        assert not any(one.done() for one in asked)
        async with await listening(port):
            assert await asyncio.gather(*asked) == [f"up 127.0.0.1 {port} web.1"] * 3

    scenario(tmp_path, gate, play)


def test_who_waits_for_dynos_that_are_down_is_told_of_others_and_of_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = Gate(lambda _: None, Journal("router-agent"))
    monkeypatch.setattr(module, "MOST", 1)
    nobody = [WebDyno(uuid.UUID(int=number), SHOP, number, "up", "127.0.0.1", free_port()) for number in (1, 2)]

    async def play(haproxy: Asker) -> None:
        gate.tell(routes(*nobody))
        first, second = (asyncio.ensure_future(haproxy.ask(SHOP, module.DOWN)) for _ in range(2))
        await waiting(gate, 2)
        assert await haproxy.ask(SHOP, module.DOWN) == "H11", "one for each dyno"
        gate.tell(routes(dyno("crashed")))
        assert {await first, await second} == {"H10"}
        gate._seconds = 0.5
        gate.tell(routes(nobody[0]))
        assert await haproxy.ask(SHOP, module.DOWN) == "H99"

    scenario(tmp_path, gate, play)
