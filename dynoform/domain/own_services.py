"""Add-on services that the platform itself provides: data."""

from dataclasses import dataclass

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


SERVICES = (
    OwnService(
        SCHEDULER,
        "Heroku Scheduler",
        "SCHEDULER",
        (OwnPlan("standard", "Standard", "Runs jobs every 10 minutes, every hour, or every day"),),
        supports_multiple_installations=False,
        supports_sharing=False,
    ),
)
NAMES = frozenset(service.name for service in SERVICES)
