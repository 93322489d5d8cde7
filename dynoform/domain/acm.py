"""Automated Certificate Management: states and reasons as ``heroku certs:auto`` shows them, tries, renewals.

Heroku: https://devcenter.heroku.com/articles/automated-certificate-management; the authority's side: RFC 8555, and
RFC 9773 for when to renew.
"""

import base64
import random
import uuid
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from cryptography import x509

from dynoform.errors import InvalidInputError

DNS_VERIFIED = "dns-verified"
VERIFIED = "verified"
ISSUED = "cert issued"
FAILING = "failing"
FAILED = "failed"
"""Values of ``acm_status``; none at all is for waiting. The CLI shows ``verified`` as In Progress."""

DELAYS = (
    timedelta(minutes=1),
    timedelta(minutes=5),
    timedelta(minutes=15),
    timedelta(hours=1),
    timedelta(hours=4),
    timedelta(hours=12),
    timedelta(days=1),
)
"""Before the try that follows the 1st, 2nd, … failure. Let's Encrypt takes five failures of a name in an hour."""
RATE_LIMITED = timedelta(hours=1)
SHORTEST_ASK, USUAL_ASK, LONGEST_ASK = timedelta(hours=1), timedelta(hours=6), timedelta(days=1)
"""How often an authority is asked when to renew (RFC 9773, 4.3: what it says itself, within reason)."""
LAST_MOMENT = 6
"""Whatever the authority suggests: no later than when a sixth of the lifetime is left."""
_REASON_LENGTH = 200

_REASONS = {
    # In Heroku's words, whatever it is that answers instead of us.
    "unauthorized": "CDN not returning HTTP challenge",
    "incorrectResponse": "CDN not returning HTTP challenge",
    "connection": "Nothing answers on port 80 of {name}",
    "tls": "https of {name}, where its http leads to, does not work",
    "dns": "The DNS of {name} does not answer",
    "caa": "A CAA record of {name} lets other authorities alone issue its certificates",
    "rejectedIdentifier": "The certificate authority issues no certificates for {name}",
    "unsupportedIdentifier": "The certificate authority issues no certificates for {name}",
}
NO_DNS = "No DNS record of {name} leads anywhere: point it to {cname}"
NO_WILDCARDS = "Wildcard certificates need a DNS hook, which the platform's operator sets (acmeDnsHook)"
LIMITED = "Rate limit of the certificate authority reached"
AWAY = "The certificate authority does not answer"
UNPROVED = "The platform could not prove to the certificate authority that the name is its own"


@dataclass(frozen=True)
class Binding:
    """An account that the operator has with an authority, by other means than ACME."""

    key_id: str
    key: str = field(repr=False)
    """Base64 as in URLs; signs with HMAC and SHA-256."""


@dataclass(frozen=True)
class Lifetime:
    """From when to when a certificate is good."""

    starts_at: datetime
    expires_at: datetime

    @property
    def whole(self) -> timedelta:
        """How long."""
        return self.expires_at - self.starts_at


@dataclass(frozen=True)
class Window:
    """When the authority suggests to renew (RFC 9773, 4.2)."""

    start: datetime
    end: datetime


def disabled() -> InvalidInputError:
    """The error of a platform without an authority."""
    return InvalidInputError(
        "Automated Certificate Management is not set up on this platform. Its operator sets acmeDirectory"
    )


def managed(name: str) -> InvalidInputError:
    """The error for a certificate, or a domain's, that is not a user's to change."""
    return InvalidInputError(f"{name} is managed by ACM: run certs:auto:disable first")


def reason(code: str, detail: str, name: str) -> str:
    """Why a certificate could not be had; ``code`` and ``detail`` are of the authority's problem (RFC 8555, 6.7)."""
    known = _REASONS.get(code)
    text = known.format(name=name) if known else " ".join(detail.split()) or code
    return text[:_REASON_LENGTH]


def delay(failures: int) -> timedelta:
    """How long to wait after so many failures in a row (1 or more); up to a fifth longer, by chance."""
    usual = DELAYS[min(failures, len(DELAYS)) - 1]
    return usual * (1 + random.random() / 5)  # noqa: S311 - jitter


def status(failures: int, *, has_certificate: bool) -> str:
    """The state after so many failures: where there is no certificate to renew, it is tried no more in the end."""
    return FAILED if failures >= len(DELAYS) and not has_certificate else FAILING


def renewal(subject: uuid.UUID, lifetime: Lifetime, suggested: datetime | None) -> datetime:
    """When a certificate is replaced: as the authority suggests, else when a third of its life is left.

    Certificates that were got together are not renewed together: the second rule is up to a twentieth early.
    """
    if suggested is not None:
        return min(suggested, lifetime.expires_at - lifetime.whole / LAST_MOMENT)
    early = subject.int % 1000 / 1000 / 20
    return lifetime.expires_at - lifetime.whole * (1 / 3 + early)


def choose(window: Window, chosen: datetime | None) -> datetime:
    """A moment of the window, by chance; the one that was chosen before as long as it is one (RFC 9773, 4.2)."""
    if chosen is not None and window.start <= chosen <= window.end:
        return chosen
    return window.start + (window.end - window.start) * random.random()  # noqa: S311 - spreads load


def ask_again(seconds: float | None) -> timedelta:
    """How long until the authority is asked again; ``seconds`` is what it said itself (Retry-After)."""
    if seconds is None:
        return USUAL_ASK
    return min(max(timedelta(seconds=seconds), SHORTEST_ASK), LONGEST_ASK)


def identifier(certificate: x509.Certificate) -> str | None:
    """What the authority knows a certificate by (RFC 9773, 4.1); None when it does not say whose key signed it."""
    try:
        found = certificate.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value.key_identifier
    except x509.ExtensionNotFound:
        return None
    if found is None:
        return None
    serial = certificate.serial_number
    return f"{_encoded(found)}.{_encoded(serial.to_bytes(serial.bit_length() // 8 + 1, 'big'))}"


def _encoded(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
