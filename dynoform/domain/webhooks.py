"""App webhooks: what may be subscribed to, when a delivery is tried again, how it is signed.

https://devcenter.heroku.com/articles/app-webhooks and https://devcenter.heroku.com/articles/app-webhooks-schema;
retries and retention: https://devcenter.heroku.com/changelog-items/1966 and /2525.
"""

import base64
import hmac
import ipaddress
import random
import re
import secrets
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

from dynoform.errors import InvalidInputError

ENTITIES = (
    "api:addon",
    "api:addon-attachment",
    "api:app",
    "api:build",
    "api:collaborator",
    "api:domain",
    "api:dyno",
    "api:formation",
    "api:release",
    "api:sni-endpoint",
    "dyno",
)
"""What a webhook can include; ``dyno`` are the changes of a dyno's state."""
CREATE, UPDATE, DESTROY = "create", "update", "destroy"
NOTIFY, SYNC = "notify", "sync"
LEVELS = (NOTIFY, SYNC)
VERSION = "application/vnd.heroku+json; version=3"
PER_APP = 10
MAXIMUM_URL = 2048
MAXIMUM_SECRET = 1024

PENDING, RETRYING, SUCCEEDED, FAILED = "pending", "retrying", "succeeded", "failed"
STATUSES = (PENDING, "scheduled", RETRYING, FAILED, SUCCEEDED)
"""Statuses of a delivery in Heroku's schema."""

RETRIES = timedelta(hours=72)
"""For so long after its event a delivery at the level ``sync`` is tried again."""
BACKLOG = 1000
"""Deliveries of one webhook that may wait; what comes on top fails at once."""
KEPT = timedelta(days=7)
KEPT_DELIVERIES = 300
"""Finished deliveries are kept for so long, and this many of each webhook."""
FAILING = timedelta(days=7)
FAILURES = 20
"""A webhook that failed for so long, and so often, without one success is turned off."""
_FIRST_PAUSE = timedelta(seconds=10)
_LONGEST_PAUSE = timedelta(hours=1)
_NOT_A_HEADER = re.compile(r"[^\x20-\x7e]")
_HOST = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,251}[A-Za-z0-9])?\.?")


def check_include(include: Sequence[str]) -> list[str]:
    """The entities, each once, in order. Raises ``InvalidInputError`` for none or for one that does not exist."""
    unknown = [name for name in include if name not in ENTITIES]
    if unknown:
        raise InvalidInputError(f"Include {unknown[0][:60]!r} is not an event. There are: {', '.join(ENTITIES)}.")
    if not include:
        raise InvalidInputError(f"Include must name at least one of: {', '.join(ENTITIES)}.")
    return sorted(set(include))


def check_level(level: str) -> str:
    """The level itself, or ``InvalidInputError``."""
    if level not in LEVELS:
        raise InvalidInputError(f"Level must be one of: {', '.join(LEVELS)}.")
    return level


def check_url(url: str) -> str:
    """The URL itself. Raises ``InvalidInputError`` unless it is https, with a host and without a user or fragment."""
    if len(url) > MAXIMUM_URL:
        raise InvalidInputError(f"Url is too long (maximum is {MAXIMUM_URL} characters).")
    if _host(url) is None:
        raise InvalidInputError("Url must be https://HOST[:PORT][/PATH], without a user, a password or a fragment.")
    return url


def check_header(name: str, value: str) -> str:
    """A value that can stand in an HTTP header or sign one, or ``InvalidInputError`` naming ``name``."""
    if not 0 < len(value) <= MAXIMUM_SECRET or _NOT_A_HEADER.search(value) or value != value.strip():
        raise InvalidInputError(
            f"{name} must be 1 to {MAXIMUM_SECRET} printable ASCII characters, without spaces around them."
        )
    return value


def new_secret() -> str:
    """A signing secret for a webhook that was made without one: 60 hex digits, as Heroku's."""
    return secrets.token_hex(30)


def signature(secret: str, body: bytes) -> str:
    """Value of ``Heroku-Webhook-Hmac-SHA256``: Base64 of the body's HMAC-SHA256."""
    return base64.b64encode(hmac.digest(secret.encode(), body, "sha256")).decode()


def metadata(
    payload: Mapping[str, Any], *, attempt: object, delivery: object, webhook: object, include: str
) -> dict[str, Any]:
    """What is sent: an event's payload with the ids of this attempt, of its delivery and of the webhook."""
    event = {"id": payload["id"], "include": include}
    ids = {"attempt": {"id": str(attempt)}, "delivery": {"id": str(delivery)}, "event": event}
    return {**payload, "webhook_metadata": {**ids, "webhook": {"id": str(webhook)}}}


def next_attempt(level: str, attempts: int, event_at: datetime, now: datetime) -> datetime | None:
    """When a delivery that failed for the ``attempts``-th time is tried again; None: never.

    ``notify`` has one attempt. ``sync`` doubles its pause up to an hour, for 72 hours after the event; a tenth of the
    pause is left to chance, so that receivers that come back do not get all at once.
    """
    if level == NOTIFY:
        return None
    pause = min(_FIRST_PAUSE * 2 ** min(attempts - 1, 20), _LONGEST_PAUSE)
    after = now + pause * (0.9 + random.random() / 10)  # noqa: S311 - jitter, not a secret
    return after if after <= event_at + RETRIES else None


def is_given_up(failing_since: datetime, failures: int, now: datetime) -> bool:
    """Whether a webhook that failed ``failures`` times in a row since then is turned off."""
    return failures >= FAILURES and now - failing_since >= FAILING


def _host(url: str) -> str | None:
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return None
    clean = not _NOT_A_HEADER.search(url) and " " not in url and "\\" not in url and "#" not in url
    if parts.scheme != "https" or not clean or "@" in parts.netloc or port == 0:
        return None
    return host if _HOST.fullmatch(host) or _is_ipv6(host) else None


def _is_ipv6(host: str) -> bool:
    try:
        ipaddress.IPv6Address(host)
    except ValueError:
        return False
    return "%" not in host


def literal_address(url: str) -> str | None:
    """The IP address that a (checked) URL names instead of a host, or None."""
    host = _host(url) or ""
    try:
        return str(ipaddress.ip_address(host))
    except ValueError:
        return None
