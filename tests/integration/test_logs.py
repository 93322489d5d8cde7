"""From a dyno's standard output to the app's log: Docker, the log agent's rsyslog, the log plane."""

import asyncio
import threading
import time
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from docker.models.containers import Container
from docker.types import LogConfig

from dynoform.journal import Journal
from dynoform.logplex.buffers import Buffers
from dynoform.logplex.server import Logplex
from dynoform.logplex_tls import Identity
from tests.integration.certificates import Authority
from tests.integration.engine_parts import EngineParts, parts

__all__ = ["parts"]

pytestmark = [pytest.mark.engine, pytest.mark.timeout(300)]

PLATFORM = "127.72.0.3"
STACK = "itrlogs"
COUNT = """
import sys, time, signal
signal.signal(signal.SIGTERM, lambda *_: (print("last words", flush=True), sys.exit(0)))
lines, rate = int(sys.argv[1]), int(sys.argv[2])
started = time.time()
for number in range(lines):
    print(f"line {number}", flush=number % 50 == 49)
    time.sleep(max(0, started + number / rate - time.time()) if number % 50 == 49 else 0)
print("end", flush=True)
time.sleep(60)
"""


class Plane:
    """A log plane in a thread, which can go away and come back with its buffers."""

    def __init__(self, folder: Path) -> None:
        authority = Authority()
        certificate, key = authority.issue("logplex", PLATFORM, "logplex")
        self.identity = Identity(folder / "logplex.crt", folder / "logplex.key", folder / "ca.crt")
        self.identity.certificate.write_bytes(certificate)
        self.identity.key.write_bytes(key)
        self.identity.authority.write_bytes(authority.pem)
        self.buffers = Buffers(history=100_000)
        self.start()

    def start(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.server = Logplex(Journal("logplex"), self.buffers)
        self.loop.run_until_complete(self.server.start(PLATFORM, 6514, 8001, self.identity))
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()

    def stop(self) -> None:
        asyncio.run_coroutine_threadsafe(self.server.stop(), self.loop).result(10)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(5)
        self.loop.close()

    def lines(self, app: uuid.UUID) -> list[str]:
        async def look() -> list[bytes]:
            return [numbered.line for numbered in self.buffers.last(str(app), 100_000)]

        return [line.decode() for line in asyncio.run_coroutine_threadsafe(look(), self.loop).result(10)]

    def texts(self, app: uuid.UUID) -> list[str]:
        return [line.partition("]: ")[2] for line in self.lines(app)]

    def wait(self, app: uuid.UUID, text: str, seconds: float = 60) -> list[str]:
        deadline = time.monotonic() + seconds
        while text not in (texts := self.texts(app)):
            assert time.monotonic() < deadline, f"{text!r} has not come: {len(texts)} lines, the last {texts[-3:]}"
            time.sleep(0.2)
        return texts


@pytest.fixture(scope="module")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plane]:
    made = Plane(tmp_path_factory.mktemp("plane"))
    yield made
    made.stop()


class Agent:
    """The log agent, with its state in a volume."""

    def __init__(self, parts: EngineParts, plane: Plane) -> None:
        self.parts, self.authority = parts, plane.identity.authority
        self.volume = parts.engine.volumes.create(f"{STACK}_state_{uuid.uuid4().hex[:8]}", labels=parts.labels)
        root = parts.engine.info()["DockerRootDir"]
        self.containers = f"{root}/containers"
        self.container = self.start()

    def start(self) -> Container:
        self.container = self.parts.run(
            "log-agent",
            network_mode="host",
            cap_drop=["ALL"],
            environment={
                "DYNOFORM_STACK": STACK,
                "DYNOFORM_PLATFORM_ADDRESS": PLATFORM,
                "DYNOFORM_LOGPLEX_AUTHORITY": "/run/secrets/logplex-ca.crt",
            },
            volumes={
                self.containers: {"bind": "/var/lib/docker/containers", "mode": "ro"},
                str(self.authority): {"bind": "/run/secrets/logplex-ca.crt", "mode": "ro"},
                self.volume.name: {"bind": "/var/spool/rsyslog"},
            },
        )
        return self.container

    def restart(self, signal: str) -> None:
        self.container.kill(signal)
        self.container.wait(timeout=60)
        self.container.remove()
        self.start()


@pytest.fixture(scope="module")
def agent(parts: EngineParts, plane: Plane) -> Iterator[Agent]:
    made = Agent(parts, plane)
    yield made
    made.container.remove(force=True)
    made.volume.remove()


@pytest.fixture
def app() -> uuid.UUID:
    return uuid.uuid4()


def dyno(parts: EngineParts, app: object, *command: str, name: str = "web.1", stack: str = STACK) -> Container:
    labels = {"dynoform.stack": stack, "dynoform.app": str(app), "dynoform.dyno": name, **parts.labels}
    options = {"max-size": "10m", "max-file": "2", "labels": "dynoform.stack,dynoform.app,dynoform.dyno"}
    container = parts.engine.containers.create(
        parts.image("stack-13"),
        list(command),
        labels=labels if app else parts.labels,
        log_config=LogConfig(type="json-file", config=options),
        entrypoint=[],
        init=True,
    )
    container.start()
    return container


def count(parts: EngineParts, app: uuid.UUID, lines: int, rate: int, name: str = "web.1") -> Container:
    return dyno(parts, app, "python3", "-c", COUNT, str(lines), str(rate), name=name)


def test_what_a_dyno_prints_is_in_the_apps_log(parts: EngineParts, plane: Plane, agent: Agent, app: uuid.UUID) -> None:
    dyno(parts, app, "sh", "-c", "echo out; echo err >&2; printf 'no end'", name="worker.2")
    plane.wait(app, "no end")
    found = [line.partition(" ")[2] for line in plane.lines(app)]
    assert found[-1] == "app[worker.2]: no end"
    assert sorted(found[:-1]) == ["app[worker.2]: err", "app[worker.2]: out"]  # two pipes, so either order
    moment = datetime.fromisoformat(plane.lines(app)[0].partition(" ")[0])
    assert abs(datetime.now(UTC) - moment) < timedelta(seconds=60)


def test_lines_keep_their_order_and_none_is_lost_at_ten_thousand_a_second(
    parts: EngineParts, plane: Plane, agent: Agent, app: uuid.UUID
) -> None:
    for name in ("web.1", "web.2"):
        count(parts, app, 20_000, 5_000, name)
    deadline = time.monotonic() + 60
    while plane.texts(app).count("end") < 2 and time.monotonic() < deadline:
        time.sleep(0.2)
    for name in ("web.1", "web.2"):
        texts = [line.partition("]: ")[2] for line in plane.lines(app) if f"app[{name}]" in line]
        assert texts == [*(f"line {number}" for number in range(20_000)), "end"]


def test_the_last_words_of_a_dyno_are_heard(parts: EngineParts, plane: Plane, agent: Agent, app: uuid.UUID) -> None:
    container = count(parts, app, 10, 1000)
    plane.wait(app, "end")
    container.stop(timeout=10)
    container.remove()
    plane.wait(app, "last words")


def test_odd_lines_arrive_clean(parts: EngineParts, plane: Plane, agent: Agent, app: uuid.UUID) -> None:
    odd = r"""printf 'a\0b\n\033[31mred\033[0m\007\n\377\376\n\n  indented\t"quoted" \\u0000\n' """
    script = f"{odd}; head -c 30000 /dev/zero | tr '\\0' x; echo; echo end"
    dyno(parts, app, "sh", "-c", script)
    texts = plane.wait(app, "end")
    assert texts[:5] == ["a\ufffdb", "\x1b[31mred\x1b[0m\ufffd", "\ufffd\ufffd", "", '  indented\t"quoted" \\ufffd']
    assert "".join(texts[5:-1]) == "x" * 30_000
    assert all(len(text) <= 10_000 for text in texts)


def test_other_stacks_and_other_containers_are_none_of_ours(
    parts: EngineParts, plane: Plane, agent: Agent, app: uuid.UUID
) -> None:
    dyno(parts, app, "echo", "another stack's", stack="other")
    dyno(parts, None, "echo", f'{{"dynoform.app":"{app}","dynoform.stack":"{STACK}"}}')
    dyno(parts, app, "echo", "ours")
    plane.wait(app, "ours")
    time.sleep(0.5)
    assert plane.texts(app) == ["ours"]


def test_a_log_plane_that_restarts_loses_no_line_and_holds_no_dyno(
    parts: EngineParts, plane: Plane, agent: Agent, app: uuid.UUID
) -> None:
    count(parts, app, 8_000, 1_000)
    plane.wait(app, "line 500")
    plane.stop()
    late = uuid.uuid4()
    dyno(parts, late, "echo", "born while it was away")
    time.sleep(4)
    plane.start()
    plane.wait(late, "born while it was away")
    texts = plane.wait(app, "end")
    began, ended = (datetime.fromisoformat(plane.lines(app)[place].partition(" ")[0]) for place in (0, -1))
    assert ended - began < timedelta(seconds=12), "the dyno was held up"
    assert texts == [*(f"line {number}" for number in range(8_000)), "end"]


@pytest.mark.parametrize("signal", ["SIGKILL", "SIGTERM"])
def test_an_agent_that_restarts_loses_no_line_and_sends_none_twice(
    parts: EngineParts, plane: Plane, agent: Agent, app: uuid.UUID, signal: str
) -> None:
    count(parts, app, 6_000, 1_000)
    plane.wait(app, "line 500")
    agent.restart(signal)
    assert plane.wait(app, "end") == [*(f"line {number}" for number in range(6_000)), "end"]
