"""Kafka as an add-on: plans, names of topics and groups, and the limits on them. Pure.

Plans are Heroku's (https://devcenter.heroku.com/articles/kafka-on-heroku and
https://devcenter.heroku.com/articles/multi-tenant-kafka-on-heroku), as far as what they promise is there.
"""

import base64
import re
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dynoform.domain.data_services import GIB
from dynoform.errors import InvalidInputError

CONFIG_VARS = ("KAFKA_URL", "KAFKA_TRUSTED_CERT", "KAFKA_CLIENT_CERT", "KAFKA_CLIENT_CERT_KEY", "KAFKA_PREFIX")
"""https://devcenter.heroku.com/articles/kafka-on-heroku#connecting-to-a-kafka-cluster

The last one is there where the cluster is shared.
"""

CREATE_TOPIC, ALTER_TOPIC, DELETE_TOPIC = "create_topic", "alter_topic", "delete_topic"
CREATE_GROUP, DELETE_GROUP = "create_group", "delete_group"

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
MOST_BROKERS = 3
MOST_PARTITIONS = 256
"""Of one topic (https://devcenter.heroku.com/articles/managing-kafka-on-heroku)."""
VERSION = "4.3"
"""What the image has."""
NO_GROUPS = "this command is not required or enabled on dedicated clusters"
"""By this text the CLI knows that there is nothing to do."""

_NAME = re.compile(r"[a-zA-Z0-9._-]{1,200}")


@dataclass(frozen=True)
class KafkaPlan:
    """A plan.

    Parameters:
        name: without the service, ``standard-0``.
        is_shared: whether its add-ons are tenants of one cluster.
        disk_bytes: how much data is meant to be in it, with all replicas; shown, not enforced.
        topics, replicas: how many topics, and how many partitions times their replicas there may be; 0 for no limit.
        partitions: of a topic for which nothing is said.
        longest_ms: how long messages may be kept.
        produce_bytes, consume_bytes: a second, at each broker; 0 for no limit.
    """

    name: str
    human_name: str
    description: str
    is_shared: bool
    disk_bytes: int
    topics: int
    replicas: int
    partitions: int
    longest_ms: int
    produce_bytes: int = 0
    consume_bytes: int = 0

    @property
    def shortest_ms(self) -> int:
        """How long messages have to be kept at least, where they go by time."""
        return HOUR_MS

    @property
    def quotas(self) -> dict[str, float]:
        """Kafka's own, of each user (https://kafka.apache.org/documentation/#design_quotas)."""
        if not self.produce_bytes:
            return {}
        # A tenant may not keep all of a broker's threads busy, whatever it sends.
        return {
            "producer_byte_rate": self.produce_bytes,
            "consumer_byte_rate": self.consume_bytes,
            "request_percentage": 100,
        }


PLANS = (
    KafkaPlan(
        "basic-0", "Basic 0", "Shared Kafka 4, 4 GB, 40 topics, 240 partitions",
        True, 4 * GIB, 40, 240, 8, 7 * DAY_MS, 64 * 1024, 256 * 1024,
    ),
    KafkaPlan(
        "basic-1", "Basic 1", "Shared Kafka 4, 32 GB, 80 topics, 480 partitions",
        True, 32 * GIB, 80, 480, 8, 14 * DAY_MS, 512 * 1024, 2048 * 1024,
    ),
    KafkaPlan(
        "basic-2", "Basic 2", "Shared Kafka 4, 64 GB, 160 topics, 960 partitions",
        True, 64 * GIB, 160, 960, 8, 14 * DAY_MS, 4096 * 1024, 16384 * 1024,
    ),
    KafkaPlan(
        "standard-0", "Standard 0", "Dedicated Kafka 4, 150 GB, 4,000 partitions for each broker",
        False, 150 * GIB, 0, 4000, 32, 14 * DAY_MS,
    ),
)  # fmt: skip
"""The default first."""
MEMORY_MIB, HEAP_MIB = 512, 192
"""Of a broker: its hard limit, and what Java keeps its objects in."""


def plan(name: str) -> KafkaPlan:
    """A plan by its name. Raises ``InvalidInputError`` for one that is not offered."""
    for each in PLANS:
        if each.name == name:
            return each
    raise InvalidInputError(f"The plan heroku-kafka:{name} is no longer available")


def brokers(options: Mapping[str, str], which: KafkaPlan) -> int:
    """How many brokers a dedicated cluster is to have; the option ``brokers`` says so.

    Raises ``InvalidInputError`` for another option, another number than 1 or 3, or a plan whose cluster is shared.
    """
    for name in options:
        if name != "brokers" or which.is_shared:
            raise InvalidInputError(f"{name[:40]} is no option of heroku-kafka:{which.name}")
    wanted = options.get("brokers", "1")
    # Of two, one that is lost would stop both: a majority of the controllers is needed.
    if wanted not in ("1", str(MOST_BROKERS)):
        raise InvalidInputError(f"brokers must be 1 or {MOST_BROKERS}")
    return int(wanted)


def prefix(addon_id: uuid.UUID) -> str:
    """What all names of a tenant begin with: no tenant's is the beginning of another's."""
    return f"t{addon_id.hex[:20]}."


def cluster_name(cluster_id: uuid.UUID) -> str:
    """Kafka's id of a cluster: 22 characters."""
    return base64.urlsafe_b64encode(cluster_id.bytes).decode().rstrip("=")


def url(brokers: Sequence[tuple[str, int]]) -> str:
    """Where clients find the brokers, as Heroku writes it."""
    return ",".join(f"kafka+ssl://{host}:{port}" for host, port in brokers)


def full_name(name: str, before: str) -> str:
    """A topic's or group's name in the cluster; tenants may leave out what theirs begin with.

    Raises ``InvalidInputError`` for one that cannot be (https://kafka.apache.org/documentation/#basic_ops_add_topic).
    """
    short = name.removeprefix(before)
    if not _NAME.fullmatch(short) or short in (".", ".."):
        raise InvalidInputError(
            "Names of topics and consumer groups may have letters, digits, dots, dashes and underscores, at most 200"
        )
    if short.startswith("__") and not before:
        raise InvalidInputError("Names that start with two underscores are Kafka's own")
    return before + short


def check_topic(given: Mapping[str, Any], which: KafkaPlan, count: int, *, is_new: bool) -> dict[str, Any]:
    """What a topic is to be like, as the administrator's program is told; only what is ``given`` of one that is there.

    ``given`` is the data API's topic, ``count`` how many brokers the cluster has. Raises ``InvalidInputError``.
    """
    found: dict[str, Any] = {}
    if is_new:
        found["partitions"] = _number(given.get("partition_count"), "partitions", which.partitions, MOST_PARTITIONS)
    if is_new or given.get("replication_factor") is not None:
        usual = min(count, MOST_BROKERS)
        found["replication_factor"] = _number(given.get("replication_factor"), "replication factor", usual, count)
    if is_new or "retention_time_ms" in given or "compaction" in given:
        found["config"] = _cleanup(given, which)
    return found


def check_room(which: KafkaPlan, topics: Sequence[Mapping[str, Any]], more: Mapping[str, Any], count: int) -> None:
    """Raise ``InvalidInputError`` where another topic would be too much for the plan. ``topics`` are those present."""
    if which.topics and len(topics) >= which.topics:
        raise InvalidInputError(f"The plan {which.name} has room for {which.topics} topics: destroy one first")
    limit = most_replicas(which, count)
    replicas = sum(int(each["replicas"]) for each in topics) + more["partitions"] * more["replication_factor"]
    if replicas > limit:
        raise InvalidInputError(
            f"The plan {which.name} has room for {limit} partitions with their replicas, these would be {replicas}"
        )


def most_replicas(which: KafkaPlan, count: int) -> int:
    """How many partitions times replicas a plan allows, of ``count`` brokers."""
    return which.replicas * (1 if which.is_shared else count)


def _cleanup(given: Mapping[str, Any], which: KafkaPlan) -> dict[str, str]:
    """Kafka's settings of what goes when (https://kafka.apache.org/documentation/#topicconfigs_cleanup.policy)."""
    is_compacted = given.get("compaction") is True
    kept = given.get("retention_time_ms")
    if kept is None:
        if which.is_shared:
            raise InvalidInputError(f"Topics of the plan {which.name} must have a retention time")
        return {"cleanup.policy": "compact" if is_compacted else "delete", "retention.ms": "-1"}
    if not isinstance(kept, int) or isinstance(kept, bool) or not which.shortest_ms <= kept <= which.longest_ms:
        days = which.longest_ms // DAY_MS
        raise InvalidInputError(f"Retention time must be from 1 hour to {days} days on the plan {which.name}")
    return {"cleanup.policy": "compact,delete" if is_compacted else "delete", "retention.ms": str(kept)}


def _number(value: object, what: str, usual: int, most: int) -> int:
    """A number that the CLI sends as text."""
    if value is None:
        return usual
    text = str(value)
    if not text.isdecimal() or len(text) > 4 or not 1 <= int(text) <= most:
        raise InvalidInputError(f"The {what} must be a number from 1 to {most}")
    return int(text)
