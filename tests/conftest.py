"""What all tests share."""

import gc

import hypothesis
import pytest

from dynoform.cli.commands.test import OF_ENGINE
from dynoform.cli.places import CHECKOUT

# How long an example takes tells what else the machine is busy with.
hypothesis.settings.register_profile(
    "tests", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow], print_blob=True
)
hypothesis.settings.load_profile("tests")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--record", action="store_true", help="write the recorded trees and texts anew instead of comparing"
    )


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Refuse a test that no run would find: the engine's are looked for in some folders, and nothing else is."""
    for item in items:
        is_there = any(CHECKOUT / folder in item.path.parents for folder in OF_ENGINE)
        if is_there != any(item.get_closest_marker(name) for name in ("engine", "machine", "bench")):
            where = "outside" if is_there else "in"
            raise pytest.UsageError(
                f"{item.nodeid}: belongs {where} of {', '.join(OF_ENGINE)}, or lacks its mark (engine, bench)"
            )


def pytest_collection_finish() -> None:
    """Leave all that was imported and collected out of the garbage collector's sight.

    It stays until the end, and each look through it would stop a process of some 700 MiB for a second, or for ten on a
    machine with slow memory: longer than what waits in its threads has time.
    """
    gc.collect()
    gc.freeze()
