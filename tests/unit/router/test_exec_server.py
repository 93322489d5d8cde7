"""The SSH server of `ps:exec` on the loopback, over a real store and a real relay; the agent's side is played."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import asyncssh
import pytest
from sqlalchemy import select, update

from dynoform.configuration import Configuration
from dynoform.domain import exec_channels, heroku_exec, ssh_keys
from dynoform.domain.exec_channels import Channel, Kind, Size
from dynoform.journal import Journal
from dynoform.router import exec_channel, exec_server
from dynoform.router.exec_listener import ExecListener
from dynoform.router.rendezvous import Relay
from dynoform.run.exec_link import ExecLink
from dynoform.store import exec_keys, features
from dynoform.store.session import Store
from dynoform.store.tables import Account, AppFeature, Dyno, ExecKey, OneOffDyno, now
from tests.integration.certificates import Authority
from tests.unit.router.test_agent import app_with_dyno

LOCAL = "127.0.0.1"
Channels = list[tuple[Channel, ExecLink]]
Answering = Callable[[Channel, ExecLink], Awaitable[None]]


class Site:
    """A running SSH server, and who answers for the dyno."""

    def __init__(self, store: Store, configuration: Configuration, relay: Relay, inner: int, port: int) -> None:
        self.store, self.relay, self.inner, self.port = store, relay, inner, port
        self.key = asyncssh.generate_private_key("ssh-rsa", key_size=2048)
        self.trusted = ssh_keys.host_key(configuration.secret("exec_host_key")).public
        self.asked: list[Channel] = []

    def register(self) -> str:
        """A key for web.1 of Ann's app, as the exec manager makes it; its SSH user."""
        with self.store.transaction() as session:
            dyno = session.scalars(select(Dyno)).one()
            account = session.scalars(select(Account)).one()
            line = self.key.export_public_key().decode().strip()
            return heroku_exec.user_name(exec_keys.add(session, account, dyno, line).id)

    def connect(self, user: str, **options: object) -> "asyncssh.connection._SSHClientConnectionContextManager":
        """What the CLI does, and whatever else a client may try."""
        given: dict[str, object] = {
            "username": user,
            "client_keys": [self.key],
            "known_hosts": f"[{LOCAL}]:{self.port} {self.trusted}".encode(),
            "config": None,
            "agent_path": None,
            **options,
        }
        return asyncssh.connect(LOCAL, self.port, **given)  # type: ignore[no-any-return, arg-type]

    @asynccontextmanager
    async def dyno(self, answer: Answering) -> AsyncIterator[None]:
        """Answer for the dyno whenever a channel is asked for."""
        task = asyncio.ensure_future(self._answer(answer))
        try:
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    async def _answer(self, answer: Answering) -> None:
        seen: set[uuid.UUID] = set()
        async with asyncio.TaskGroup() as group:
            while True:
                for row in await asyncio.to_thread(self.rows):
                    if row.id not in seen:
                        seen.add(row.id)
                        group.create_task(self._one(row.attach_digest or "", answer))
                await asyncio.sleep(0.02)

    async def _one(self, digest: str, answer: Answering) -> None:
        link = await ExecLink.dial(LOCAL, self.inner, digest)
        await link.met(60)
        channel = await link.channel()
        self.asked.append(channel)
        try:
            await answer(channel, link)
        except (EOFError, ConnectionError):
            pass  # the client has gone
        finally:
            await link.close()

    def rows(self) -> list[OneOffDyno]:
        """What the runtime agent is asked for."""
        with self.store.transaction() as session:
            return list(session.scalars(select(OneOffDyno)))


Play = Callable[[Callable[[Site], Awaitable[None]]], None]


@pytest.fixture
def play(store: Store, configuration: Configuration, tmp_path: Path) -> Play:
    """Run a scenario with a server, and one app with one dyno that is up."""
    app_with_dyno(store, 20001)
    with store.transaction() as session:
        session.execute(update(Dyno).values(state="up"))
    pem = tmp_path / "router.pem"
    pem.write_bytes(b"".join(Authority().issue("router", LOCAL)))

    async def run(scenario: Callable[[Site], Awaitable[None]]) -> None:
        relay = Relay(Journal("test"), meeting_seconds=60)
        _, inner = await relay.start(([LOCAL], 0), (LOCAL, 0), pem)
        listener = ExecListener(configuration, relay, Journal("test"))
        site = Site(store, configuration, relay, inner, await listener.start(LOCAL, 0))
        try:
            async with asyncio.timeout(60):
                await scenario(site)
        finally:
            await listener.stop()
            relay.stop()

    return lambda scenario: asyncio.run(run(scenario))


async def echo(channel: Channel, link: ExecLink) -> None:
    """A program that says what it was given and fails with 7."""
    letters = []
    while True:
        for letter, content in link._early or await link._next():
            letters.append(letter)
            if letter == exec_channels.INPUT:
                await link._tell(exec_channels.OUTPUT, content)
            if letter == exec_channels.RESIZE:
                size = exec_channels.unpack_size(content)
                await link._tell(exec_channels.OUTPUT, f"{size.rows}x{size.columns}".encode())
        link._early = []
        if exec_channels.END in letters:
            break
    await link._tell(exec_channels.MESSAGES, b"oops")
    await link._tell(exec_channels.END)
    await link.ended(7)


def test_a_command_has_input_two_outputs_and_an_exit_code(play: Play) -> None:
    async def scenario(site: Site) -> None:
        async with site.dyno(echo), site.connect(site.register()) as client:
            ran = await client.run("tr a b", input=b"x" * 300_000, encoding=None)
            assert (ran.stdout, ran.stderr, ran.exit_status) == (b"x" * 300_000, b"oops", 7)
        assert site.asked == [Channel(Kind.COMMAND, "tr a b")]

    play(scenario)


def test_a_shell_has_a_terminal_whose_size_changes(play: Play) -> None:
    async def scenario(site: Site) -> None:
        async with site.dyno(echo), site.connect(site.register()) as client:
            process = await client.create_process(term_type="vt100", term_size=(80, 24), encoding=None)
            process.change_terminal_size(120, 40)
            assert await process.stdout.readexactly(6) == b"40x120"
            process.stdin.write_eof()
            assert (await process.wait()).exit_status == 7
        assert site.asked == [Channel(Kind.SHELL, term="vt100", size=Size(24, 80))]
        (row,) = site.rows()
        assert (row.tty, row.over_ssh, row.command, row.variables, row.inside_id is not None) == (
            True,
            True,
            "",
            b"",
            True,
        )

    play(scenario)


def test_the_dyno_hears_of_a_client_that_goes(play: Play) -> None:
    asked, heard = asyncio.Event(), asyncio.Event()

    async def wait(channel: Channel, link: ExecLink) -> None:
        asked.set()
        with suppress(EOFError):
            while True:
                await link._next()
        heard.set()

    async def scenario(site: Site) -> None:
        async with site.dyno(wait):
            client = await site.connect(site.register())
            await client.create_process("sleep 1000")
            await asked.wait()
            client.abort()
            await heard.wait()

    play(scenario)


def test_a_tunnel_is_open_when_the_dyno_says_so(play: Play) -> None:
    async def serve(channel: Channel, link: ExecLink) -> None:
        if channel.port == 9229:
            await link._tell(exec_channels.OUTPUT, exec_channels.CONNECTED + b"hello ")
            await echo(channel, link)
        else:
            await link.ended(1)

    async def scenario(site: Site) -> None:
        async with site.dyno(serve), site.connect(site.register()) as client:
            reader, writer = await client.open_connection("0.0.0.0", 9229)  # noqa: S104 - as the CLI asks
            writer.write(b"world")
            writer.write_eof()
            assert await reader.read() == b"hello world"
            with pytest.raises(asyncssh.ChannelOpenError, match="Nothing answers on port 1"):
                await client.open_connection("localhost", 1)
        assert {(channel.kind, channel.port) for channel in site.asked} == {(Kind.TUNNEL, 9229), (Kind.TUNNEL, 1)}

    play(scenario)


def test_sftp_is_a_program_of_the_dyno(play: Play) -> None:
    async def scenario(site: Site) -> None:
        async with site.dyno(echo), site.connect(site.register()) as client:
            process = await client.create_process(subsystem="sftp", encoding=None)
            process.stdin.write(b"\0\0\0\5")
            assert await process.stdout.readexactly(4) == b"\0\0\0\5"
        assert site.asked == [Channel(Kind.SFTP)]

    play(scenario)


def test_nobody_else_comes_in(play: Play) -> None:
    async def scenario(site: Site) -> None:
        user = site.register()
        other = asyncssh.generate_private_key("ssh-ed25519")
        tries: list[tuple[str, dict[str, object]]] = [
            (user, {"client_keys": [other]}),
            (user, {"client_keys": [], "password": ""}),
            (user, {"client_keys": None, "password": "x"}),
            ("root", {}),
            (uuid.uuid4().hex, {}),
            ("x" * 900, {}),
        ]
        for name, options in tries:
            with pytest.raises(asyncssh.PermissionDenied):
                await site.connect(name, **options)
        with site.store.transaction() as session:
            session.execute(update(ExecKey).values(expires_at=now() - timedelta(seconds=1)))
        with pytest.raises(asyncssh.PermissionDenied):
            await site.connect(user)

    play(scenario)


def test_nothing_but_programs_and_the_dynos_ports_is_there(play: Play) -> None:
    async def scenario(site: Site) -> None:
        async with site.connect(site.register()) as client:
            for host in ("10.0.0.1", "169.254.169.254", "example.com"):
                with pytest.raises(asyncssh.ChannelOpenError, match="is not the dyno's own"):
                    await client.open_connection(host, 80)
            with pytest.raises(asyncssh.ChannelListenError):
                await client.forward_remote_port("", 0, LOCAL, 1)
            with pytest.raises(asyncssh.ChannelOpenError):
                await client.open_unix_connection("/var/run/docker.sock")
            with pytest.raises(asyncssh.ChannelOpenError):
                await client.create_process(subsystem="netconf")
            refused = await client.run("x" * 20_000)
            assert (refused.exit_status, "Command must be text of up to 16384" in str(refused.stderr)) == (255, True)
        assert site.rows() == []

    play(scenario)


def test_what_ends_a_right_ends_it_for_those_who_are_in(play: Play) -> None:
    async def scenario(site: Site) -> None:
        async with site.dyno(echo), site.connect(site.register()) as client:
            with site.store.transaction() as session:
                dyno = session.scalars(select(Dyno)).one()
                features.turn(session, AppFeature, dyno.app_id, heroku_exec.FEATURE, False)
            ran = await client.run("ls")
            assert (ran.exit_status, ran.stderr) == (
                255,
                " !     key: is not good any more — run the command again\r\n",
            )
            with site.store.transaction() as session:
                features.turn(session, AppFeature, dyno.app_id, heroku_exec.FEATURE, True)
                session.execute(update(Dyno).values(state="crashed"))
            assert "Dyno web.1: is crashed" in str((await client.run("ls")).stderr)
        assert site.rows() == []

    play(scenario)


def test_a_connection_has_a_limited_number_of_channels(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exec_server, "MOST_CHANNELS", 1)

    async def scenario(site: Site) -> None:
        async with site.dyno(echo), site.connect(site.register()) as client:
            first = await client.create_process("cat")
            first.stdin.write("x")
            await first.stdout.readexactly(1)
            refused = await client.run("cat")
            assert "connection: has 1 channels, as many as it may" in str(refused.stderr)
            first.stdin.write_eof()
            await first.wait()
            assert (await client.run("cat", input="y")).stdout == "y"

    play(scenario)


def test_a_dyno_that_does_not_answer_is_an_end(play: Play) -> None:
    async def scenario(site: Site) -> None:
        site.relay.meeting_seconds = 0.5
        async with site.connect(site.register()) as client:
            assert (await client.run("ls")).exit_status == exec_channel.LOST

    play(scenario)


def test_whoever_says_nothing_is_hung_up_on(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exec_server, "LOGIN_SECONDS", 0.3)

    async def scenario(site: Site) -> None:
        reader, writer = await asyncio.open_connection(LOCAL, site.port)
        assert (await reader.readline()).startswith(b"SSH-2.0-Dynoform")
        await reader.read()
        writer.close()

    play(scenario)


def test_without_a_host_key_nobody_is_served(play: Play, configuration: Configuration, tmp_path: Path) -> None:
    async def scenario(site: Site) -> None:
        listener = ExecListener(replace(configuration, secrets=tmp_path), None, Journal("test"))  # type: ignore[arg-type]
        reader, writer = await asyncio.open_connection(LOCAL, await listener.start(LOCAL, 0))
        assert await reader.read() == b""
        writer.close()
        await listener.stop()

    play(scenario)
