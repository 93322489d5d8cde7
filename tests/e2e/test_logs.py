"""A tail while what is on the way of its lines is killed."""

import os
import re
import signal
import threading
import time
from typing import Any

import httpx
import pytest

from tests.e2e.conftest import Platform, eventually
from tests.e2e.test_bad_luck import container

pytestmark = [pytest.mark.engine, pytest.mark.timeout(600)]

LINES, RATE = 3_000, 100
COUNT = f"""python3 -u -c "import time
for number in range({LINES}):
    print('number', number)
    time.sleep(1 / {RATE})" """
_NUMBER = re.compile(r"app\[(run\.\d+)\]: number (\d+)$")


class Tail:
    """Reads the log of ``python`` as it comes, in a thread."""

    def __init__(self, platform: Platform, dyno: str) -> None:
        session = platform.api.post("/apps/python/log-sessions", json={"lines": 0, "tail": True, "dyno": dyno})
        self.numbers: list[int] = []
        self._dyno = dyno
        self._client = httpx.Client(verify=platform.trust, timeout=120)
        self._url = session.raise_for_status().json()["logplex_url"]
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        with self._client.stream("GET", self._url) as answer:
            for line in answer.iter_lines():
                if (match := _NUMBER.search(line)) and match[1] == self._dyno:
                    self.numbers.append(int(match[2]))
                    if int(match[2]) == LINES - 1:
                        return

    def until(self, number: int, within: float) -> None:
        """Wait for a line."""
        eventually(lambda: self.numbers[-1:] >= [number], within, f"number {number} after {self.numbers[-1:]}")

    def close(self) -> None:
        """Hang up."""
        self._thread.join(10)
        self._client.close()


def kill_rsyslog(platform: Platform) -> None:
    """The process alone: its container goes on, or is made anew by Swarm."""
    agent: Any = eventually(lambda: container(platform, "log-agent"), 60, "the log agent runs")
    processes = agent.top(ps_args="-eo pid,comm")["Processes"]
    (pid,) = [int(pid) for pid, name in processes if name == "rsyslogd"]
    os.kill(pid, signal.SIGKILL)


def test_a_tail_has_each_line_once_whatever_is_killed_on_their_way(platform: Platform) -> None:
    made = platform.api.post("/apps/python/dynos", json={"command": COUNT, "attach": False}).raise_for_status().json()
    tail = Tail(platform, made["name"])
    tail.until(100, 60)
    first = tail.numbers[0]
    for noun in ("logplex", "rsyslogd", "log-agent"):
        before = tail.numbers[-1]
        if noun == "rsyslogd":
            kill_rsyslog(platform)
        else:
            eventually(lambda n=noun: container(platform, n), 60, f"{noun} runs").kill(signal="SIGKILL")  # type: ignore[misc]
        time.sleep(1)
        tail.until(min(before + 300, LINES - 1), 60)
    tail.until(LINES - 1, 60)
    tail.close()
    assert tail.numbers == [*range(first, LINES)]
