"""Kafka as an add-on: what is decided without any."""

import uuid
from typing import Any

import pytest

from dynoform.domain import kafka
from dynoform.errors import InvalidInputError

BASIC, STANDARD = kafka.plan("basic-0"), kafka.plan("standard-0")
DAY = 86_400_000


def test_the_cheapest_plan_is_the_default_and_a_plan_that_is_gone_is_said_to_be() -> None:
    assert [each.name for each in kafka.PLANS] == ["basic-0", "basic-1", "basic-2", "standard-0"]
    assert [each.is_shared for each in kafka.PLANS] == [True, True, True, False]
    with pytest.raises(InvalidInputError, match="The plan heroku-kafka:extended-0 is no longer available"):
        kafka.plan("extended-0")


def test_tenants_have_limits_and_whoever_has_a_cluster_has_none() -> None:
    assert BASIC.quotas == {"producer_byte_rate": 65536, "consumer_byte_rate": 262144, "request_percentage": 100}
    assert STANDARD.quotas == {}
    assert kafka.most_replicas(BASIC, 3) == 240
    assert kafka.most_replicas(STANDARD, 3) == 12_000


def test_a_cluster_has_one_broker_or_three() -> None:
    assert kafka.brokers({}, STANDARD) == 1
    assert kafka.brokers({"brokers": "3"}, STANDARD) == 3
    for options, plan, message in (
        ({"brokers": "2"}, STANDARD, "brokers must be 1 or 3"),
        ({"brokers": "3"}, BASIC, "brokers is no option of heroku-kafka:basic-0"),
        ({"follow": "x"}, STANDARD, "follow is no option of heroku-kafka:standard-0"),
    ):
        with pytest.raises(InvalidInputError, match=message):
            kafka.brokers(options, plan)


def test_no_tenants_prefix_is_the_beginning_of_anothers() -> None:
    ones = [kafka.prefix(uuid.uuid4()) for _ in range(200)]
    assert len(set(ones)) == 200
    assert {(len(one), one[0], one[-1]) for one in ones} == {(22, "t", ".")}


def test_a_cluster_is_named_and_found() -> None:
    assert kafka.cluster_name(uuid.UUID(int=0)) == "A" * 22
    brokers = [("172.29.0.1", 15000), ("10.0.0.2", 15002)]
    assert kafka.url(brokers) == "kafka+ssl://172.29.0.1:15000,kafka+ssl://10.0.0.2:15002"


def test_a_tenant_may_leave_its_prefix_out() -> None:
    assert kafka.full_name("orders", "t1.") == kafka.full_name("t1.orders", "t1.") == "t1.orders"
    assert kafka.full_name("orders", "") == "orders"


@pytest.mark.parametrize("name", ["", ".", "..", "a b", "é", "a/b", "x" * 201, "t1.", "orders\n"])
def test_names_that_cannot_be_are_refused(name: str) -> None:
    with pytest.raises(InvalidInputError, match="may have letters, digits, dots, dashes and underscores, at most 200"):
        kafka.full_name(name, "t1.")


def test_kafkas_own_topics_are_nobodys() -> None:
    with pytest.raises(InvalidInputError, match="Names that start with two underscores are Kafka's own"):
        kafka.full_name("__consumer_offsets", "")
    assert kafka.full_name("__mine", "t1.") == "t1.__mine"


def test_a_new_topic_gets_what_is_usual() -> None:
    assert kafka.check_topic({"retention_time_ms": DAY}, BASIC, 3, is_new=True) == {
        "partitions": 8,
        "replication_factor": 3,
        "config": {"cleanup.policy": "delete", "retention.ms": "86400000"},
    }
    given = {"partition_count": "2", "replication_factor": 1, "compaction": True, "retention_time_ms": None}
    assert kafka.check_topic(given, STANDARD, 1, is_new=True) == {
        "partitions": 2,
        "replication_factor": 1,
        "config": {"cleanup.policy": "compact", "retention.ms": "-1"},
    }


def test_of_a_topic_that_is_there_only_what_is_given_changes() -> None:
    assert kafka.check_topic({}, STANDARD, 3, is_new=False) == {}
    assert kafka.check_topic({"replication_factor": "2"}, STANDARD, 3, is_new=False) == {"replication_factor": 2}
    both = {"retention_time_ms": 2 * DAY, "compaction": True}
    assert kafka.check_topic(both, STANDARD, 3, is_new=False) == {
        "config": {"cleanup.policy": "compact,delete", "retention.ms": "172800000"}
    }


@pytest.mark.parametrize(
    ("given", "plan", "message"),
    [
        ({"partition_count": "257"}, STANDARD, "The partitions must be a number from 1 to 256"),
        ({"partition_count": "-1"}, STANDARD, "The partitions must be a number from 1 to 256"),
        ({"partition_count": "many"}, STANDARD, "The partitions must be a number from 1 to 256"),
        ({"partition_count": 0}, STANDARD, "The partitions must be a number from 1 to 256"),
        ({"replication_factor": "4"}, STANDARD, "The replication factor must be a number from 1 to 3"),
        ({"retention_time_ms": None}, BASIC, "Topics of the plan basic-0 must have a retention time"),
        ({"retention_time_ms": 60_000}, STANDARD, "from 1 hour to 14 days on the plan standard-0"),
        ({"retention_time_ms": 8 * DAY}, BASIC, "from 1 hour to 7 days on the plan basic-0"),
        ({"retention_time_ms": True}, BASIC, "from 1 hour to 7 days on the plan basic-0"),
    ],
)
def test_what_a_topic_cannot_be_like_is_said(given: dict[str, Any], plan: kafka.KafkaPlan, message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        kafka.check_topic(given, plan, 3, is_new=True)


def test_a_plan_has_room_for_so_many_topics_and_partitions() -> None:
    one = {"partitions": 8, "replication_factor": 1}
    kafka.check_room(BASIC, [{"replicas": 8}] * 29, one, 1)
    with pytest.raises(InvalidInputError, match="room for 40 topics: destroy one first"):
        kafka.check_room(BASIC, [{"replicas": 1}] * 40, one, 1)
    with pytest.raises(InvalidInputError, match="room for 240 partitions with their replicas, these would be 248"):
        kafka.check_room(BASIC, [{"replicas": 8}] * 30, one, 1)
    with pytest.raises(InvalidInputError, match="room for 12000 partitions with their replicas, these would be 12003"):
        kafka.check_room(STANDARD, [{"replicas": 12_000}], {"partitions": 1, "replication_factor": 3}, 3)
