"""Heroku Exec on a real engine, through the real relay and runtime agent: what a client of `ps:exec` has in a dyno."""

import asyncio
import hashlib
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import asyncssh
import httpx
import pytest
from docker.models.containers import Container

from dynoform.configuration import Configuration
from dynoform.journal import Journal
from dynoform.router.exec_listener import ExecListener
from dynoform.store.session import Store
from tests.integration.engine_parts import EngineParts, parts
from tests.integration.run_platform import LOCAL, RunPlatform, running
from tests.store_fixtures import OPERATOR_KEY, configuration, migrated

__all__ = ["configuration", "migrated", "parts"]

pytestmark = [pytest.mark.engine, pytest.mark.timeout(300)]
INSPECTOR = "exec python3 -m http.server 9229 --bind 127.0.0.1"
"""As a debugger does, it listens on the loopback alone."""


class Dyno:
    """work.1 of an app, and a way in as the CLI has it."""

    def __init__(self, dynos: RunPlatform, app: str, port: int) -> None:
        self.dynos, self.app, self.port = dynos, app, port

    @property
    def container(self) -> Container:
        (found,) = self.dynos.platform.containers(self.dynos.app_id(self.app))
        return found

    def processes(self) -> str:
        return str(self.commands())

    def commands(self) -> list[str]:
        """The command line of each process."""
        top = self.container.top()
        return [row[top["Titles"].index("CMD")] for row in top["Processes"]]

    def tunnel(self, key: asyncssh.SSHKey) -> dict[str, Any]:
        """What the exec manager answers."""
        url, login = self.dynos.client.base_url, (self.app, OPERATOR_KEY)
        with httpx.Client(base_url=url, auth=login, trust_env=False, timeout=60) as client:
            answer = client.put("/api/v2/work.1", json={"client_key": key.export_public_key().decode()})
        made: dict[str, Any] = answer.raise_for_status().json()
        return made

    @asynccontextmanager
    async def connected(self) -> AsyncIterator[asyncssh.SSHClientConnection]:
        key = asyncssh.generate_private_key("ssh-rsa", key_size=2048)
        found = await asyncio.to_thread(self.tunnel, key)
        trusted = f"[{found['tunnel_host']}]:{self.port} {found['proxy_public_key']}".encode()
        async with asyncssh.connect(
            found["tunnel_host"],
            self.port,
            username=found["client_user"],
            client_keys=[key],
            known_hosts=trusted,
            config=None,
            agent_path=None,
        ) as client:
            yield client

    def play(self, scenario: Callable[[asyncssh.SSHClientConnection], Awaitable[None]]) -> None:
        """Run a scenario of somebody who is connected."""

        async def run() -> None:
            async with asyncio.timeout(60), self.connected() as client:
                await scenario(client)

        asyncio.run(run())


@pytest.fixture(scope="module")
def dyno(
    parts: EngineParts, migrated: Store, configuration: Configuration, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Dyno]:
    with running(parts, migrated, configuration, tmp_path_factory.mktemp("exec")) as dynos:
        listener = ExecListener(dynos.configuration, dynos.relay, Journal("router-agent"))
        port = dynos.loop.do(listener.start(LOCAL, 0))
        app = dynos.app({"work": INSPECTOR, "ls": "echo this is a process type"}, GREETING="it's $me")
        dynos.platform.start()
        dynos.client.patch(f"/apps/{app}/formation/work", json={"quantity": 1}).raise_for_status()
        dynos.wait(lambda: [row["state"] for row in dynos.dynos(app)] == ["up"], 60)
        yield Dyno(dynos, app, port)
        dynos.loop.do(listener.stop())
        dynos.client.delete(f"/apps/{app}").raise_for_status()
        dynos.platform.stop()


def test_a_command_has_the_apps_config_two_outputs_and_an_exit_code(dyno: Dyno) -> None:
    async def scenario(client: asyncssh.SSHClientConnection) -> None:
        ran = await client.run(
            'echo "$DYNO|$GREETING|$PORT|$(id -u)|$PWD|$(printenv TERM)"; tty; echo oops >&2; exit 3'
        )
        assert (ran.stdout, ran.stderr) == ("work.1|it's $me|5000|1000|/app|\nnot a tty\n", "oops\n")
        assert ran.exit_status == 3
        capabilities = await client.run("grep -h Cap /proc/self/status | cut -f2 | sort -u")
        assert capabilities.stdout == "0000000000000000\n"
        # Not the process type of that name: that is for `heroku run`.
        assert (await client.run("ls /opt/dynoform/dyno")).stdout == "/opt/dynoform/dyno\n"

    dyno.play(scenario)


def test_a_shell_has_a_terminal_that_can_be_resized_and_interrupted(dyno: Dyno) -> None:
    async def scenario(client: asyncssh.SSHClientConnection) -> None:
        shell = await client.create_process(term_type="vt100", term_size=(80, 24))
        shell.stdin.write("stty size; echo $TERM $0\n")
        await shell.stdout.readuntil("24 80\r\nvt100 bash\r\n")
        shell.change_terminal_size(123, 45)
        shell.stdin.write('until [ "$(stty size)" = "45 123" ]; do sleep 0.1; done; stty size\n')
        await shell.stdout.readuntil("45 123\r\n")
        shell.stdin.write("sleep 1000\n")
        await asyncio.to_thread(dyno.dynos.wait, lambda: "sleep 1000" in dyno.commands())
        shell.stdin.write("\x03")
        shell.stdin.write("echo status $?\n")
        await shell.stdout.readuntil("status 130\r\n")
        shell.stdin.write("exit 4\n")
        assert (await shell.wait()).exit_status == 4

    dyno.play(scenario)


def test_the_end_of_input_ends_with_and_without_a_terminal(dyno: Dyno) -> None:
    async def scenario(client: asyncssh.SSHClientConnection) -> None:
        data = bytes(range(256)) * 4096
        ran = await client.run("cat", input=data, encoding=None)
        assert isinstance(ran.stdout, bytes)
        assert hashlib.sha256(ran.stdout).digest() == hashlib.sha256(data).digest()
        typed = await client.run("cat", input="hello\n", term_type="vt100")
        assert (typed.stdout, typed.exit_status) == ("hello\r\nhello\r\n", 0)

    dyno.play(scenario)


def test_files_are_copied_as_the_dynos_user(dyno: Dyno, tmp_path: Path) -> None:
    async def scenario(client: asyncssh.SSHClientConnection) -> None:
        digest = await client.run("head -c 3000000 /dev/urandom > dump && sha256sum dump")
        async with client.start_sftp_client() as sftp:
            await sftp.get("dump", tmp_path / "dump")
            with pytest.raises(asyncssh.SFTPPermissionDenied):
                await sftp.get("/etc/shadow", tmp_path / "shadow")
            with pytest.raises(asyncssh.SFTPNoSuchFile):
                await sftp.get("nothing", tmp_path / "nothing")
        assert str(digest.stdout).split()[0] == hashlib.sha256((tmp_path / "dump").read_bytes()).hexdigest()

    dyno.play(scenario)


def test_a_tunnel_reaches_what_listens_on_the_dynos_loopback(dyno: Dyno) -> None:
    async def scenario(client: asyncssh.SSHClientConnection) -> None:
        await client.run("echo in the dyno > /tmp/page; cp /tmp/page page")
        reader, writer = await client.open_connection("0.0.0.0", 9229, encoding=None)  # noqa: S104 - as the CLI asks
        writer.write(b"GET /page HTTP/1.0\r\n\r\n")
        writer.write_eof()
        assert (await reader.read()).endswith(b"\r\n\r\nin the dyno\n")
        with pytest.raises(asyncssh.ChannelOpenError, match="Nothing answers on port 9230"):
            await client.open_connection("localhost", 9230)

    dyno.play(scenario)
    dyno.dynos.wait(lambda: sum(command.startswith("python3") for command in dyno.commands()) == 1)


def test_a_client_that_goes_leaves_nothing_running(dyno: Dyno) -> None:
    async def scenario(client: asyncssh.SSHClientConnection) -> None:
        process = await client.create_process("(sleep 987 & sleep 654) & echo ready; wait", term_type="vt100")
        await process.stdout.readuntil("ready")
        client.abort()

    dyno.play(scenario)
    dyno.dynos.wait(lambda: not {"sleep 987", "sleep 654"} & set(dyno.commands()))
    assert "http.server" in dyno.processes()
    assert [row["name"] for row in dyno.dynos.dynos(dyno.app)] == ["work.1"]


def test_a_killed_agent_ends_what_is_there_and_the_next_one_serves(dyno: Dyno) -> None:
    async def scenario(client: asyncssh.SSHClientConnection) -> None:
        process = await client.create_process("echo ready; sleep 987")
        await process.stdout.readuntil("ready")
        await asyncio.to_thread(dyno.dynos.stop_agent, signal.SIGKILL)
        assert (await process.wait()).exit_status == 255
        await asyncio.to_thread(dyno.dynos.start_agent)
        assert (await client.run("echo again")).stdout == "again\n"

    dyno.play(scenario)
    dyno.dynos.wait(lambda: "sleep 987" not in dyno.processes())


def test_a_dyno_that_stops_takes_its_sessions_along(dyno: Dyno) -> None:
    async def scenario(client: asyncssh.SSHClientConnection) -> None:
        process = await client.create_process("echo ready; sleep 987")
        await process.stdout.readuntil("ready")
        stop = f"/apps/{dyno.app}/dynos/work.1/actions/stop"
        await asyncio.to_thread(lambda: dyno.dynos.client.post(stop).raise_for_status())
        assert (await process.wait()).exit_status in (137, 143, 255)
        # The next work.1 is another dyno: the key was for the one that has gone.
        refused = await client.run("ls")
        assert (refused.exit_status, "!" in str(refused.stderr)) == (255, True)

    dyno.play(scenario)
    dyno.dynos.wait(lambda: [row["state"] for row in dyno.dynos.dynos(dyno.app)] == ["up"], 60)
