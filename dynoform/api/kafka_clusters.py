"""The data API of Kafka, as the CLI's plugin asks it: ``kafka:info``, ``kafka:topics``, ``kafka:fail`` …"""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path
from pydantic import BaseModel, ConfigDict, Field
from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse
from typing_extensions import TypedDict

from dynoform.api import databases
from dynoform.api.authentication import Caller
from dynoform.api.errors import ApiError
from dynoform.api.objects import shown
from dynoform.api.postgres_databases import MessageObject, StateObject
from dynoform.api.services import Services, Use
from dynoform.domain import data_services, kafka
from dynoform.domain.data_services import KAFKA
from dynoform.domain.kafka import KafkaPlan
from dynoform.domain.permissions import Permission
from dynoform.errors import InvalidInputError
from dynoform.store import databases as store
from dynoform.store.tables import Account, Addon

router = APIRouter(prefix="/data/kafka/v0/clusters", tags=["databases"])
TopicName = Annotated[str, Path(max_length=249)]
Name = Annotated[str, Field(max_length=249)]
Count = Annotated[str, Field(max_length=10)] | int
_NO_ROBOT = {"is_robot": False, "robot_ttl": 0}


class ClusterStateObject(TypedDict):
    """Whether it can be used."""

    message: str


class SizeLimitObject(TypedDict):
    """How much data is meant to be in it."""

    limit_bytes: int


class LimitsObject(TypedDict):
    """What a plan allows; 0 for no limit."""

    data_size: SizeLimitObject
    default_partition_count: int
    default_retention_ms: int
    max_partition_replica_count: int
    max_topics: int
    maximum_retention_ms: int
    minimum_retention_ms: int


class CapabilitiesObject(TypedDict):
    """What can be done with it."""

    supports_mixed_cleanup_policy: bool


class RobotObject(TypedDict):
    """Whether Heroku's own tests made it."""

    is_robot: bool
    robot_ttl: int


class ClusterObject(TypedDict):
    """A cluster, or a tenant's part of one, as the CLI reads it."""

    addon_id: str
    bytes_in_per_sec: float
    bytes_out_per_sec: float
    capabilities: CapabilitiesObject
    created_at: str
    data_size: int
    limits: LimitsObject
    messages_in_per_sec: float
    name: str
    partition_replica_count: int
    plan: str
    robot: RobotObject
    shared_cluster: bool
    state: ClusterStateObject
    topic_prefix: str | None
    topics: list[str]
    version: str


class TopicObject(TypedDict):
    """A topic; ``retention_time_ms`` is null where messages are kept for ever."""

    bytes_in_per_second: float
    bytes_out_per_second: float
    compaction: bool
    messages_in_per_second: float
    name: str
    partitions: int
    prefix: str | None
    replication_factor: int
    retention_time_ms: int | None


class TopicLimitsObject(TypedDict):
    """How many topics there may be; 0 for no limit."""

    max_topics: int


class TopicsObject(TypedDict):
    """All topics."""

    attachment_name: str
    limits: TopicLimitsObject
    prefix: str | None
    topics: list[TopicObject]


class GroupObject(TypedDict):
    """A consumer group."""

    name: str


class GroupsObject(TypedDict):
    """All consumer groups."""

    consumer_groups: list[GroupObject]


class Topic(BaseModel):
    """A topic to make, or what of one is to change; numbers may be texts."""

    model_config = ConfigDict(strict=True)
    name: Name
    compaction: bool | None = None
    partition_count: Count | None = None
    replication_factor: Count | None = None
    retention_time_ms: int | None = None


class TopicBody(BaseModel):
    """Body of the routes that make and change topics."""

    model_config = ConfigDict(strict=True)
    topic: Topic


class Group(BaseModel):
    """A consumer group."""

    model_config = ConfigDict(strict=True)
    name: Name


class GroupBody(BaseModel):
    """Body of the routes that make and destroy consumer groups."""

    model_config = ConfigDict(strict=True)
    consumer_group: Group


class Failure(BaseModel):
    """Body of a failure on purpose."""

    model_config = ConfigDict(strict=True)
    catastrophic: bool | None = None
    zookeeper: bool | None = None


class Upgrade(BaseModel):
    """Body of an upgrade: the version wanted."""

    model_config = ConfigDict(strict=True)
    version: Annotated[str, Field(max_length=20)]


@router.get("/{cluster}", response_model=ClusterObject)
async def cluster_info(cluster: str, services: Use, caller: Caller) -> JSONResponse:
    """A cluster, by its add-on's id or name, with what it says of itself."""
    addon, facts = await _look(services, caller, cluster)
    plan = kafka.plan(addon.plan.name)
    topics = [_topic(each, addon, plan) for each in facts.get("topics", ())]
    return JSONResponse(
        {
            "addon_id": str(addon.id),
            "bytes_in_per_sec": _sum(topics, "bytes_in_per_second"),
            "bytes_out_per_sec": _sum(topics, "bytes_out_per_second"),
            "capabilities": {"supports_mixed_cleanup_policy": True},
            "created_at": shown(addon.created_at),
            "data_size": int(facts.get("bytes", 0)),
            "limits": _limits(plan, int(facts.get("nodes", 1))),
            "messages_in_per_sec": _sum(topics, "messages_in_per_second"),
            "name": addon.name,
            "partition_replica_count": sum(each["partitions"] * each["replication_factor"] for each in topics),
            "plan": addon.plan.name,
            "robot": _NO_ROBOT,
            "shared_cluster": plan.is_shared,
            "state": {"message": _state(facts, plan)},
            "topic_prefix": kafka.prefix(addon.id) if plan.is_shared else None,
            "topics": [each["name"] for each in topics],
            "version": str(facts.get("version", kafka.VERSION)),
        }
    )


@router.get("/{cluster}/topics", response_model=TopicsObject)
async def topic_list(cluster: str, services: Use, caller: Caller) -> JSONResponse:
    """The topics of a cluster, or a tenant's."""
    addon, facts = await _look(services, caller, cluster)
    plan = kafka.plan(addon.plan.name)
    if not facts:
        databases.does_not_answer()
    return JSONResponse(
        {
            "attachment_name": next((each.name for each in addon.attachments), addon.name),
            "limits": {"max_topics": plan.topics},
            "prefix": kafka.prefix(addon.id) if plan.is_shared else None,
            "topics": [_topic(each, addon, plan) for each in facts["topics"]],
        }
    )


@router.post("/{cluster}/topics", response_model=MessageObject)
async def topic_create(cluster: str, body: TopicBody, services: Use, caller: Caller) -> JSONResponse:
    """Make a topic."""
    await _configure(services, caller, cluster, kafka.CREATE_TOPIC, body.topic.model_dump(exclude_unset=True))
    return JSONResponse({"message": "Topic created"})


@router.put("/{cluster}/topics/{topic}", response_model=MessageObject)
async def topic_update(cluster: str, topic: TopicName, body: TopicBody, services: Use, caller: Caller) -> JSONResponse:
    """Change how long a topic keeps messages, whether it is compacted, or how many replicas it has."""
    given = {**body.topic.model_dump(exclude_unset=True), "name": topic}
    await _configure(services, caller, cluster, kafka.ALTER_TOPIC, given)
    return JSONResponse({"message": "Topic updated"})


@router.delete("/{cluster}/topics/{topic}", response_model=MessageObject)
async def topic_delete(cluster: str, topic: TopicName, services: Use, caller: Caller) -> JSONResponse:
    """Destroy a topic with its messages."""
    await _configure(services, caller, cluster, kafka.DELETE_TOPIC, {"name": topic})
    return JSONResponse({"message": "Topic marked for deletion"})


@router.get("/{cluster}/consumer_groups", response_model=GroupsObject)
async def group_list(cluster: str, services: Use, caller: Caller) -> JSONResponse:
    """The consumer groups of a cluster, or a tenant's."""
    _, facts = await _look(services, caller, cluster)
    if not facts:
        databases.does_not_answer()
    return JSONResponse({"consumer_groups": [{"name": each} for each in facts["groups"]]})


@router.post("/{cluster}/consumer_groups", response_model=MessageObject)
async def group_create(cluster: str, body: GroupBody, services: Use, caller: Caller) -> JSONResponse:
    """Let a tenant have a consumer group. A dedicated cluster's are there without."""
    addon = await run_in_threadpool(_own, services, caller, cluster)
    if not kafka.plan(addon.plan.name).is_shared:
        raise ApiError(400, "bad_request", kafka.NO_GROUPS)
    await _configure(services, caller, cluster, kafka.CREATE_GROUP, {"name": body.consumer_group.name})
    return JSONResponse({"message": "Consumer group created"})


@router.delete("/{cluster}/consumer_groups", response_model=MessageObject)
async def group_delete(cluster: str, body: GroupBody, services: Use, caller: Caller) -> JSONResponse:
    """Destroy a consumer group, and how far it has read."""
    await _configure(services, caller, cluster, kafka.DELETE_GROUP, {"name": body.consumer_group.name})
    return JSONResponse({"message": "Consumer group deleted"})


@router.post("/{cluster}/rotate-credentials", response_model=MessageObject)
async def cluster_rotate(cluster: str, services: Use, caller: Caller) -> JSONResponse:
    """Another client certificate; the one before works for another half an hour."""
    await databases.perform(services, caller, cluster, KAFKA, data_services.ROTATE)
    return JSONResponse({"message": "Credentials rotated: the app restarts with the new ones"})


@router.get("/{cluster}/wait_status", response_model=StateObject)
def cluster_wait(cluster: str, services: Use, caller: Caller) -> JSONResponse:
    """Whether one has to wait for it: until it is there, and while it is brought up to date."""
    return JSONResponse(databases.state(services, caller, cluster, KAFKA))


@router.post("/{cluster}/induce-failure", response_model=MessageObject)
async def cluster_fail(cluster: str, services: Use, caller: Caller, body: Failure | None = None) -> JSONResponse:
    """Kill a broker, whichever; another process takes its place."""
    if body and body.zookeeper:
        raise InvalidInputError("There is no ZooKeeper: brokers are their own controllers")
    done = await databases.perform(services, caller, cluster, KAFKA, data_services.FAIL)
    return JSONResponse({"message": f"Broker {done['broker']} was killed; it is started again"})


@router.put("/{cluster}/upgrade", response_model=MessageObject)
async def cluster_upgrade(cluster: str, body: Upgrade, services: Use, caller: Caller) -> JSONResponse:
    """Restart the brokers, one after the other, with the platform's newest image of the version that there is."""
    if not f"{body.version}.".startswith(f"{kafka.VERSION}."):
        raise InvalidInputError(f"Version {body.version} is not there: the platform has Kafka {kafka.VERSION}")
    await run_in_threadpool(_upgrade, services, caller, cluster)
    return JSONResponse({"message": "Upgrade started"})


async def _look(services: Services, caller: Account, reference: str) -> tuple[Addon, dict[str, Any]]:
    """The add-on, and what its cluster says of itself; nothing while it does not answer."""
    addon = await run_in_threadpool(_known, services, caller, reference)
    return addon, dict(await databases.facts(services, caller, reference, KAFKA))


def _known(services: Services, caller: Account, reference: str) -> Addon:
    with services.store.transaction() as session:
        addon = databases.find(session, caller, reference, KAFKA, Permission.DEPLOY)
        databases.check_provisioned(addon)
        return addon


def _own(services: Services, caller: Account, reference: str) -> Addon:
    with services.store.transaction() as session:
        addon = databases.find(session, caller, reference, KAFKA, Permission.OPERATE)
        databases.check_provisioned(addon)
        return addon


def _upgrade(services: Services, caller: Account, reference: str) -> None:
    with services.store.transaction() as session:
        addon = databases.find(session, caller, reference, KAFKA, Permission.OPERATE)
        databases.check_provisioned(addon)
        if kafka.plan(addon.plan.name).is_shared:
            raise InvalidInputError("A cluster that others use, too, is brought up to date by the platform")
        store.ask(session, addon, data_services.MAINTAIN, caller.id, {"old": True})


async def _configure(services: Services, caller: Account, reference: str, what: str, on: dict[str, Any]) -> None:
    await databases.perform(services, caller, reference, KAFKA, data_services.CONFIGURE, {"do": what, "on": on})


def _limits(plan: KafkaPlan, brokers: int) -> LimitsObject:
    return {
        "data_size": {"limit_bytes": plan.disk_bytes},
        "default_partition_count": plan.partitions,
        "default_retention_ms": kafka.DAY_MS,
        "max_partition_replica_count": kafka.most_replicas(plan, brokers),
        "max_topics": plan.topics,
        "maximum_retention_ms": plan.longest_ms,
        "minimum_retention_ms": plan.shortest_ms,
    }


def _topic(told: dict[str, Any], addon: Addon, plan: KafkaPlan) -> TopicObject:
    policy, kept = str(told["cleanup_policy"]), int(told["retention_ms"])
    return {
        "bytes_in_per_second": told["bytes_in_per_second"],
        "bytes_out_per_second": told["bytes_out_per_second"],
        "compaction": "compact" in policy,
        "messages_in_per_second": told["messages_in_per_second"],
        "name": told["name"],
        "partitions": told["partitions"],
        "prefix": kafka.prefix(addon.id) if plan.is_shared else None,
        "replication_factor": told["replication_factor"],
        "retention_time_ms": kept if "delete" in policy and kept >= 0 else None,
    }


def _state(facts: dict[str, Any], plan: KafkaPlan) -> str:
    if not facts:
        return "unavailable"
    here, all_ = int(facts["brokers"]), int(facts["nodes"])
    return "available" if plan.is_shared or here >= all_ else f"available, {here} of {all_} brokers"


Rate = Literal["bytes_in_per_second", "bytes_out_per_second", "messages_in_per_second"]


def _sum(topics: list[TopicObject], name: Rate) -> float:
    rates: list[float] = [each[name] for each in topics]
    return round(sum(rates), 1)
