"""Log drains: which URLs lines may be sent to (https://devcenter.heroku.com/articles/log-drains)."""

import ipaddress
import re
import uuid
from collections.abc import Collection
from urllib.parse import urlsplit

from dynoform.errors import InvalidInputError

MAXIMUM_PER_APP = 5
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


def check(url: str, forbidden: Collection[str] = ()) -> str:
    """The URL itself. Raises ``InvalidInputError`` for one that no drain can have.

    ``forbidden`` are the platform's own addresses: a drain must not reach what users cannot. A name may still lead to
    one of them, so whoever delivers checks the address that it connects to as well.
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
    if not reachable(host, forbidden):
        raise InvalidInputError("Url is invalid: its host is none that logs can be sent to")
    return url


def reachable(host: str, forbidden: Collection[str] = ()) -> bool:
    """Whether a host, by name or address, may receive users' logs: nothing local, nothing of the platform's own."""
    if host in forbidden:
        return False
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return _is_name(host)
    plain = getattr(address, "ipv4_mapped", None) or address
    refused = (
        plain.is_loopback,
        plain.is_link_local,
        plain.is_multicast,
        plain.is_unspecified,
        plain.is_reserved,
        str(plain) in forbidden,
    )
    return not any(refused)


def _is_name(host: str) -> bool:
    labels = host.removesuffix(".").split(".")
    if len(host) > 253 or not all(_LABEL.fullmatch(label) for label in labels):
        return False
    # 127.1, 0x7f000001 and 2130706433 are addresses to some resolvers; no top-level domain begins with a digit.
    return not labels[-1][0].isdigit() and labels[-1].lower() != "localhost"
