"""The log agent's rsyslog, with its own configuration, and the log plane: by RELP and TLS, from files as Docker's."""

import asyncio
import itertools
import json
import re
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from dynoform.agent.rotations import Rotations
from dynoform.configuration import Configuration
from dynoform.logplex_client import LogplexClient
from dynoform.logplex_tls import Identity
from tests import rsyslog
from tests.integration.certificates import Authority
from tests.log_plane import LOCAL, Plane

STACK = "mine"
WINDOW = 1_000
"""Lines that may come twice when either side is killed."""


class Dyno:
    """Writes a container's log as the engine does."""

    def __init__(self, containers: Path, app: str, name: str = "web.1", stack: str = STACK) -> None:
        container = f"{next(_containers):064x}"
        (containers / container).mkdir(parents=True)
        self.path = containers / container / f"{container}-json.log"
        self.attributes = {"dynoform.app": app, "dynoform.dyno": name, "dynoform.stack": stack}

    def write(self, *texts: str) -> None:
        lines = []
        for text in texts:
            at = f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime())}.{time.time_ns() % 10**9:09d}Z"
            line = {"log": f"{text}\n", "stream": "stdout", "attrs": self.attributes, "time": at}
            lines.append(f"{json.dumps(line)}\n")
        with self.path.open("a") as file:
            file.write("".join(lines))

    def rotate(self) -> None:
        """As the engine does at 10 MB, with ``max-file`` 2."""
        self.path.rename(f"{self.path}.1")
        self.path.touch()


_containers = itertools.count(1)


class Agent:
    """The agent's process, in a folder."""

    def __init__(self, folder: Path, plane: Plane, authority: Path) -> None:
        self.folder, self.containers = folder / "spool", folder / "containers"
        self.folder.mkdir()
        self.containers.mkdir()
        settings = {
            "DYNOFORM_STACK": STACK,
            "DYNOFORM_PLATFORM_ADDRESS": LOCAL,
            "DYNOFORM_LOGPLEX_SYSLOG_PORT": str(plane.syslog),
            "DYNOFORM_LOGPLEX_AUTHORITY": str(authority),
        }
        self.text, self.environment = rsyslog.agent(self.folder, self.containers, settings)
        self.start()

    def start(self) -> None:
        self.process = rsyslog.start(self.folder, self.text, **self.environment)

    def end(self) -> None:
        self.process.kill()
        self.process.wait(10)

    def complaints(self) -> str:
        path = self.folder / "complaints"
        return path.read_text() if path.exists() else ""


@pytest.fixture
def tls_plane(identity: Identity, tmp_path: Path) -> Iterator[Plane]:
    """A log plane with TLS, which keeps more lines than usual, in a folder."""
    (tmp_path / "kept").mkdir()
    made = Plane(folder=tmp_path / "kept", identity=identity, history=100_000)
    yield made
    made.stop(kill=True)


@pytest.fixture
def agent(tls_plane: Plane, identity: Identity, tmp_path: Path) -> Iterator[Agent]:
    """An agent that sends to it."""
    made = Agent(tmp_path, tls_plane, identity.authority)
    yield made
    made.end()


def wait(plane: Plane, app: str, text: str, agent: Agent, seconds: float = 30) -> list[str]:
    deadline = time.monotonic() + seconds
    while text not in (texts := plane.texts(app)):
        assert time.monotonic() < deadline, (len(texts), texts[-3:], agent.complaints())
        time.sleep(0.05)
    return texts


def numbered(start: int, end: int) -> list[str]:
    return [f"line {number}" for number in range(start, end)]


def test_lines_of_dynos_come_in_order_and_clean(tls_plane: Plane, agent: Agent, app: str) -> None:
    one, other = Dyno(agent.containers, app), Dyno(agent.containers, app, stack="other")
    other.write("another stack's")
    odd = ("a\0b", "\x1b[31mred\x1b[0m\x07", '  indented\t"quoted" \\u0000', "\ufffd\ufffd", "\u2028x", "")
    one.write(*numbered(0, 3_000), *odd, "end")
    texts = wait(tls_plane, app, "end", agent)
    assert texts[:3_000] == numbered(0, 3_000)
    assert texts[3_000:] == [
        *("a\ufffdb", "\x1b[31mred\x1b[0m\ufffd", '  indented\t"quoted" \\ufffd', "\ufffd\ufffd", "\ufffdx", ""),
        "end",
    ]


@pytest.mark.parametrize("kill", [False, True], ids=["stopped", "killed"])
def test_a_log_plane_that_starts_anew_loses_no_line(tls_plane: Plane, agent: Agent, app: str, kill: bool) -> None:
    dyno = Dyno(agent.containers, app)
    written = itertools.count()
    for _ in range(40):
        dyno.write(*(f"line {next(written)}" for _ in range(50)))
        time.sleep(0.005)
    tls_plane.stop(kill=kill)
    dyno.write(*(f"line {next(written)}" for _ in range(2_000)))
    time.sleep(0.5)
    tls_plane.start()
    dyno.write("end")
    texts = wait(tls_plane, app, "end", agent)
    assert list(dict.fromkeys(texts)) == [*numbered(0, 4_000), "end"]
    assert len(texts) - 4_001 <= (WINDOW if kill else 0)


def test_an_agent_that_is_killed_loses_no_line(tls_plane: Plane, agent: Agent, app: str) -> None:
    dyno = Dyno(agent.containers, app)
    dyno.write(*numbered(0, 3_000))
    wait(tls_plane, app, "line 500", agent)
    agent.end()
    dyno.write(*numbered(3_000, 4_000), "end")
    agent.start()
    texts = wait(tls_plane, app, "end", agent)
    assert list(dict.fromkeys(texts)) == [*numbered(0, 4_000), "end"]
    assert len(texts) - 4_001 <= WINDOW


def test_an_agent_that_ends_as_told_sends_nothing_twice(tls_plane: Plane, agent: Agent, app: str) -> None:
    dyno = Dyno(agent.containers, app)
    dyno.write(*numbered(0, 1_500))
    wait(tls_plane, app, "line 500", agent)
    agent.process.terminate()
    agent.process.wait(10)
    dyno.write(*numbered(1_500, 2_000), "end")
    agent.start()
    assert wait(tls_plane, app, "end", agent) == [*numbered(0, 2_000), "end"]


def test_the_last_line_of_a_quiet_host_comes_when_the_log_plane_is_back(
    tls_plane: Plane, agent: Agent, app: str
) -> None:
    dyno = Dyno(agent.containers, app)
    dyno.write("first")
    wait(tls_plane, app, "first", agent)
    tls_plane.stop(kill=True)
    dyno.write("last words")
    tls_plane.start()
    wait(tls_plane, app, "last words", agent, seconds=15)


def test_what_is_rotated_away_unread_is_counted(tls_plane: Plane, agent: Agent, app: str, identity: Identity) -> None:
    configuration = replace(
        Configuration.from_environment({}), platform_address=LOCAL, logplex_authority=identity.authority
    )
    logs = LogplexClient(configuration, port=tls_plane.syslog)
    rotations, dyno = Rotations(STACK, agent.containers, logs), Dyno(agent.containers, app)

    def fill(start: int, end: int) -> None:
        dyno.write(*numbered(start, end))
        time.sleep(0.2)
        dyno.rotate()
        asyncio.run(rotations.look())

    asyncio.run(rotations.look())
    dyno.write("first")
    wait(tls_plane, app, "first", agent)
    tls_plane.stop(kill=True)
    for number in range(4):
        fill(1_000 * number, 1_000 * number + 1_000)
    dyno.write("end")
    tls_plane.start()
    wait(tls_plane, app, "end", agent)
    deadline = time.monotonic() + 15
    while not (lost := [text for text in tls_plane.texts(app) if "L12" in text]):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    logs.close()
    came = {text for text in tls_plane.texts(app) if text.startswith("line ")}
    counted = [
        re.match(r"Error L12 \(Local buffer overflow\): (\d+) messages of web\.1 dropped since ", t) for t in lost
    ]
    assert came
    assert sum(int(match[1]) for match in counted if match) == 4_000 - len(came)


def test_no_line_goes_to_somebody_else(
    agent: Agent, tls_plane: Plane, app: str, identity: Identity, tmp_path: Path
) -> None:
    dyno = Dyno(agent.containers, app)
    dyno.write("for the log plane")
    wait(tls_plane, app, "for the log plane", agent)
    port = tls_plane.syslog
    tls_plane.stop(kill=True)
    certificate, key = Authority().issue("logplex", LOCAL, "logplex")
    (tmp_path / "other.crt").write_bytes(certificate)
    (tmp_path / "other.key").write_bytes(key)
    other = Plane(identity=Identity(tmp_path / "other.crt", tmp_path / "other.key", identity.authority))
    other.stop()
    other.syslog = port
    other.start()
    dyno.write("for nobody else")
    time.sleep(6)  # the next mark at the latest finds the connection broken
    assert other.texts(app) == []
    other.stop(kill=True)
    tls_plane.start()


def test_readers_of_lines_need_a_certificate_of_their_own(
    tls_plane: Plane, identity: Identity, authority: Authority, tmp_path: Path
) -> None:
    import ssl

    import httpx

    context = ssl.create_default_context(cafile=str(identity.authority))
    url = f"https://{LOCAL}:{tls_plane.port}/health"
    with pytest.raises(httpx.HTTPError), httpx.Client(verify=context, trust_env=False) as client:
        client.get(url)
    certificate, key = authority.issue("api", LOCAL, client=True)
    (tmp_path / "api.pem").write_bytes(certificate + key)
    context.load_cert_chain(tmp_path / "api.pem")
    with httpx.Client(verify=context, trust_env=False) as client:
        assert client.get(url).text == "ok apps=0 bytes=0 drains=0\n"
