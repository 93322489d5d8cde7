"""Logs, from the real log plane."""

import asyncio
import threading
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import pytest

from dynoform.api.services import Services
from dynoform.journal import Journal
from dynoform.logplex.server import Logplex
from tests.heroku.invocations import covers
from tests.heroku_cli import HerokuCLI

Write = Callable[[str], str]


@pytest.fixture
def write(services: Services, myapp: str) -> Iterator[Write]:
    """Writes a line to the log of ``myapp`` on a log plane where the API looks for it; returns it with its time."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    plane = Logplex(Journal("logplex"))
    asyncio.run_coroutine_threadsafe(plane.start("127.0.0.1", 0, services.logplex_port), loop).result(5)
    moments = iter(datetime(2026, 11, 20, tzinfo=UTC) + timedelta(seconds=second) for second in range(60))
    app_id = str(uuid.UUID(myapp))

    def append(text: str) -> str:
        line = f"{next(moments).isoformat(timespec='microseconds')} {text}"
        loop.call_soon_threadsafe(plane.buffers.append, app_id, line.encode())
        return line

    yield append
    asyncio.run_coroutine_threadsafe(plane.stop(), loop).result(10)
    loop.call_soon_threadsafe(loop.stop)
    thread.join(5)
    loop.close()


@covers("logs -a myapp", "logs -a myapp --dyno-name web.1 -n 5 -s app")
def test_logs_are_shown_and_filtered(heroku: HerokuCLI, write: Write) -> None:
    lines = [write(f"app[web.1]: line {number}") for number in range(8)]
    others = [write("app[worker.1]: other dyno"), write("heroku[web.1]: State changed from starting to up")]
    everything, some = heroku.each("logs -a myapp", "logs -a myapp --dyno-name web.1 -n 5 -s app")
    assert everything.out.splitlines() == [*lines, *others]
    assert some.out.splitlines() == lines[-5:]


@covers("logs -a myapp --tail")
def test_logs_go_on_with_tail(heroku: HerokuCLI, write: Write) -> None:
    first = write("app[web.1]: before")
    later: list[str] = []

    def enough(seen: str) -> bool:
        if not later and first in seen:
            later.extend([write("app[web.1]: while it runs ✓"), write("app[web.1]: and again")])
        return bool(later) and later[-1] in seen

    ran = heroku.until("logs -a myapp --tail", enough)
    assert ran.out.splitlines() == [first, *later]
