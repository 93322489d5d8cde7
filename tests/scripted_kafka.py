"""A Kafka that is none: answers what the administrator's program in the brokers' containers answers, from memory.

The program itself, and real brokers, are in the end-to-end tests.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from dynoform.addons.databases import Place
from dynoform.addons.kafka import KafkaProvider
from dynoform.addons.queue import Surroundings
from dynoform.addons.worker import Worker
from dynoform.api.services import Services
from dynoform.domain import data_services
from dynoform.domain.data_hosts import DataHost
from dynoform.errors import UnavailableError
from dynoform.store.addon_services import register_own
from tests.local_databases import Made

ADMIN = "/opt/dynoform/kafka-admin"


@dataclass
class ScriptedKafka:
    """The engine's part: brokers of what was ``made``, but those that are ``away``; with what they were ``asked``."""

    made: Made
    asked: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    topics: dict[str, dict[str, Any]] = field(default_factory=dict)
    groups: set[str] = field(default_factory=set)
    killed: list[str] = field(default_factory=list)
    away: set[str] = field(default_factory=set)
    waited: list[tuple[str, list[str]]] = field(default_factory=list)
    published: set[int] = field(default_factory=set)
    images: dict[str, str] = field(default_factory=dict)
    hosts: list[DataHost] = field(default_factory=list)
    """The swarm's."""
    rates: dict[str, float] = field(default_factory=lambda: {"MessagesInPerSec": 1.5, "BytesInPerSec": 2048.0})

    def network_id(self, name: str) -> str:
        return f"{name}-id"

    def data_hosts(self) -> list[DataHost]:
        return self.hosts

    def published_ports(self) -> set[int]:
        return self.published

    def wait(self, service: str, argv: Sequence[str], user: str) -> None:
        assert user == "kafka"
        self.waited.append((service, list(argv)))

    def leads(self, service: str) -> bool:
        raise AssertionError("no part of a Kafka is led to")

    def kill(self, service: str) -> None:
        self.killed.append(service)

    def image(self, service: str) -> str:
        return self.images.get(service, "")

    def run(self, service: str, argv: Sequence[str], stdin: str, user: str) -> str:
        assert (list(argv), user) == ([ADMIN], "kafka")
        is_made = any(f"_addon-{each}-" in service for each in self.made.instances)
        if not is_made or any(service.endswith(each) for each in self.away):
            raise UnavailableError(service, "has no running container on this host")
        asked = json.loads(stdin)
        self.asked.append((service, asked))
        return json.dumps(self._answer(asked))

    def did(self, what: str) -> list[dict[str, Any]]:
        """All that was asked of one kind."""
        return [asked for _, asked in self.asked if asked["do"] == what]

    def _answer(self, asked: dict[str, Any]) -> dict[str, Any]:
        prefix, name = str(asked.get("prefix", "")), str(asked.get("name", ""))
        mine = {each: topic for each, topic in self.topics.items() if each.startswith(prefix)}
        match asked["do"]:
            case "describe":
                groups = sorted(each for each in self.groups if each.startswith(prefix))
                rates = dict.fromkeys(mine, self.rates)
                shown = {"version": "4.3.1", "brokers": 3 - len(self.away), "bytes": 1000 * len(mine)}
                return {**shown, "topics": list(mine.values()), "groups": groups, "rates": rates}
            case "rates":
                return dict.fromkeys(mine, self.rates)
            case "create_topic" | "alter_topic":
                return self._topic(asked, name)
            case "delete_topic":
                return {} if self.topics.pop(name, None) else _refused("UnknownTopicOrPartition")
            case "create_group":
                self.groups.add(name)
            case "delete_group":
                self.groups.discard(name)
            case "wipe":
                self.topics = {each: topic for each, topic in self.topics.items() if not each.startswith(prefix)}
        return {}

    def _topic(self, asked: dict[str, Any], name: str) -> dict[str, Any]:
        present = self.topics.get(name)
        if asked["do"] == "create_topic" and present:
            return _refused("TopicExists")
        if asked["do"] == "alter_topic" and not present:
            return _refused("UnknownTopicOrPartition")
        topic = present or {"name": name, "partitions": asked["partitions"]}
        topic["replication_factor"] = asked.get("replication_factor", topic.get("replication_factor"))
        topic["replicas"] = topic["partitions"] * topic["replication_factor"]
        if config := asked.get("config"):
            topic["cleanup_policy"], topic["retention_ms"] = config["cleanup.policy"], int(config["retention.ms"])
        self.topics[name] = topic
        return {}


def _refused(kind: str) -> dict[str, Any]:
    return {"refused": kind, "message": f"the broker's words for {kind}"}


@dataclass
class LocalKafka:
    """The worker of clusters, and what it works with."""

    worker: Worker
    brokers: ScriptedKafka
    made: Made


def local_kafka(services: Services) -> LocalKafka:
    """A worker of clusters over the services' store, with the platform's own services registered."""
    with services.store.transaction() as session:
        register_own(session, services.vault)
    made = Made()
    brokers = ScriptedKafka(made)
    place = Place(services.configuration, services.store, services.vault, brokers, made)
    around = Surroundings(services.configuration.api_url, "local")
    providers = {data_services.KAFKA: KafkaProvider(place)}
    worker = Worker(services.store, services.vault, providers, around, services.logs, services.journal)
    return LocalKafka(worker, brokers, made)
