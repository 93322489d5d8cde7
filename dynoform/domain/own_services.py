"""Add-on services that the platform itself provides: data."""

from dataclasses import dataclass

from dynoform.domain import data_services, kafka

SCHEDULER = "scheduler"


@dataclass(frozen=True)
class OwnPlan:
    """One plan of a service; ``price_cents`` are US cents a month."""

    name: str
    human_name: str
    description: str
    price_cents: int = 0


@dataclass(frozen=True)
class OwnService:
    """A service that is there on every platform; its first plan is the default. ``prefix`` is as for partners' ones."""

    name: str
    human_name: str
    prefix: str
    plans: tuple[OwnPlan, ...]
    config_vars: tuple[str, ...] = ()
    supports_multiple_installations: bool = True
    supports_sharing: bool = True


def _plans(service: str) -> tuple[OwnPlan, ...]:
    return tuple(OwnPlan(each.name, each.human_name, each.description) for each in data_services.PLANS[service])


SERVICES = (
    OwnService(
        SCHEDULER,
        "Heroku Scheduler",
        "SCHEDULER",
        (OwnPlan("standard", "Standard", "Runs jobs every 10 minutes, every hour, or every day"),),
        supports_multiple_installations=False,
        supports_sharing=False,
    ),
    OwnService(
        data_services.POSTGRES, "Heroku Postgres", "DATABASE", _plans(data_services.POSTGRES), ("DATABASE_URL",)
    ),
    OwnService(
        data_services.KAFKA,
        "Apache Kafka on Heroku",
        "KAFKA",
        tuple(OwnPlan(each.name, each.human_name, each.description) for each in kafka.PLANS),
        kafka.CONFIG_VARS,
    ),
    OwnService(data_services.REDIS, "Heroku Key-Value Store", "REDIS", _plans(data_services.REDIS), ("REDIS_URL",)),
)
RESERVED = frozenset({SCHEDULER})
"""Names that no other provider can have. Databases may be somebody else's: then the platform offers none of its own."""
