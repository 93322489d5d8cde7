"""Log drains: which URLs lines may be sent to (https://devcenter.heroku.com/articles/log-drains)."""

import ipaddress
import re
import uuid
from dataclasses import dataclass
from typing import Protocol
from urllib.parse import SplitResult, parse_qsl, quote, urlsplit

from dynoform.domain.public_addresses import is_public
from dynoform.domain.retries import half_by_chance
from dynoform.errors import InvalidInputError

MAXIMUM_PER_APP = 5
BUFFER = 1_024
"""Lines that may wait for a drain; then the oldest go, and it is told how many (L10)."""
HIDDEN = "********"
LONGEST_PATIENCE = 300.0
SCHEMES = ("https", "syslog", "syslog+tls")
_MAXIMUM_LENGTH = 2000
_LABEL = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)", re.IGNORECASE)
_TOKENS = uuid.UUID("8ee0b0f4-7ffb-4b45-9a0c-3a1c1a0f2c55")


def token() -> str:
    """A new drain's token, ``d.<uuid>``."""
    return f"d.{uuid.uuid4()}"


def addon_token(addon_id: uuid.UUID) -> str:
    """The token of an add-on's drain: its provider learns it before there is a drain, and again if asked again."""
    return f"d.{uuid.uuid5(_TOKENS, str(addon_id))}"


@dataclass(frozen=True)
class Target:
    """A drain as the log plane has to know it."""

    id: str
    app_id: str
    """The app's UUID in its usual form."""
    app_name: str
    token: str
    url: str
    """With all that opens it."""
    otlp: bool = False
    """OpenTelemetry's form instead of syslog's."""
    headers: tuple[tuple[str, str], ...] = ()


class Places(Protocol):
    """Where logs may go: what ``Reach`` decides."""

    def allows(self, address: str) -> bool:
        """Whether this IP address may receive logs."""


@dataclass(frozen=True)
class Reach:
    """Which addresses drains may connect to: public ones, and those of the operator's ``networks``; never ``own`` ones.

    A drain must not reach what only the platform can: its own services, its hosts, a cloud's metadata.
    """

    own: frozenset[str] = frozenset()
    networks: tuple[str, ...] = ()
    """In CIDR form: ``10.20.0.0/16``."""

    def allows(self, address: str) -> bool:
        """Whether this IP address may receive logs."""
        if is_public(address, self.own):
            return True
        try:
            found = ipaddress.ip_address(address)
        except ValueError:
            return False
        found = getattr(found, "ipv4_mapped", None) or found
        if str(found) in self.own:
            return False
        return any(found in ipaddress.ip_network(network) for network in self.networks)


def check(url: str, places: Places) -> str:
    """The URL itself. Raises ``InvalidInputError`` for one that no drain can have.

    A name may lead anywhere, so whoever delivers asks ``places`` about the address that it connects to as well.
    """
    if len(url) > _MAXIMUM_LENGTH or not url.isascii() or not url.isprintable() or " " in url:
        raise InvalidInputError(f"Url is invalid: use up to {_MAXIMUM_LENGTH} visible ASCII characters")
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        raise InvalidInputError("Url is invalid: it cannot be understood") from None
    if parts.scheme not in SCHEMES:
        raise InvalidInputError(f"Url is invalid: it must start with {', '.join(f'{s}://' for s in SCHEMES)}")
    if port == 0 or (parts.scheme == "syslog" and port is None):
        raise InvalidInputError("Url is invalid: it needs a port")
    if parts.scheme != "https" and (parts.username or parts.query):
        raise InvalidInputError("Url is invalid: a syslog drain has a host and a port only")
    if not is_possible(host, places):
        raise InvalidInputError("Url is invalid: its host is none that logs can be sent to")
    return url


def is_possible(host: str, places: Places) -> bool:
    """Whether a host, by name or address, may receive users' logs: a name may, unless it is the machine's own."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return _is_name(host)
    return places.allows(host)


def shown(url: str) -> str:
    """The URL without what opens it: a password, and the values in its query, which may be keys."""
    parts = urlsplit(url)
    return parts._replace(netloc=_shown_place(parts), query=_shown_query(parts.query)).geturl()


def _shown_place(parts: SplitResult) -> str:
    user, at, place = parts.netloc.rpartition("@")
    name, colon, _ = user.partition(":")
    # A user without a password is a key: nothing else would be one.
    return f"{name}:{HIDDEN}@{place}" if colon else f"{HIDDEN if at else ''}{at}{place}"


def _shown_query(query: str) -> str:
    fields = parse_qsl(query, keep_blank_values=True)
    return "&".join(f"{quote(name)}={HIDDEN}" for name, _ in fields) if fields else ("" if not query else HIDDEN)


def pause(failures: int) -> float:
    """Seconds before a drain is tried again after this many failures in a row (1 or more): 1 to 60, half by chance."""
    ceiling: float = min(60.0, 2.0 ** min(failures, 6))
    return ceiling * half_by_chance()


def patience(asked: float | None) -> float:
    """Seconds for which a receiver that asks to be let alone for ``asked`` is: five minutes at most."""
    return min(LONGEST_PATIENCE, asked or 0.0)


def _is_name(host: str) -> bool:
    labels = host.removesuffix(".").split(".")
    if len(host) > 253 or not all(_LABEL.fullmatch(label) for label in labels):
        return False
    # 127.1, 0x7f000001 and 2130706433 are addresses to some resolvers; no top-level domain begins with a digit.
    return not labels[-1][0].isdigit() and labels[-1].lower() != "localhost"
