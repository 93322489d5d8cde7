"""What the CLI's Kafka plugin does with the data API; brokers are in the end-to-end tests."""

from collections.abc import Iterator

import httpx
import pytest

from dynoform.api.services import Services
from tests.contract.addon_fixtures import at_work
from tests.heroku.invocations import covers
from tests.heroku_cli import HerokuCLI
from tests.scripted_kafka import LocalKafka, local_kafka

TENANT, OWN = "kafka-flat-11111", "kafka-round-22222"


@pytest.fixture
def place(services: Services, myapp: str) -> Iterator[LocalKafka]:
    """A worker of clusters, at work."""
    made = local_kafka(services)
    with at_work(made.worker):
        yield made


@pytest.fixture
def tenant(client: httpx.Client, place: LocalKafka) -> str:
    """``myapp`` has a part of the shared cluster."""
    client.post("/apps/myapp/addons", json={"plan": "heroku-kafka:basic-0", "name": TENANT}).raise_for_status()
    return TENANT


@pytest.fixture
def own(client: httpx.Client, place: LocalKafka) -> str:
    """``myapp`` has a cluster of three brokers."""
    body = {"plan": "heroku-kafka:standard-0", "name": OWN, "config": {"brokers": "3"}}
    client.post("/apps/myapp/addons", json=body).raise_for_status()
    return OWN


@covers(
    "kafka:topics:create t2 -a myapp --partitions 1",
    "kafka:info -a myapp",
    "kafka:topics -a myapp",
    "kafka:topics:info t1 -a myapp",
    "kafka:topics:retention-time t1 2d -a myapp",
    "kafka:topics:compaction t1 enable -a myapp",
    "kafka:topics:destroy t1 -a myapp --confirm myapp",
    "kafka:wait -a myapp",
)
def test_a_tenants_topics(heroku: HerokuCLI, place: LocalKafka, tenant: str, client: httpx.Client) -> None:
    prefix = client.get("/apps/myapp/config-vars").json()["KAFKA_PREFIX"]
    made = heroku("kafka:topics:create t1 -a myapp --partitions 1")
    assert "compaction disabled and retention time 1 day on" in made.text
    assert f"Your topic is using the prefix {prefix}" in made.text
    info, topics, waited = heroku.each("kafka:info -a myapp", "kafka:topics -a myapp", "kafka:wait -a myapp")
    assert "KAFKA_URL" in info.text and "Status: available Version: 4.3.1" in info.text
    assert "1 / 40 topics" in info.text and "1 / 240 partition replica" in info.text
    assert f"Prefix: {prefix}" in info.text and f"Add-on: {TENANT}" in info.text
    assert f"1 / 40 topics; prefix: {prefix}" in topics.text and ["t1", "2/sec", "2", "KB/sec"] in topics.table
    assert waited.out == ""
    heroku("kafka:topics:retention-time t1 2d -a myapp")
    assert place.brokers.topics[f"{prefix}t1"]["retention_ms"] == 172_800_000
    heroku("kafka:topics:compaction t1 enable -a myapp")
    assert place.brokers.topics[f"{prefix}t1"]["cleanup_policy"] == "compact,delete"
    shown = heroku(f"kafka:topics:info {prefix}t1 -a myapp").text
    assert "Partitions: 1 partition Replication Factor: 1" in shown and "Retention: 2 days" in shown
    assert "Compaction is enabled for t1" in shown
    heroku("kafka:topics:destroy t1 -a myapp --confirm myapp")
    assert place.brokers.topics == {}
    assert "No topics found on this Kafka cluster" in heroku("kafka:topics -a myapp").text


@covers("kafka:consumer-groups:create g2 -a myapp", "kafka:consumer-groups -a myapp")
def test_a_tenants_groups(heroku: HerokuCLI, place: LocalKafka, tenant: str) -> None:
    heroku("kafka:consumer-groups:create g2 -a myapp")
    assert ["g2"] in heroku("kafka:consumer-groups -a myapp").table
    heroku("kafka:consumer-groups:destroy g2 -a myapp --confirm myapp")
    assert place.brokers.groups == set()


@covers(
    "kafka:credentials --reset -a myapp",
    "kafka:topics:replication-factor t1 3 -a myapp",
)
def test_a_cluster_of_ones_own(heroku: HerokuCLI, place: LocalKafka, own: str, client: httpx.Client) -> None:
    heroku("kafka:topics:create t1 -a myapp --partitions 2 --replication-factor 1")
    heroku("kafka:topics:replication-factor t1 3 -a myapp")
    assert place.brokers.topics["t1"]["replication_factor"] == 3
    before = client.get("/apps/myapp/config-vars").json()
    assert "Credentials rotated" in heroku("kafka:credentials --reset -a myapp").text
    after = client.get("/apps/myapp/config-vars").json()
    assert {name for name in after if before[name] != after[name]} == {"KAFKA_CLIENT_CERT", "KAFKA_CLIENT_CERT_KEY"}
    assert "was killed; it is started again" in heroku("kafka:fail -a myapp --confirm myapp").text
    assert len(place.brokers.killed) == 1
    needless = heroku("kafka:consumer-groups:create g2 -a myapp").text
    assert "does not need consumer groups managed explicitly" in needless
    assert "is only available in Heroku Private Spaces" in heroku("kafka:zookeeper on -a myapp", code=2).text


@covers("kafka:upgrade --version 3.7 -a myapp --confirm myapp")
def test_an_upgrade(heroku: HerokuCLI, place: LocalKafka, own: str) -> None:
    refused = heroku("kafka:upgrade --version 3.7 -a myapp --confirm myapp", code=2)
    assert "Version 3.7 is not there: the platform has Kafka 4.3" in refused.text
    assert "started" in heroku("kafka:upgrade --version 4.3 -a myapp --confirm myapp").text
    heroku("kafka:wait -a myapp --wait-interval 1")
    assert len(place.made.again) == 2


def test_of_several_clusters_one_is_named(heroku: HerokuCLI, place: LocalKafka, tenant: str, own: str) -> None:
    which = heroku("kafka:topics -a myapp", code=2)
    assert "found more than one kafka add-on on myapp" in which.text
    heroku(f"kafka:topics:create t1 {OWN} -a myapp")
    assert [*place.brokers.topics] == ["t1"]
    shown = heroku("kafka:info -a myapp").text
    assert f"Add-on: {TENANT}" in shown and f"Add-on: {OWN}" in shown
