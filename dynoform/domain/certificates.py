"""Certificates that users bring: read, ordered and checked against their key.

Heroku's rules and messages: https://devcenter.heroku.com/articles/ssl.
"""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.x509 import verification

from dynoform.domain.served_certificates import MAXIMUM_PEM_BYTES
from dynoform.errors import InvalidInputError

MAXIMUM_CHAIN = 10
MAXIMUM_BYTES = 64 * 1024
_MINIMUM_RSA_BITS, _MAXIMUM_RSA_BITS = 2048, 4096
_CURVES = ("secp256r1", "secp384r1", "secp521r1")
_PUBLIC_DER = (serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


@dataclass(frozen=True)
class Certificate:
    """What was read of a chain and its key."""

    chain: str
    """PEM, the server's certificate first, each followed by the one that signed it."""
    domains: tuple[str, ...]
    issuer: str
    subject: str
    starts_at: datetime
    expires_at: datetime
    self_signed: bool
    ca_signed: bool
    """Whether one of the authorities vouches for it, so that any browser takes it."""


def read(chain: str, key: str, now: datetime, authorities: Sequence[x509.Certificate] = ()) -> Certificate:
    """The certificate for a key, with its chain; ``authorities`` are those that clients trust.

    Raises ``InvalidInputError`` when the two are not fit to be served.
    """
    private = _private_key(key)
    certificates = _certificates(chain)
    public = private.public_key().public_bytes(*_PUBLIC_DER)
    own = [each for each in certificates if each.public_key().public_bytes(*_PUBLIC_DER) == public]
    if not own:
        raise InvalidInputError("Pem is invalid / Key doesn't match the PEM certificate")
    leaf = own[0]
    domains = _domains(leaf)
    if not domains:
        raise InvalidInputError("No certificate given is a domain name certificate.")
    if leaf.not_valid_after_utc <= now:
        raise InvalidInputError(f"The certificate expired on {leaf.not_valid_after_utc:%Y-%m-%d}. Get a new one")
    _check_strength(leaf)
    ordered = _order(leaf, certificates)
    text = "".join(each.public_bytes(serialization.Encoding.PEM).decode() for each in ordered)
    if len(text) + len(key) > MAXIMUM_PEM_BYTES:
        raise InvalidInputError(f"Pem is invalid: chain and key have more than {MAXIMUM_PEM_BYTES // 1024} KB together")
    return Certificate(
        chain=text,
        domains=domains,
        issuer=_name(leaf.issuer),
        subject=_name(leaf.subject),
        starts_at=leaf.not_valid_before_utc.astimezone(UTC),
        expires_at=leaf.not_valid_after_utc.astimezone(UTC),
        self_signed=leaf.issuer == leaf.subject,
        ca_signed=_trusted(ordered, domains[0], now, authorities),
    )


def _check_strength(leaf: x509.Certificate) -> None:
    """What routers' TLS does not take, or what would keep them busy, is refused here."""
    signed_by = leaf.signature_hash_algorithm
    if isinstance(signed_by, (hashes.MD5, hashes.SHA1)):
        raise InvalidInputError(
            f"The certificate is signed with {signed_by.name.upper()}, which is not safe. Get a new one"
        )
    with suppress(x509.ExtensionNotFound):
        demanded = leaf.extensions.get_extension_for_class(x509.TLSFeature).value
        if x509.TLSFeatureType.status_request in demanded:
            raise InvalidInputError("The certificate demands OCSP stapling (must-staple). Get one without")


def _private_key(key: str) -> rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey:
    if len(key) > MAXIMUM_BYTES:
        raise InvalidInputError("Key is invalid: it is too long")
    try:
        # A long key takes minutes to be validated: its length is looked at first.
        _check_length(serialization.load_pem_private_key(key.encode(), None, unsafe_skip_rsa_key_validation=True))
        private: PrivateKeyTypes = serialization.load_pem_private_key(key.encode(), password=None)
    except TypeError:
        raise InvalidInputError("Key could not be read since it's protected by a passphrase.") from None
    except (ValueError, UnsupportedAlgorithm):
        raise InvalidInputError("Key is invalid: it is not an RSA or EC private key in PEM form") from None
    if isinstance(private, ec.EllipticCurvePrivateKey) and private.curve.name not in _CURVES:
        raise InvalidInputError(
            f"Key is invalid: browsers know no certificates on {private.curve.name}, use P-256 or P-384"
        )
    if not isinstance(private, (rsa.RSAPrivateKey, ec.EllipticCurvePrivateKey)):
        raise InvalidInputError("Key is invalid: it is not an RSA or EC private key in PEM form")
    return private


def _check_length(private: PrivateKeyTypes) -> None:
    if isinstance(private, rsa.RSAPrivateKey) and private.key_size < _MINIMUM_RSA_BITS:
        raise InvalidInputError(f"Key is too short: use RSA with {_MINIMUM_RSA_BITS} bits or more, or EC")
    if isinstance(private, rsa.RSAPrivateKey) and private.key_size > _MAXIMUM_RSA_BITS:
        raise InvalidInputError(f"Key is too long: use RSA with {_MAXIMUM_RSA_BITS} bits or less, or EC")


def _certificates(chain: str) -> Sequence[x509.Certificate]:
    if len(chain) > MAXIMUM_BYTES:
        raise InvalidInputError("Pem is invalid: the chain is too long")
    try:
        found = x509.load_pem_x509_certificates(chain.encode())
        for each in found:
            each.public_key()
            _name(each.subject)
            _domains(each)
    except (ValueError, TypeError, UnsupportedAlgorithm, x509.DuplicateExtension):
        raise InvalidInputError("Pem is invalid: it is not a list of certificates in PEM form") from None
    if len(found) > MAXIMUM_CHAIN:
        raise InvalidInputError(f"Pem is invalid: a chain has up to {MAXIMUM_CHAIN} certificates")
    return found


def _domains(certificate: x509.Certificate) -> tuple[str, ...]:
    """Names that the certificate is for; its common name counts only where there are no others (RFC 6125, 6.4.4)."""
    try:
        extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        common = certificate.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
        return tuple(str(each.value) for each in common[:1] if "." in str(each.value))
    return tuple(dict.fromkeys(extension.value.get_values_for_type(x509.DNSName)))


def _order(leaf: x509.Certificate, given: Sequence[x509.Certificate]) -> list[x509.Certificate]:
    """The leaf and those that signed it, as far as they are given; others are of no use to a client."""
    ordered = [leaf]
    while len(ordered) <= len(given):
        above = next((each for each in given if each not in ordered and _signed(ordered[-1], each)), None)
        if above is None:
            break
        ordered.append(above)
    return ordered


def _signed(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
        return False
    return True


def _trusted(
    ordered: Sequence[x509.Certificate], domain: str, now: datetime, authorities: Sequence[x509.Certificate]
) -> bool:
    if not authorities:
        return False
    try:
        subject = x509.DNSName(domain.replace("*", "a"))
        builder = verification.PolicyBuilder().store(verification.Store(list(authorities))).time(now)
        builder.build_server_verifier(subject).verify(ordered[0], list(ordered[1:]))
    except (ValueError, verification.VerificationError, UnsupportedAlgorithm):
        return False
    return True


def _name(name: x509.Name) -> str:
    """As Heroku shows it: ``/C=US/O=Example/CN=www.example.com``."""
    return "".join(f"/{each.rfc4514_attribute_name}={each.value!s}" for each in name)
