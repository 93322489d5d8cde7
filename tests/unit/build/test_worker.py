"""When the builder starts a shift: for work, and for work that is announced."""

import threading
import uuid

import pytest

from dynoform.build import worker
from dynoform.configuration import Configuration
from dynoform.journal import Journal
from dynoform.store.builds import announce
from dynoform.store.session import Store
from tests.store_fixtures import configuration, migrated, store

__all__ = ["configuration", "migrated", "store"]


class Waiting(worker.Shifts):
    """One that waits for work, or none."""

    def __init__(self, present: bool) -> None:
        super().__init__(1)
        self._present = present

    @property
    def any(self) -> bool:
        return self._present


@pytest.mark.parametrize("waits", [False, True])
def test_an_announced_deploy_wants_a_shift_unless_one_waits(
    configuration: Configuration, store: Store, monkeypatch: pytest.MonkeyPatch, waits: bool
) -> None:
    monkeypatch.setattr(worker, "_PORTION", 60.0)
    looks = worker._looks(configuration, Journal("builder"), Waiting(waits))
    assert next(looks) is False

    def tell() -> None:
        with store.transaction() as session:
            announce(session, uuid.uuid4())

    teller = threading.Timer(0.2, tell)
    teller.start()
    assert next(looks) is not waits
    teller.join()
    looks.close()  # type: ignore[attr-defined]
