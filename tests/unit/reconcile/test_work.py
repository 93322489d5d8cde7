"""What a pass asks of the engine: as much as has changed, however many dynos there are."""

from collections import Counter
from pathlib import Path

import pytest

from dynoform.configuration import Configuration
from dynoform.store.session import Store
from tests.many_dynos import ADDRESS_LABEL, ManyDynos
from tests.simulated_swarm import Cluster, serving

LOOK = {"GET services": 1, "GET nodes": 1, "GET tasks": 1}


@pytest.mark.parametrize("dynos", [10, 60])
def test_calls_grow_with_changes_and_not_with_dynos(
    store: Store, configuration: Configuration, tmp_path: Path, dynos: int
) -> None:
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
