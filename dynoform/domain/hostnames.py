"""Host names that users bring: which are allowed, and what two apps may not share.

Heroku's rules: https://devcenter.heroku.com/articles/custom-domains.
"""

import ipaddress
import re
import secrets

from dynoform.domain import app_names
from dynoform.errors import InvalidInputError

MAXIMUM_PER_APP = 1000
_MAXIMUM_LENGTH = 253
_LABEL = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)")
_WILDCARD = "*."


def check(hostname: str, domain: str) -> str:
    """The host name in lower case. Raises ``InvalidInputError`` for what is none, and for the platform's own.

    ``domain`` is the platform's: names in it come from apps' names.
    """
    name = hostname.lower().removesuffix(".")
    labels = name.removeprefix(_WILDCARD).split(".")
    if len(name) > _MAXIMUM_LENGTH or not all(_LABEL.fullmatch(label) for label in labels):
        raise InvalidInputError(
            f"Hostname {hostname[:60]!r} is invalid: use letters, digits and dashes between dots, and the xn-- form of "
            "names in other letters"
        )
    if len(labels) < 2 or labels[-1].isdigit() or _is_address(name):
        raise InvalidInputError(f"Hostname {name} is invalid: it needs a domain, as in www.example.com")
    if name == domain or name.endswith((f".{domain}", ".localhost")):
        raise InvalidInputError(f"Hostname {name} is reserved: it belongs to the platform")
    return name


def in_use(hostname: str) -> InvalidInputError:
    """The error for a host name that somebody else's app has."""
    return InvalidInputError(f"{hostname} is currently in use by another app.")


def already_added(hostname: str) -> InvalidInputError:
    """The error for a host name that this app has."""
    return InvalidInputError(f"Domain {hostname} already added to this app")


def wildcards_over(hostname: str) -> list[str]:
    """The wildcards that cover a host name, nearest first: ``*.b.example.com`` and ``*.example.com`` for a.b.…"""
    labels = hostname.removeprefix(_WILDCARD).split(".")
    first = 0 if hostname.startswith(_WILDCARD) else 1
    found = [_WILDCARD + ".".join(labels[start:]) for start in range(first, len(labels) - 1)]
    return [wildcard for wildcard in found if wildcard != hostname]


def is_wildcard(hostname: str) -> bool:
    """Whether it stands for all names below a domain."""
    return hostname.startswith(_WILDCARD)


def suffix(wildcard: str) -> str:
    """``.example.com`` of ``*.example.com``: what the names that it covers end with."""
    return wildcard.removeprefix("*")


def dns_target(domain: str) -> str:
    """A new target for a user's CNAME. It is longer than any app's name, so it is never one."""
    return f"{app_names.generate()}-{secrets.token_hex(12)}.{domain}"


def apps_names(domain: str) -> tuple[str, ...]:
    """What a certificate for all apps' own names is for."""
    return (f"*.{domain}", domain)


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
