"""How soon the next pass is due."""

import uuid
from datetime import UTC, datetime, timedelta

import pytest

from dynoform.domain.dyno_snapshot import DynoState
from dynoform.reconcile.declared import Declared
from dynoform.reconcile.loop import _due

NOW = datetime(2026, 11, 26, tzinfo=UTC)


@pytest.mark.parametrize(
    ("state", "seconds", "took", "due"),
    [
        ("up", 1, 0.01, 2.0),
        ("starting", 1, 0.01, 0.2),
        ("down", 89, 0.01, 0.2),
        ("starting", 90, 0.01, 2.0),
        ("starting", 1, 0.5, 0.5),
        ("up", 1, 0.5, 5.0),
    ],
)
def test_passes_are_soon_while_dynos_move_and_leave_time_to_others(
    state: str, seconds: float, took: float, due: float
) -> None:
    since = NOW - timedelta(seconds=seconds)
    one = DynoState(uuid.uuid4(), uuid.uuid4(), uuid.uuid4(), "web", 1, "Eco", state, since)
    assert _due(Declared(NOW, (), (one,), ()), took) == due
