"""Which hosts are lost by what their routers say."""

from datetime import UTC, datetime, timedelta

import pytest

from dynoform.domain.placement import Host
from dynoform.reconcile import hearing
from dynoform.reconcile.declared import Router
from dynoform.reconcile.hearing import Hearing

NOW = datetime(2026, 11, 26, tzinfo=UTC)
UNKNOWN = Host("n1", "one", 1, unknown=True)
KNOWN = Host("n2", "two", 1)


def router(host: str, second: int) -> Router:
    """What the router on ``host`` told at that second of its own."""
    routed = NOW + timedelta(seconds=second)
    return Router(host, routed, routed + timedelta(minutes=1))


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """This process's clock: its last entry."""
    times = [1000.0]
    monkeypatch.setattr(hearing.time, "monotonic", lambda: times[-1])
    return times


def lost(heard: Hearing) -> list[str]:
    return [host.name for host in heard.believed((UNKNOWN, KNOWN)) if not host.ready]


def test_an_unknown_host_whose_router_is_silent_is_lost_and_no_other(clock: list[float]) -> None:
    heard = Hearing()
    for second in (0, 2, 4, 6, 8):
        clock.append(1000.0 + second)
        heard.note([router("one", 0), router("two", 0)])
        assert lost(heard) == []
    clock.append(1008.1)
    assert lost(heard) == ["one"]
    heard.note([router("one", 1), router("two", 0)])
    assert lost(heard) == []


def test_a_router_that_tells_an_earlier_time_is_heard_too(clock: list[float]) -> None:
    """The store's clock was set back."""
    heard = Hearing()
    heard.note([router("one", 100)])
    clock.append(1009.0)
    heard.note([router("one", 5)])
    assert lost(heard) == []


def test_a_host_without_a_router_is_swarm_s_to_judge(clock: list[float]) -> None:
    heard = Hearing()
    heard.note([router("two", 0)])
    clock.append(1100.0)
    assert lost(heard) == []


def test_silence_does_not_count_while_nobody_could_be_heard(clock: list[float]) -> None:
    heard = Hearing()
    heard.note([router("one", 0)])
    clock.append(1060.0)
    heard.forget()
    heard.note([router("one", 0)])
    assert lost(heard) == []
