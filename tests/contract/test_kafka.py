"""Kafka as an add-on, and its data API: everything but the brokers is real."""

import time
import uuid
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import httpx
import pytest
from sqlalchemy import select

from dynoform.addons import client_certificates
from dynoform.api import databases as api_databases
from dynoform.api.services import Services
from dynoform.domain import data_services, kafka
from dynoform.store import databases
from dynoform.store import kafka as store_kafka
from dynoform.store.session import Store, now
from dynoform.store.tables import Addon, AddonChange, KafkaCluster
from tests.contract.addon_fixtures import at_work
from tests.contract.conftest import Person
from tests.scripted_kafka import LocalKafka, local_kafka

DAY = 86_400_000


@pytest.fixture
def place(services: Services, operator: object) -> Iterator[LocalKafka]:
    """A worker of clusters, at work."""
    made = local_kafka(services)
    with at_work(made.worker):
        yield made


@pytest.fixture
def tenant(client: httpx.Client, app: str, place: LocalKafka) -> dict[str, Any]:
    """A part of the shared cluster, of ``myapp``."""
    return create(client, "basic-0")


@pytest.fixture
def own(client: httpx.Client, app: str, place: LocalKafka) -> dict[str, Any]:
    """A cluster of three brokers of ``myapp``."""
    return create(client, "standard-0", config={"brokers": "3"})


def create(client: httpx.Client, plan: str, app: str = "myapp", **more: Any) -> dict[str, Any]:
    answer = client.post(f"/apps/{app}/addons", json={"plan": f"heroku-kafka:{plan}", **more})
    made: dict[str, Any] = answer.raise_for_status().json()
    return made


def path(addon: dict[str, Any], rest: str = "") -> str:
    return f"/data/kafka/v0/clusters/{addon['id']}{rest}"


def config(client: httpx.Client, app: str = "myapp") -> dict[str, str]:
    found: dict[str, str] = client.get(f"/apps/{app}/config-vars").raise_for_status().json()
    return found


def get(client: httpx.Client, where: str) -> dict[str, Any]:
    found: dict[str, Any] = client.get(where).raise_for_status().json()
    return found


def topic(client: httpx.Client, addon: dict[str, Any], name: str, **more: Any) -> httpx.Response:
    return client.post(path(addon, "/topics"), json={"topic": {"name": name, "retention_time_ms": DAY, **more}})


def test_a_tenant_gets_herokus_config_vars(client: httpx.Client, tenant: dict[str, Any]) -> None:
    found = config(client)
    assert sorted(found) == sorted(kafka.CONFIG_VARS)
    assert found["KAFKA_URL"] == "kafka+ssl://172.29.0.1:15000"
    assert found["KAFKA_PREFIX"] == kafka.prefix(uuid.UUID(tenant["id"]))
    assert tenant["provision_message"] == "The cluster is there. Make topics with heroku kafka:topics:create"
    again = create(client, "standard-0", config={"brokers": "3"})
    attached = [name for name in config(client) if name.startswith("HEROKU_KAFKA_")]
    assert len(attached) == 4, "no prefix in a cluster of one's own"
    assert again["plan"]["name"] == "heroku-kafka:standard-0"


def test_plans_are_the_ones_that_are_there(client: httpx.Client, place: LocalKafka) -> None:
    plans = client.get("/addon-services/heroku-kafka/plans").raise_for_status().json()
    names = {f"heroku-kafka:{name}" for name in ("basic-0", "basic-1", "basic-2", "standard-0")}
    assert {plan["name"] for plan in plans} == names
    assert {plan["price"]["cents"] for plan in plans} == {0}
    assert [plan["name"] for plan in plans if plan["default"]] == ["heroku-kafka:basic-0"]


def test_info_shows_a_tenant_its_part(client: httpx.Client, tenant: dict[str, Any]) -> None:
    topic(client, tenant, "orders", partition_count="2").raise_for_status()
    shown = get(client, path(tenant))
    assert (shown["topics"], shown["partition_replica_count"], shown["version"]) == (["orders"], 2, "4.3.1")
    assert (shown["messages_in_per_sec"], shown["bytes_in_per_sec"], shown["data_size"]) == (1.5, 2048.0, 1000)
    assert shown["state"] == {"message": "available"}
    assert (shown["shared_cluster"], shown["topic_prefix"]) == (True, config(client)["KAFKA_PREFIX"])
    assert shown["limits"] == {
        "data_size": {"limit_bytes": 4 * 2**30}, "default_partition_count": 8, "default_retention_ms": DAY,
        "max_partition_replica_count": 240, "max_topics": 40, "maximum_retention_ms": 7 * DAY,
        "minimum_retention_ms": 3_600_000,
    }  # fmt: skip
    assert shown["robot"]["is_robot"] is False
    assert get(client, f"/data/kafka/v0/clusters/{tenant['name']}")["addon_id"] == tenant["id"]


def test_info_says_when_brokers_are_missing(client: httpx.Client, own: dict[str, Any], place: LocalKafka) -> None:
    assert get(client, path(own))["state"] == {"message": "available"}
    place.brokers.away = {"-2"}
    assert get(client, path(own))["state"] == {"message": "available, 2 of 3 brokers"}


def test_info_says_so_when_the_cluster_does_not_answer(
    client: httpx.Client, own: dict[str, Any], place: LocalKafka, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api_databases, "WAIT_SECONDS", 0.2)
    place.brokers.away = {"-1", "-2", "-3"}
    shown = get(client, path(own))
    assert (shown["state"], shown["topics"], shown["version"]) == ({"message": "unavailable"}, [], "4.3")
    for rest in ("/topics", "/consumer_groups"):
        answer = client.get(path(own, rest))
        assert answer.status_code == 503
        assert answer.json()["message"] == "The database: does not answer — try again in a minute"


def test_topics_are_made_changed_and_destroyed(client: httpx.Client, own: dict[str, Any]) -> None:
    made = topic(client, own, "orders", partition_count="4", replication_factor="2")
    assert made.raise_for_status().json() == {"message": "Topic created"}
    (shown,) = get(client, path(own, "/topics"))["topics"]
    assert shown == {
        "bytes_in_per_second": 6144.0, "bytes_out_per_second": 0.0, "compaction": False,
        "messages_in_per_second": 4.5, "name": "orders", "partitions": 4, "prefix": None, "replication_factor": 2,
        "retention_time_ms": DAY,
    }  # fmt: skip
    changes: list[tuple[dict[str, Any], tuple[bool, int | None, int]]] = [
        ({"retention_time_ms": 2 * DAY, "compaction": False}, (False, 2 * DAY, 2)),
        ({"retention_time_ms": 2 * DAY, "compaction": True}, (True, 2 * DAY, 2)),
        ({"retention_time_ms": None, "compaction": True}, (True, None, 2)),
        ({"retention_time_ms": None, "compaction": True, "replication_factor": "3"}, (True, None, 3)),
        ({"retention_time_ms": None, "compaction": False}, (False, None, 3)),
    ]
    for change, then in changes:
        body = {"topic": {"name": "orders", **change}}
        client.put(path(own, "/topics/orders"), json=body).raise_for_status()
        (shown,) = get(client, path(own, "/topics"))["topics"]
        assert (shown["compaction"], shown["retention_time_ms"], shown["replication_factor"]) == then
    gone = client.request("DELETE", path(own, "/topics/orders"), json={"topic_name": "orders"})
    assert gone.raise_for_status().json() == {"message": "Topic marked for deletion"}
    assert get(client, path(own, "/topics"))["topics"] == []


@pytest.mark.parametrize(
    ("name", "more", "message"),
    [
        ("a b", {}, "Names of topics and consumer groups may have letters, digits, dots, dashes and underscores, "),
        ("__consumer_offsets", {}, "Names that start with two underscores are Kafka's own"),
        ("orders", {"partition_count": "1000"}, "The partitions must be a number from 1 to 256"),
        ("orders", {"replication_factor": "4"}, "The replication factor must be a number from 1 to 3"),
        ("orders", {"retention_time_ms": 1}, "Retention time must be from 1 hour to 14 days on the plan standard-0"),
    ],
)  # fmt: skip
def test_what_a_topic_cannot_be_is_said(
    client: httpx.Client, own: dict[str, Any], name: str, more: dict[str, Any], message: str
) -> None:
    refused = topic(client, own, name, **more)
    assert (refused.status_code, refused.json()["id"]) == (422, "invalid_params")
    assert refused.json()["message"].startswith(message)


def test_what_is_there_already_or_is_not_is_said(client: httpx.Client, own: dict[str, Any]) -> None:
    topic(client, own, "orders").raise_for_status()
    twice = topic(client, own, "orders")
    assert (twice.status_code, twice.json()["message"]) == (422, "Topic orders already exists")
    other = client.delete(path(own, "/topics/others"))
    assert (other.status_code, other.json()["message"]) == (422, "Topic others does not exist")


def test_a_tenants_topics_have_its_prefix_and_its_limits(
    client: httpx.Client, tenant: dict[str, Any], place: LocalKafka
) -> None:
    prefix = config(client)["KAFKA_PREFIX"]
    for name in ("orders", f"{prefix}bills"):
        topic(client, tenant, name, partition_count="100").raise_for_status()
    assert sorted(place.brokers.topics) == [f"{prefix}bills", f"{prefix}orders"]
    shown = get(client, path(tenant, "/topics"))
    assert (shown["prefix"], shown["limits"], shown["attachment_name"]) == (prefix, {"max_topics": 40}, "KAFKA")
    assert [(each["name"], each["prefix"]) for each in shown["topics"]] == [("orders", prefix), ("bills", prefix)]
    full = topic(client, tenant, "more", partition_count="100")
    assert full.json()["message"] == (
        "The plan basic-0 has room for 240 partitions with their replicas, these would be 300"
    )
    for_ever = topic(client, tenant, "more", retention_time_ms=None)
    assert for_ever.json()["message"] == "Topics of the plan basic-0 must have a retention time"


def test_a_tenant_makes_its_groups_and_another_needs_none(
    client: httpx.Client, tenant: dict[str, Any], place: LocalKafka
) -> None:
    body = {"consumer_group": {"name": "readers"}}
    client.post(path(tenant, "/consumer_groups"), json=body).raise_for_status()
    assert get(client, path(tenant, "/consumer_groups")) == {"consumer_groups": [{"name": "readers"}]}
    client.request("DELETE", path(tenant, "/consumer_groups"), json=body).raise_for_status()
    assert get(client, path(tenant, "/consumer_groups")) == {"consumer_groups": []}
    refused = client.post(path(create(client, "standard-0"), "/consumer_groups"), json=body)
    assert (refused.status_code, refused.json()["message"]) == (400, kafka.NO_GROUPS)


def test_a_rotation_is_a_release_with_another_certificate(client: httpx.Client, own: dict[str, Any]) -> None:
    before = config(client)
    answer = client.post(path(own, "/rotate-credentials")).raise_for_status().json()
    assert answer == {"message": "Credentials rotated: the app restarts with the new ones"}
    after = config(client)
    changed = {name for name, value in after.items() if before[name] != value}
    assert changed == {"KAFKA_CLIENT_CERT", "KAFKA_CLIENT_CERT_KEY"}
    newest = client.get("/apps/myapp/releases").raise_for_status().json()[-1]["description"]
    assert newest.startswith("Update KAFKA_URL, KAFKA_TRUSTED_CERT") and newest.endswith("by heroku-kafka")


def test_a_broker_can_be_made_to_fail(client: httpx.Client, own: dict[str, Any], place: LocalKafka) -> None:
    done = client.post(path(own, "/induce-failure"), json={"catastrophic": False}).raise_for_status().json()
    (killed,) = place.brokers.killed
    assert done == {"message": f"Broker {killed[-1]} was killed; it is started again"}
    refused = client.post(path(own, "/induce-failure"), json={"zookeeper": True})
    assert refused.json()["message"] == "There is no ZooKeeper: brokers are their own controllers"


def test_an_upgrade_restarts_the_brokers_and_is_waited_for(
    client: httpx.Client, own: dict[str, Any], place: LocalKafka, store: Store
) -> None:
    other = client.put(path(own, "/upgrade"), json={"version": "3.7"})
    assert other.json()["message"] == "Version 3.7 is not there: the platform has Kafka 4.3"
    before, releases = len(place.made.again), client.get("/apps/myapp/releases").raise_for_status().json()
    started = client.put(path(own, "/upgrade"), json={"version": "4.3.1"}).raise_for_status().json()
    assert started == {"message": "Upgrade started"}
    wait(client, own)
    assert len(place.made.again) == before + 1
    assert client.get("/apps/myapp/releases").raise_for_status().json() == releases, "the app has what it has"


def wait(client: httpx.Client, own: dict[str, Any]) -> None:
    """Until nothing is done to the cluster."""
    deadline = time.monotonic() + 60
    while (status := get(client, path(own, "/wait_status")))["waiting?"] and time.monotonic() < deadline:
        time.sleep(0.05)
    assert status == {"message": "available", "waiting?": False}


def test_a_rotation_that_failed_halfway_is_a_release_before_the_old_certificate_ends(
    client: httpx.Client, own: dict[str, Any], place: LocalKafka, services: Services
) -> None:
    before, addon_id = config(client), uuid.UUID(own["id"])
    count = len(client.get("/apps/myapp/releases").raise_for_status().json())

    def credential(user: str) -> str:
        return client_certificates.new_client(client_certificates.new_authority("Kafka"), user)

    with services.store.transaction() as session:
        databases.rotated(session, services.vault, addon_id, uuid.uuid4(), timedelta(0), credential)
    (old,) = place.brokers.did("users")[-1]["users"]
    for gone in ([], [old], []):
        with services.store.transaction() as session:
            addon = session.get_one(Addon, addon_id)
            databases.ask(session, addon, data_services.MAINTAIN, addon.account_id, {"old": True})
        wait(client, own)
        assert place.brokers.did("users")[-1]["gone"] == gone
        assert config(client)["KAFKA_CLIENT_CERT"] != before["KAFKA_CLIENT_CERT"]
        assert len(client.get("/apps/myapp/releases").raise_for_status().json()) == count + 1


def test_what_is_being_brought_up_to_date_is_waited_for(
    client: httpx.Client, own: dict[str, Any], place: LocalKafka, store: Store
) -> None:
    with store.transaction() as session:
        addon = session.get_one(Addon, uuid.UUID(own["id"]))
        change = databases.ask(session, addon, data_services.MAINTAIN, addon.account_id)
        change.lease_expires_at = now(session) + timedelta(hours=1)  # somebody else has it
    assert get(client, path(own, "/wait_status")) == {"message": "preparing", "waiting?": True}


def test_the_shared_cluster_is_not_one_tenants_to_stop(client: httpx.Client, tenant: dict[str, Any]) -> None:
    fails = client.post(path(tenant, "/induce-failure"), json={})
    assert fails.json()["message"] == "A cluster that others use, too, cannot be made to fail"
    upgrade = client.put(path(tenant, "/upgrade"), json={"version": "4.3"})
    assert upgrade.json()["message"] == "A cluster that others use, too, is brought up to date by the platform"


def test_a_cluster_is_its_apps_own(
    client: httpx.Client, own: dict[str, Any], stranger: httpx.Client, person: Person
) -> None:
    reads = ("", "/topics", "/consumer_groups", "/wait_status")
    assert [stranger.get(path(own, rest)).status_code for rest in reads] == [404] * 4
    group, body = {"consumer_group": {"name": "a"}}, {"topic": {"name": "a"}}
    changes: tuple[tuple[str, str, dict[str, Any]], ...] = (
        ("POST", "/topics", body), ("PUT", "/topics/a", body), ("DELETE", "/topics/a", {}),
        ("POST", "/consumer_groups", group), ("DELETE", "/consumer_groups", group),
        ("POST", "/rotate-credentials", {}), ("POST", "/induce-failure", {}), ("PUT", "/upgrade", {"version": "4.3"}),
    )  # fmt: skip
    found = [stranger.request(method, path(own, rest), json=sent).status_code for method, rest, sent in changes]
    assert found == [404] * len(changes)
    reader = person("ann-reads", "read")
    client.post("/apps/myapp/collaborators", json={"user": "ann-reads@example.com", "silent": True}).raise_for_status()
    found = [reader.request(method, path(own, rest), json=sent).status_code for method, rest, sent in changes]
    assert found == [403] * len(changes)
    assert client.get(f"/client/v11/databases/{own['id']}").status_code == 404, "a Kafka is no PostgreSQL"


def test_another_plan_brings_other_limits_but_moves_no_messages(
    client: httpx.Client, tenant: dict[str, Any], place: LocalKafka
) -> None:
    changed = client.patch(f"/apps/myapp/addons/{tenant['id']}", json={"plan": "heroku-kafka:basic-1"})
    assert changed.raise_for_status().json()["plan"]["name"] == "heroku-kafka:basic-1"
    assert place.brokers.did("users")[-1]["quotas"]["producer_byte_rate"] == 524_288
    refused = client.patch(f"/apps/myapp/addons/{tenant['id']}", json={"plan": "heroku-kafka:standard-0"})
    assert refused.status_code == 422
    assert refused.json()["message"].startswith("Messages do not move between a shared cluster and one of an app's own")


def test_destroying_takes_all_of_it(
    client: httpx.Client, tenant: dict[str, Any], own: dict[str, Any], place: LocalKafka, store: Store
) -> None:
    assert [*place.made.instances] == [str(store_kafka.SHARED), own["id"]]
    for each in (own, tenant):
        gone = client.delete(f"/apps/myapp/addons/{each['id']}").raise_for_status().json()
        assert gone["state"] == "deprovisioned"
    assert place.made.instances == {}
    assert config(client) == {}
    with store.transaction() as session:
        assert session.scalars(select(KafkaCluster)).all() == []
        assert session.scalars(select(AddonChange)).all() == []
