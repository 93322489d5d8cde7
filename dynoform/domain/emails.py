"""E-mail addresses: who somebody is, everywhere in Heroku's API."""

import re

from dynoform.errors import InvalidInputError

MAXIMUM_LENGTH = 254
"""RFC 5321, 4.5.3.1: a path of 256 octets with its two brackets."""
_ADDRESS = re.compile(r"[a-z0-9.!#$%&'*+/=?^_`{|}~-]+@[a-z0-9]([a-z0-9.-]*[a-z0-9])?")
"""As browsers check it (https://html.spec.whatwg.org/#valid-e-mail-address); ``operator@localhost`` is one."""


def check(text: str) -> str:
    """The address in lower case, as it is stored and compared; ``InvalidInputError`` when it is none."""
    address = text.strip().lower()
    if len(address) > MAXIMUM_LENGTH or not _ADDRESS.fullmatch(address):
        raise InvalidInputError(f"{text.strip()[:80]!r} is not an e-mail address")
    return address
