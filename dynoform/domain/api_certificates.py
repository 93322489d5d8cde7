"""A certificate that an operator brings for the API's names on a domain of their own."""

from collections.abc import Iterable
from datetime import datetime

from dynoform.domain import certificates
from dynoform.domain.certificates import Certificate
from dynoform.errors import InvalidInputError

_LOCAL = "localhost"


def names(domain: str) -> tuple[str, ...]:
    """What it has to be for: the API, git and rendezvous are one name, the container registry is the other."""
    return (f"api.localhost.{domain}", f"registry.localhost.{domain}")


def check(chain: str, key: str, domain: str, now: datetime) -> Certificate:
    """The certificate, its chain in order. Raises ``InvalidInputError`` when clients could not use it."""
    if domain == _LOCAL:
        raise InvalidInputError("it is for a domain of your own, and domain is localhost")
    found = certificates.read(chain, key, now)
    if found.starts_at > now:
        raise InvalidInputError(f"The certificate is not valid before {found.starts_at:%Y-%m-%d %H:%M} UTC")
    missing = [name for name in names(domain) if not _covers(found.domains, name)]
    if missing:
        has = ", ".join(found.domains[:5])
        raise InvalidInputError(f"The certificate is for {has}, not for {missing[0]}: get one for that name, too")
    return found


def covers_apps(certificate: Certificate, domain: str) -> bool:
    """Whether it is for all apps' own names, too."""
    return f"*.{domain}" in (name.lower() for name in certificate.domains)


def _covers(domains: Iterable[str], name: str) -> bool:
    return bool({name, f"*.{name.partition('.')[2]}"} & {each.lower() for each in domains})
