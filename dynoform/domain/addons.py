"""Add-ons: names, the config vars of an attachment, what releases are called, when a provider is asked again.

Rules: https://devcenter.heroku.com/articles/managing-add-ons and
https://devcenter.heroku.com/articles/add-on-partner-api.
"""

import random
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import timedelta

from dynoform.domain import data_services
from dynoform.errors import InvalidInputError

PROVISIONING = "provisioning"
PROVISIONED = "provisioned"
DEPROVISIONING = "deprovisioning"
DEPROVISIONED = "deprovisioned"

PROVISION = "provision"
CHANGE = "change"
DEPROVISION = "deprovision"

PENDING = "pending"
SUCCEEDED = "succeeded"
FAILED = "failed"

PARTNER = "partner"
"""The provider of services that somebody else runs, at a URL."""
MAXIMUM_PER_APP = 100
"""Attachments of one app."""
PATIENCE = timedelta(hours=24)
"""For a provider that works in the background: then what it was to make is given up, or taken away once more."""
ATTEMPTS = 6
"""How often a provider that does not answer is asked to do something."""
LONGEST_REASON = 1000
_DELAYS = (1, 2, 5, 15, 60, 300, 1800, 3600)

_NAME = re.compile(r"[a-zA-Z][A-Za-z0-9_-]{0,254}[A-Za-z0-9]")
_ATTACHMENT = re.compile(r"[A-Z][A-Z0-9_]{0,99}")
_NAMESPACE = re.compile(r"[a-z-]+:[A-Za-z0-9_.-]{1,200}")
_ADJECTIVES = """
acute amorphous angular animated asymmetrical clean colorful concave concentric contoured convex cubic curly curved
cylindrical deep defined elliptical encircled fitted flat flexible fluffy globular graceful horizontal infinite
lively metric octagonal opaque parallel perpendicular polished regular round shallow shaped sinuous slippery smooth
solid spherical sturdy symmetrical tapered triangular trapezoidal vertical vivid
"""
_COLORS = """
amber aqua black blue bronze brown charcoal cobalt copper crimson cyan gold gray green ivory jade maroon mauve navy
olive orange pink puce purple red rose silver teal violet white yellow
"""


def check_name(name: str) -> str:
    """The name itself, or ``InvalidInputError`` when no add-on can have it."""
    if not _NAME.fullmatch(name):
        raise InvalidInputError(
            "Name must start with a letter, end with a letter or digit and can only contain letters, digits, dashes "
            "and underscores"
        )
    return name


def taken(name: str) -> InvalidInputError:
    """The error for a name that another add-on has; names are global, as an add-on can be attached to any app."""
    return InvalidInputError(f"Name {name[:60]} is already taken")


def generate_name(service: str, source: random.Random | None = None) -> str:
    """A name such as ``postgresql-cubic-12345`` for an add-on of ``heroku-postgresql``."""
    chosen = source or random.SystemRandom()
    stem = service.removeprefix("heroku-")
    return f"{stem}-{chosen.choice(_ADJECTIVES.split())}-{chosen.randrange(10_000, 100_000)}"


def check_attachment_name(name: str) -> str:
    """The name itself, or ``InvalidInputError`` when it cannot be the start of a config var's name."""
    if not _ATTACHMENT.fullmatch(name):
        raise InvalidInputError(
            "Attachment name must start with an uppercase letter and can only contain uppercase letters, digits and "
            "underscores, at most 100"
        )
    return name


def check_namespace(namespace: str) -> str:
    """The namespace itself (``credential:readonly``), or ``InvalidInputError``."""
    if not _NAMESPACE.fullmatch(namespace):
        raise InvalidInputError("Namespace must look like credential:NAME")
    return namespace


def attachment_names(service: str, prefix: str) -> Iterable[str]:
    """Names for an attachment without one, best first: the service's own (``DATABASE``), then with a colour."""
    yield prefix
    stem = service.upper().replace("-", "_")
    yield from (f"{stem}_{color.upper()}" for color in _COLORS.split())


def config_var(attachment: str, prefix: str, name: str) -> str:
    """What a provider's config var is called in an app: ``REDIS_URL`` attached as CACHE is ``CACHE_URL``."""
    if name == prefix or name.startswith(f"{prefix}_"):
        return attachment + name.removeprefix(prefix)
    return f"{attachment}_{name}"


def attached_config(attachment: str, prefix: str, config: Mapping[str, str]) -> dict[str, str]:
    """The config vars that an attachment sets, from those that the provider set."""
    return {config_var(attachment, prefix, name): value for name, value in config.items()}


def check_config(allowed: Collection[str], config: Mapping[str, str | None]) -> None:
    """Raise ``InvalidInputError`` for a config var that is not in the service's manifest."""
    unknown = sorted(set(config) - set(allowed))
    if unknown:
        raise InvalidInputError(f"Config var {unknown[0][:60]} is not one of the manifest's: {', '.join(allowed)}")


def check_options(names: Iterable[str]) -> None:
    """Raise ``InvalidInputError`` for an option whose name no provider could say again."""
    for name in names:
        if not name.isprintable():
            raise InvalidInputError(f"Option {name[:60]!r} cannot be: its name has characters that are not printable")


def reason(text: str) -> str:
    """Why a change failed, as it is kept and shown: printable, and no longer than anybody reads."""
    return " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())[:LONGEST_REASON]


def attached(name: str, addon: str) -> str:
    """Description of the release that an attachment makes."""
    return f"Attach {name} (@ref:{addon})"


def detached(name: str, addon: str) -> str:
    """Description of the release that the end of an attachment makes."""
    return f"Detach {name} (@ref:{addon})"


def provisioned(addon: str, names: Sequence[str]) -> str:
    """Description of the release that config vars make which came later than the add-on."""
    return f"@ref:{addon} completed provisioning, setting {', '.join(names)}."[:200]


def updated(names: Sequence[str], service: str) -> str:
    """Description of the release that new config vars make."""
    return f"Update {', '.join(names)} by {service}"[:200]


def plan_changed(addon: str, plan: str) -> str:
    """Description of the release that another plan makes."""
    return f"Change @ref:{addon} to {plan}"


def plan_parts(reference: str) -> tuple[str, str]:
    """Service and plan of ``heroku-redis:mini``; the second is empty for a service's default plan."""
    service, _, plan = reference.partition(":")
    return service, plan


def out_of_attempts(action: str, attempts: int) -> bool:
    """Whether a provider has been asked often enough. It is asked for ever to take away what may still cost money.

    Who looks at a database that does not answer is gone by a second attempt, and what mends it would wait for that.
    """
    return action in data_services.LOOKS or (action != DEPROVISION and attempts >= ATTEMPTS)


def retry_after(attempts: int) -> timedelta:
    """How long to wait after the ``attempts``-th failure (1 or more), up to a quarter of it by chance."""
    seconds = _DELAYS[min(attempts, len(_DELAYS)) - 1]
    return timedelta(seconds=seconds * (1 + random.random() / 4))  # noqa: S311 - jitter, not a secret
