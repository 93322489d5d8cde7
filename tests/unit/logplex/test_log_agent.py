"""The log agent's rsyslog, with its own configuration, and the log plane: by RELP and TLS, from files as Docker's."""

import asyncio
import itertools
import json
import os
import re
import time
from collections.abc import Iterator
from contextlib import suppress
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
            seconds, rest = divmod(time.time_ns(), 10**9)
            at = f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(seconds))}.{rest:09d}Z"
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
        self.settings = {
            "DYNOFORM_STACK": STACK,
            "DYNOFORM_PLATFORM_ADDRESS": LOCAL,
            "DYNOFORM_LOGPLEX_SYSLOG_PORT": str(plane.syslog),
            "DYNOFORM_LOGPLEX_AUTHORITY": str(authority),
        }
        self.start()

    def start(self) -> None:
        self.process = rsyslog.start_agent(self.folder, self.containers, self.settings)

    def kill(self) -> None:
        rsyslog.kill(self.process)

    def processor_seconds(self) -> float:
        """What all its processes have used, those that have ended, too."""
        ticks = 0
        for path in Path("/proc").glob("[0-9]*/stat"):
            with suppress(OSError):
                words = path.read_text().rpartition(") ")[2].split()
                if int(words[2]) == self.process.pid:
                    ticks += sum(map(int, words[11:15]))
        return ticks / os.sysconf("SC_CLK_TCK")

    def complaints(self) -> str:
        return (self.folder / "rsyslog.log").read_text()


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
    made.kill()


def wait(plane: Plane, app: str, text: str, agent: Agent, seconds: float = 60) -> list[str]:
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
def test_a_log_plane_that_starts_anew_loses_no_line_and_keeps_none_twice(
    tls_plane: Plane, agent: Agent, app: str, kill: bool
) -> None:
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
    assert wait(tls_plane, app, "end", agent) == [*numbered(0, 4_000), "end"]


def test_an_agent_that_is_killed_loses_no_line_and_none_is_kept_twice(tls_plane: Plane, agent: Agent, app: str) -> None:
    dyno = Dyno(agent.containers, app)
    dyno.write(*numbered(0, 3_000))
    wait(tls_plane, app, "line 500", agent)
    agent.kill()
    dyno.write(*numbered(3_000, 4_000), "end")
    agent.start()
    assert wait(tls_plane, app, "end", agent) == [*numbered(0, 4_000), "end"]


def test_an_agent_that_ends_as_told_sends_nothing_twice(tls_plane: Plane, agent: Agent, app: str) -> None:
    dyno = Dyno(agent.containers, app)
    dyno.write(*numbered(0, 1_500))
    wait(tls_plane, app, "line 500", agent)
    agent.process.terminate()
    agent.process.wait(60)
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
    wait(tls_plane, app, "last words", agent)


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
    came = {text for text in tls_plane.texts(app) if text.startswith("line ")}
    assert came
    told = re.compile(r"Error L12 \(Local buffer overflow\): (\d+) messages of web\.1 dropped since ")

    def lost() -> int:
        return sum(int(match[1]) for text in tls_plane.texts(app) if (match := told.match(text)))

    deadline = time.monotonic() + 60
    while lost() < 4_000 - len(came):  # a line for each file
        assert time.monotonic() < deadline, lost()
        time.sleep(0.1)
    logs.close()
    assert lost() == 4_000 - len(came)


@pytest.mark.parametrize("begins", ["foreign", "own"])
def test_lines_wait_while_somebody_else_answers(
    tls_plane: Plane, identity: Identity, app: str, tmp_path: Path, begins: str, request: pytest.FixtureRequest
) -> None:
    certificate, key = Authority().issue("logplex", LOCAL, "logplex")
    foreign = Identity(tmp_path / "other.crt", tmp_path / "other.key", identity.authority)
    foreign.certificate.write_bytes(certificate)
    foreign.key.write_bytes(key)
    heard: list[str] = []

    def answer_as(shown: Identity) -> None:
        if tls_plane.identity is not identity:
            heard.extend(tls_plane.texts(app))
        tls_plane.stop(kill=True)
        tls_plane.identity = shown
        tls_plane.folder = tmp_path / "kept" if shown is identity else None
        tls_plane.start()

    if begins == "foreign":
        answer_as(foreign)
    agent = Agent(tmp_path, tls_plane, identity.authority)
    request.addfinalizer(agent.kill)
    dyno = Dyno(agent.containers, app)
    dyno.write(*numbered(0, 1_500))
    if begins == "own":
        wait(tls_plane, app, "line 1499", agent)
        answer_as(foreign)
    for start in range(1_500, 6_000, 1_500):
        dyno.write(*numbered(start, start + 1_500))
        time.sleep(1)
    said = "is not this stack's log plane; lines wait. It is tried again in 1 s"
    ends = time.monotonic() + 60
    while said not in agent.complaints():
        assert time.monotonic() < ends, agent.complaints()
        time.sleep(0.05)
    assert agent.processor_seconds() < 1.5
    answer_as(identity)
    dyno.write("end")
    assert wait(tls_plane, app, "end", agent) == [*numbered(0, 6_000), "end"]
    assert heard == []
    agent.process.terminate()
    assert agent.process.wait(60) == 0


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
    with httpx.Client(verify=context, trust_env=False, timeout=60) as client:
        assert client.get(url).text == "ok apps=0 bytes=0 drains=0\n"
