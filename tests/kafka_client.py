"""Clients of a Kafka cluster, from an app's config vars, as the apps of Heroku's users make theirs."""

import contextlib
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer, TopicPartition
from confluent_kafka.admin import AdminClient

SECONDS = 60.0


def settings(config: Mapping[str, str], name: str = "KAFKA", **more: Any) -> dict[str, Any]:
    """librdkafka's settings for an attachment's config vars; it verifies the brokers' certificates and addresses."""
    return {
        "bootstrap.servers": config[f"{name}_URL"].replace("kafka+ssl://", ""),
        "security.protocol": "ssl",
        "ssl.ca.pem": config[f"{name}_TRUSTED_CERT"],
        "ssl.certificate.pem": config[f"{name}_CLIENT_CERT"],
        "ssl.key.pem": config[f"{name}_CLIENT_CERT_KEY"],
        "log_level": 0,
        **more,
    }


def topics(client: Mapping[str, Any]) -> set[str]:
    """The topics that a client is shown. Raises ``KafkaException`` where it is not let in."""
    return set(AdminClient(dict(client)).list_topics(timeout=10).topics)


def leaders(client: Mapping[str, Any], topic: str) -> dict[int, int]:
    """Each partition of a topic → the number of its leader; none while one of them is not in sync everywhere."""
    found = AdminClient(dict(client)).list_topics(topic, timeout=10).topics[topic].partitions
    whole = all({*each.isrs} == {*each.replicas} for each in found.values())
    return {number: each.leader for number, each in found.items()} if whole else {}


def send(client: Mapping[str, Any], topic: str, *values: str, key: str | None = None) -> None:
    """Produce messages; each is acknowledged by all that have to. Raises ``KafkaException`` with the refusal."""
    refused: list[KafkaError] = []
    producer = Producer({**client, "enable.idempotence": True, "message.timeout.ms": 60_000})

    def told(error: KafkaError | None, message: Message) -> None:
        if error is not None:
            refused.append(error)

    for value in values:
        producer.produce(topic, value.encode(), key, callback=told)
    producer.flush(90)
    if refused:
        raise KafkaException(refused[0])


def receive(client: Mapping[str, Any], topic: str, count: int, group: str = "unused") -> list[str]:
    """The first messages of a topic, of all its partitions, without the group's part. Raises ``KafkaException``."""
    found: list[str] = []
    for message in _messages(client, topic, group):
        found.append((message.value() or b"").decode())
        if len(found) == count:
            break
    return found


def join(client: Mapping[str, Any], topic: str, group: str) -> str:
    """The first message that a new member of a group gets. Raises ``KafkaException``."""
    consumer = Consumer({**client, "group.id": group, "auto.offset.reset": "earliest", "enable.auto.commit": True})
    try:
        consumer.subscribe([topic])
        deadline = time.monotonic() + SECONDS
        while time.monotonic() < deadline:
            message = consumer.poll(1)
            if message is not None:
                _check(message)
                return (message.value() or b"").decode()
        raise AssertionError(f"{group}: no message of {topic} in {SECONDS:g} s")
    finally:
        consumer.close()


def _messages(client: Mapping[str, Any], topic: str, group: str) -> Iterator[Message]:
    """All messages of a topic from its beginning to the ends of its partitions, and until no more come there."""
    told = {"group.id": group, "enable.auto.commit": False, "auto.offset.reset": "earliest"}
    consumer = Consumer({**client, **told, "enable.partition.eof": True})
    try:
        known = consumer.list_topics(topic, timeout=60).topics[topic]
        if known.error is not None:
            raise KafkaException(known.error)
        consumer.assign([TopicPartition(topic, number, 0) for number in known.partitions])
        unread = set(known.partitions)
        deadline = time.monotonic() + SECONDS
        while time.monotonic() < deadline:
            batch = consumer.consume(1000, 5)
            if not batch and not unread:
                return
            for message in batch:
                error = message.error()
                if error is not None and error.code() == KafkaError._PARTITION_EOF:
                    unread.discard(message.partition())
                else:
                    _check(message)
                    yield message
        assert not unread, f"{topic}: not read to its end in {SECONDS:g} s"
    finally:
        consumer.close()


def _check(message: Message) -> None:
    error = message.error()
    if error is not None:
        raise KafkaException(error)


@dataclass
class Load:
    """What became of numbered messages: when each was acknowledged, and in which partition."""

    acknowledged: dict[int, tuple[float, int]] = field(default_factory=dict)
    refused: int = 0

    @property
    def pause(self) -> float:
        """The longest time in which a partition acknowledged nothing, in seconds."""
        moments: dict[int, list[float]] = {}
        for moment, partition in self.acknowledged.values():
            moments.setdefault(partition, []).append(moment)
        return max(
            (later - earlier for each in moments.values() for earlier, later in pairwise(sorted(each))), default=0.0
        )

    def compare(self, client: Mapping[str, Any], topic: str) -> tuple[int, int]:
        """How many acknowledged messages are not there, and how many are there twice."""
        found = Counter(int((message.value() or b"").split(b" ")[0]) for message in _messages(client, topic, "unused"))
        lost = len(self.acknowledged.keys() - found.keys())
        return lost, sum(count - 1 for count in found.values())


@contextlib.contextmanager
def load(client: Mapping[str, Any], topic: str, rate: int) -> Iterator[Load]:
    """Produce ``rate`` messages of 100 bytes a second for the length of the block; all are answered at its end."""
    found, done = Load(), threading.Event()
    producer = Producer(
        {**client, "acks": "all", "enable.idempotence": True, "linger.ms": 5, "delivery.timeout.ms": 120_000,
         "queue.buffering.max.messages": 1_000_000}
    )  # fmt: skip

    def produce() -> None:
        began, sent = time.monotonic(), 0
        while not done.is_set():
            wanted = int((time.monotonic() - began) * rate)
            while sent < wanted:
                producer.produce(topic, f"{sent} ".ljust(100, "x").encode(), callback=_noted(found, sent))
                sent += 1
            producer.poll(0.005)

    thread = threading.Thread(target=produce)
    thread.start()
    try:
        yield found
    finally:
        done.set()
        thread.join()
        producer.flush(150)


def _noted(found: Load, number: int) -> Any:
    def told(error: KafkaError | None, message: Message) -> None:
        if error is None:
            found.acknowledged[number] = time.monotonic(), message.partition() or 0
        else:
            found.refused += 1

    return told
