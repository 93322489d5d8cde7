"""How hosts are, as the operator is told."""

from datetime import timedelta

import httpx
from sqlalchemy import func

from dynoform.domain.placement import Host
from dynoform.store import hosts
from dynoform.store.session import Store
from dynoform.store.tables import HostReport

GIB = 1 << 30
PATH = "/dynoform/hosts"


def report(name: str, node_id: str, seconds: float) -> HostReport:
    """What the agent of a host with little disk left told some seconds ago."""
    return HostReport(
        name=name,
        node_id=node_id,
        reported_at=func.clock_timestamp() - timedelta(seconds=seconds),
        engine="26.1.5",
        memory_bytes=8 * GIB,
        free_memory_bytes=3 * GIB,
        disk_bytes=100 * GIB,
        free_disk_bytes=2 * GIB,
        load=0.5,
        dynos=7,
        events_until=0,
    )


def test_hosts_are_told_with_what_their_agents_tell(client: httpx.Client, store: Store) -> None:
    with store.transaction() as session:
        hosts.replace(session, [Host("n2", "two", 4 * GIB, zone="b"), Host("n1", "one", 8 * GIB)])
        session.add_all([report("one", "n1", 5), report("once-one", "n1", 5000)])
    one, two = client.get(PATH).json()
    assert (one["name"], one["dynos"], one["load"], one["engine_version"]) == ("one", 7, 0.5, "26.1.5")
    assert (one["free_memory_bytes"], one["free_disk_bytes"]) == (3 * GIB, 2 * GIB)
    assert one["problem"].startswith("its disk is nearly full, 2048 MiB left — ")
    assert (two["name"], two["zone"], two["state"], two["problem"]) == ("two", "b", "open", None)
    assert two["reported_at"] is two["dynos"] is None


def test_only_the_operator_sees_hosts(stranger: httpx.Client) -> None:
    answer = stranger.get(PATH)
    assert (answer.status_code, answer.json()["id"]) == (403, "forbidden")
    assert answer.json()["message"] == "You do not have access to the platform's hosts. Only its operator has."
