"""CertificateAuthority and Certificate: the stack's own authority, and what it signs.

Key usages follow RFC 5280 sections 4.2.1.3, 4.2.1.9 and 4.2.1.12; a leaf lives 397 days, the most that browsers take
(CA/Browser Forum Baseline Requirements 6.3.2).
"""

import ipaddress
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from .engine import Operation
from .errors import InputError
from .resource import Difference, Resource, Values
from .values import UNKNOWN

AUTHORITY_DAYS = 3650
LEAF_DAYS = 397
CLOCK_SKEW = timedelta(minutes=5)
RENEWAL_SHARE = 3
"""A certificate is renewed when less than one third of its lifetime is left."""


class _Issued(Resource):
    """What both have in common: outputs, and renewal as an update in place."""

    computed: ClassVar = ("certPem", "keyPem", "notAfter")
    secret: ClassVar = frozenset({"keyPem", "caKeyPem"})
    days: ClassVar[int]

    def diff(self, olds: Values, news: Values) -> Difference:
        """Also differs, by ``notAfter``, when it is time to renew."""
        difference = super().diff(olds, news)
        if _is_due(olds.get("notAfter"), self.days):
            return Difference(difference.changed | {"notAfter"}, difference.replaces)
        return difference

    def update(self, operation: Operation, identifier: str, olds: Values, news: Values) -> Values:
        """A new key and certificate under the same name."""
        return self.create(operation, news)[1]


class CertificateAuthority(_Issued):
    """Input ``commonName``; outputs ``certPem``, ``keyPem``, ``notAfter``. EC P-256, ten years, signs leaves only."""

    required: ClassVar = {"commonName": str}
    replacing: ClassVar = frozenset({"commonName"})
    days: ClassVar = AUTHORITY_DAYS

    def create(self, operation: Operation, inputs: Values) -> tuple[str, Values]:
        """Makes the key and signs it with itself."""
        key = ec.generate_private_key(ec.SECP256R1())
        name = _name(inputs["commonName"])
        builder = _builder(name, name, key, self.days)
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        builder = builder.add_extension(_usage(certificates=True), critical=True)
        return operation.name, {**inputs, **_outputs(builder.sign(key, hashes.SHA256()), key)}


class Certificate(_Issued):
    """A leaf of an authority, for servers (``dnsNames``, ``ipAddresses``), for clients (``client``), or both."""

    required: ClassVar = {"commonName": str, "caCertPem": str, "caKeyPem": str}
    optional: ClassVar = {"dnsNames": [], "ipAddresses": [], "client": False}
    days: ClassVar = LEAF_DAYS

    def check(self, inputs: Values) -> Values:
        """Refuses a certificate for nothing, and names and addresses that are none."""
        checked = super().check(inputs)
        if not (checked["dnsNames"] or checked["ipAddresses"] or checked["client"]):
            raise InputError("dnsNames", "are empty, and so are ipAddresses", "name what it serves, or set client")
        if isinstance(checked["ipAddresses"], list):
            for address in checked["ipAddresses"]:
                _check_address(address)
        if isinstance(checked["dnsNames"], list):
            for name in checked["dnsNames"]:
                _check_name(name)
        return checked

    def create(self, operation: Operation, inputs: Values) -> tuple[str, Values]:
        """Makes a key and has the authority sign it."""
        authority, authority_key = _authority(inputs)
        key = ec.generate_private_key(ec.SECP256R1())
        builder = _builder(_name(inputs["commonName"]), authority.subject, key, self.days)
        builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        builder = builder.add_extension(_usage(certificates=False), critical=True)
        builder = builder.add_extension(x509.ExtendedKeyUsage(_purposes(inputs)), critical=False)
        builder = builder.add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key()), critical=False
        )
        if alternatives := _alternatives(inputs):
            builder = builder.add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
        return operation.name, {**inputs, **_outputs(builder.sign(authority_key, hashes.SHA256()), key)}


def _check_address(address: Any) -> None:
    if address is UNKNOWN:
        return
    try:
        ipaddress.ip_address(address)
    except ValueError as error:
        raise InputError("ipAddresses", f"has {address!r}, which is not an IP address") from error


def _check_name(name: Any) -> None:
    if name is UNKNOWN or (isinstance(name, str) and name and name.isascii()):
        return
    raise InputError("dnsNames", f"has {name!r}, which is no name of A-labels", "write it in its xn-- form")


def _is_due(not_after: Any, days: int) -> bool:
    if not isinstance(not_after, str):
        return False
    return datetime.fromisoformat(not_after) - datetime.now(UTC) < timedelta(days=days) / RENEWAL_SHARE


def _authority(inputs: Values) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    try:
        certificate = x509.load_pem_x509_certificate(inputs["caCertPem"].encode())
        key = serialization.load_pem_private_key(inputs["caKeyPem"].encode(), password=None)
    except ValueError as error:
        raise InputError("caCertPem", "and caKeyPem do not hold a PEM certificate and its key") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey) or key.public_key() != certificate.public_key():
        raise InputError("caKeyPem", "is not the key of caCertPem", "take both from the same CertificateAuthority")
    return certificate, key


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, days: int
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder(subject_name=subject, issuer_name=issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - CLOCK_SKEW)
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _usage(*, certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not certificates,
        key_cert_sign=certificates,
        crl_sign=certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _purposes(inputs: Values) -> list[x509.ObjectIdentifier]:
    server = [ExtendedKeyUsageOID.SERVER_AUTH] if inputs["dnsNames"] or inputs["ipAddresses"] else []
    return server + ([ExtendedKeyUsageOID.CLIENT_AUTH] if inputs["client"] else [])


def _alternatives(inputs: Values) -> list[x509.GeneralName]:
    names: list[x509.GeneralName] = [x509.DNSName(name) for name in inputs["dnsNames"]]
    return names + [x509.IPAddress(ipaddress.ip_address(address)) for address in inputs["ipAddresses"]]


def _outputs(certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> Values:
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return {
        "certPem": certificate.public_bytes(serialization.Encoding.PEM).decode(),
        "keyPem": pem.decode(),
        "notAfter": certificate.not_valid_after_utc.isoformat(),
    }
