"""The rendezvous relay on the loopback, over real TLS."""

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from dynoform.domain import rendezvous
from dynoform.errors import ConfigurationError
from dynoform.journal import Journal
from dynoform.router import rendezvous as relay_module
from dynoform.router.rendezvous import Relay
from tests.integration.certificates import Authority

LOCAL = "127.0.0.1"
SECRET = "s" * rendezvous.SECRET_LENGTH
Side = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Sides:
    """Makes clients and dynos' sides of one relay."""

    def __init__(self, relay: Relay, outer: int, inner: int, authority: Authority) -> None:
        self.relay, self.outer, self.inner = relay, outer, inner
        self.context = ssl.create_default_context(cadata=authority.pem.decode())
        self._made: list[asyncio.StreamWriter] = []

    async def client(self, hello: bytes = SECRET.encode() + b"\r\n") -> Side:
        reader, writer = await asyncio.open_connection(LOCAL, self.outer, ssl=self.context)
        writer.write(hello)
        self._made.append(writer)
        return reader, writer

    async def dyno(self, secret: str = SECRET) -> Side:
        reader, writer = await asyncio.open_connection(LOCAL, self.inner)
        writer.write(f"{rendezvous.digest(secret)}\n".encode())
        self._made.append(writer)
        return reader, writer

    async def close(self) -> None:
        for writer in self._made:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()


@pytest.fixture
def relayed(tmp_path: Path) -> Callable[[Callable[[Sides], Awaitable[None]]], None]:
    """Run a scenario with a relay."""
    authority = Authority()
    pem = tmp_path / "router.pem"
    pem.write_bytes(b"".join(authority.issue("router", LOCAL)))

    wrong: list[dict[str, Any]] = []

    async def play(scenario: Callable[[Sides], Awaitable[None]]) -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, seen: wrong.append(seen))
        relay = Relay(Journal("test"), meeting_seconds=60)
        outer, inner = await relay.start(([LOCAL], 0), (LOCAL, 0), pem)
        sides = Sides(relay, outer, inner, authority)
        try:
            async with asyncio.timeout(60):
                await scenario(sides)
        finally:
            await sides.close()
            relay.stop()
        assert relay._waiting == 0
        if others := asyncio.all_tasks() - {asyncio.current_task()}:
            await asyncio.wait(others, timeout=60)
        assert wrong == []

    return lambda scenario: asyncio.run(play(scenario))


Relayed = Callable[[Callable[[Sides], Awaitable[None]]], None]


@pytest.mark.parametrize("dyno_first", [True, False])
@pytest.mark.parametrize("end", [b"\r\n", b""])
def test_both_sides_meet_whoever_comes_first(relayed: Relayed, dyno_first: bool, end: bytes) -> None:
    async def scenario(sides: Sides) -> None:
        if dyno_first:
            dyno = await sides.dyno()
            client = await sides.client(SECRET.encode() + end)
        else:
            client = await sides.client(SECRET.encode() + end)
            dyno = await sides.dyno()
        assert await client[0].read(100) == rendezvous.GREETING
        assert await dyno[0].readexactly(1) == rendezvous.MET
        client[1].write(b"input")
        assert await dyno[0].readexactly(5) == b"input"
        dyno[1].write(b"x" * 1_000_000)
        dyno[1].close()
        assert await client[0].read() == b"x" * 1_000_000

    relayed(scenario)


def test_the_other_side_hears_of_a_client_that_goes(relayed: Relayed) -> None:
    async def scenario(sides: Sides) -> None:
        dyno, client = await sides.dyno(), await sides.client()
        assert await client[0].read(100) == rendezvous.GREETING
        client[1].close()
        assert await dyno[0].read() == rendezvous.MET

    relayed(scenario)


def test_a_client_hears_of_a_dyno_that_goes_while_it_is_greeted(relayed: Relayed) -> None:
    async def scenario(sides: Sides) -> None:
        dyno, client = await sides.dyno(), await sides.client()
        assert await client[0].read(100) == rendezvous.GREETING
        dyno[1].close()
        assert await client[0].read() == b""

    relayed(scenario)


def test_a_secret_that_is_wrong_or_used_is_not_greeted(relayed: Relayed) -> None:
    async def scenario(sides: Sides) -> None:
        dyno, client = await sides.dyno(), await sides.client()
        assert await client[0].read(100) == rendezvous.GREETING
        assert await dyno[0].readexactly(1) == rendezvous.MET
        sides.relay.meeting_seconds = 0.1
        second = await sides.client()
        assert await second[0].read() == b""
        wrong = await sides.client(b"w" * rendezvous.SECRET_LENGTH)
        assert await wrong[0].read() == b""
        dyno[1].write(b"still mine")
        assert await client[0].readexactly(10) == b"still mine"
        dyno[1].close()
        await client[0].read()
        again = await sides.client()
        assert await again[0].read() == b""

    relayed(scenario)


def test_a_client_that_says_too_little_is_hung_up_on(relayed: Relayed, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(sides: Sides) -> None:
        monkeypatch.setattr(relay_module, "HELLO_SECONDS", 0.1)
        for hello in (b"", b"short\r\n"):
            client = await sides.client(hello)
            with suppress(ConnectionResetError):  # what it says may come when nobody reads it any more
                assert await client[0].read() == b""

    relayed(scenario)


def test_a_client_whose_dyno_does_not_come_is_hung_up_on(relayed: Relayed) -> None:
    async def scenario(sides: Sides) -> None:
        sides.relay.meeting_seconds = 0.1
        client = await sides.client()
        assert await client[0].read() == b""

    relayed(scenario)


def test_an_attachment_without_a_byte_for_an_hour_ends(relayed: Relayed, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(sides: Sides) -> None:
        dyno, client = await sides.dyno(), await sides.client()
        assert await client[0].read(100) == rendezvous.GREETING
        assert await dyno[0].readexactly(1) == rendezvous.MET
        (meeting,) = sides.relay._meetings.values()
        deadline = meeting.deadline
        assert deadline is not None

        def ends() -> float:
            return deadline.when() or 0

        for side, other in ((dyno, client), (client, dyno)):
            before = ends()
            side[1].write(b".")
            assert await other[0].readexactly(1) == b"."
            while ends() == before:  # noqa: ASYNC110 - has no event
                await asyncio.sleep(0.005)
            assert ends() - asyncio.get_running_loop().time() > rendezvous.IDLE_SECONDS / 2
        monkeypatch.setattr(rendezvous, "IDLE_SECONDS", 0.1)
        dyno[1].write(b".")
        assert await client[0].read() == b"."
        assert await dyno[0].read() == b""

    relayed(scenario)


def test_only_so_many_may_wait(relayed: Relayed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relay_module, "MOST_WAITING", 2)

    async def scenario(sides: Sides) -> None:
        waiting = [await sides.client(bytes([letter]) * rendezvous.SECRET_LENGTH) for letter in b"ab"]
        while len(sides.relay._meetings) < 2:  # noqa: ASYNC110 - has no event
            await asyncio.sleep(0.005)
        refused = await sides.client()
        assert await refused[0].read() == b""
        for client, meeting in zip(waiting, list(sides.relay._meetings.values()), strict=True):
            assert not client[0].at_eof()
            assert meeting.deadline is not None
            meeting.deadline.reschedule(0)
        for client in waiting:
            assert await client[0].read() == b""

    relayed(scenario)


def test_another_certificate_is_shown_to_whoever_comes_next_and_who_is_there_stays(tmp_path: Path) -> None:
    first, second = Authority(), Authority()
    for authority, name in ((first, "first.pem"), (second, "second.pem")):
        certificate, key = authority.issue("relay", LOCAL)
        (tmp_path / name).write_bytes(certificate + key)

    async def scenario() -> None:
        relay = Relay(Journal("test"))
        outer, inner = await relay.start(([LOCAL], 0), (LOCAL, 0), tmp_path / "first.pem")
        sides, after = Sides(relay, outer, inner, first), Sides(relay, outer, inner, second)
        client = await sides.client()
        relay.renew(tmp_path / "second.pem")
        with pytest.raises(ssl.SSLCertVerificationError):
            await sides.client()
        await after.client(b"x" * rendezvous.SECRET_LENGTH)
        dyno = await sides.dyno()
        assert await client[0].readexactly(len(rendezvous.GREETING)) == rendezvous.GREETING
        assert await dyno[0].readexactly(1) == rendezvous.MET
        dyno[1].write(b"still there")
        assert await client[0].readexactly(11) == b"still there"
        with pytest.raises(ConfigurationError):
            relay.renew(tmp_path / "none.pem")
        await sides.close()
        await after.close()
        relay.stop()

    asyncio.run(asyncio.wait_for(scenario(), 60))


def test_without_a_certificate_nobody_is_served(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"certificate router\.pem"):
        asyncio.run(Relay(Journal("test")).start(([LOCAL], 0), (LOCAL, 0), tmp_path / "router.pem"))
