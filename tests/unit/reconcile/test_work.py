"""What a pass asks of the engine: as much as has changed, however many dynos there are."""

import uuid
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from dynoform.configuration import Configuration
from dynoform.reconcile import loop, specification
from dynoform.reconcile.swarm import Swarm
from dynoform.store.session import Store
from tests.many_dynos import ADDRESS_LABEL, ManyDynos
from tests.simulated_swarm import Cluster, serving
from tests.unit.reconcile.test_specification import SHOP

LOOK = {"GET services": 1, "GET nodes": 1, "GET tasks": 1}


@pytest.mark.parametrize("dynos", [10, 40])
def test_calls_grow_with_changes_and_not_with_dynos(
    store: Store, configuration: Configuration, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dynos: int
) -> None:
    monkeypatch.setattr(loop, "TIDY_SECONDS", 3600.0)  # what is tidied now and then is not asked for by a change
    cluster = Cluster(ADDRESS_LABEL, hosts=5)
    with serving(cluster, tmp_path / "engine") as engine:
        many = ManyDynos(store, configuration, engine)
        many.declare(dynos)
        many.settle()
        assert len(cluster.services) == dynos
        cluster.calls.clear()
        many.reconciler.step()
        assert cluster.calls == LOOK
        for lost in [*cluster.services][:3]:  # by hand
            del cluster.services[lost], cluster.tasks[lost]
        cluster.calls.clear()
        passes = many.settle()
        looks = Counter({call: number * passes for call, number in LOOK.items()})
        assert cluster.calls - looks == {"DELETE services": 3, "GET secrets": 3, "POST services/create": 3}
        assert len(cluster.services) == dynos


def test_a_pass_that_takes_long_leaves_the_rest_to_the_next(
    store: Store, configuration: Configuration, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "PASS_SECONDS", 0)
    cluster = Cluster(ADDRESS_LABEL, hosts=2)
    with serving(cluster, tmp_path / "engine") as engine:
        many = ManyDynos(store, configuration, engine)
        many.declare(10)
        assert many.settle() == 31, (
            "each dyno is added, started and found to be up, one thing a pass; one finds nothing"
        )
        assert len(cluster.services) == 10


def test_no_two_dynos_are_given_one_port_between_two_looks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(specification, "PUBLISHED", range(20_000, 20_005))
    cluster = Cluster(ADDRESS_LABEL, hosts=2)
    with serving(cluster, tmp_path / "engine") as engine:
        swarm = Swarm("many", engine=engine)
        taken = swarm.actual().ports
        for number in range(5):
            swarm.create(replace(SHOP, dyno_id=uuid.UUID(int=number + 1)), {}, taken, "")
        assert swarm.actual().ports == set(range(20_000, 20_005))
