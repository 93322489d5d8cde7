"""Logs, from the real log plane."""

from collections.abc import Iterator

import pytest

from dynoform.api.services import Services
from tests.heroku.invocations import covers
from tests.heroku_cli import HerokuCLI, Ran
from tests.log_plane import Plane


@pytest.fixture
def plane(services: Services) -> Iterator[Plane]:
    """A log plane where the API looks for it."""
    made = Plane(services.logplex_port)
    yield made
    made.stop()


def lines(ran: Ran) -> list[str]:
    """What was shown, without the times."""
    return [line.partition(" ")[2] for line in ran.out.splitlines()]


@covers("logs -a myapp", "logs -a myapp --dyno-name web.1 -n 5 -s app")
def test_logs_are_shown_and_filtered(heroku: HerokuCLI, plane: Plane, myapp: str) -> None:
    plane.write(myapp, *(f"line {number}" for number in range(8)))
    plane.write(myapp, "other dyno", process="worker.1")
    plane.write(myapp, "State changed from starting to up", source="heroku")
    everything, some = heroku.each("logs -a myapp", "logs -a myapp --dyno-name web.1 -n 5 -s app")
    own = [f"app[web.1]: line {number}" for number in range(8)]
    assert lines(everything) == [
        *own,
        "app[worker.1]: other dyno",
        "heroku[web.1]: State changed from starting to up",
    ]
    assert lines(some) == own[-5:]


@covers("logs -a myapp --tail")
def test_logs_go_on_with_tail(heroku: HerokuCLI, plane: Plane, myapp: str) -> None:
    plane.write(myapp, "before")
    written: list[bool] = []

    def enough(seen: str) -> bool:
        if not written and "before" in seen:
            written.append(True)
            plane.write(myapp, "while it runs ✓", "and again")
        return "and again" in seen

    ran = heroku.until("logs -a myapp --tail", enough)
    assert lines(ran) == [f"app[web.1]: {text}" for text in ("before", "while it runs ✓", "and again")]
