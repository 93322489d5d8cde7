"""Certificates of those who use a cluster, by an authority that is the cluster's own.

The stack's authority is none for them: the platform's own services let in whoever shows a certificate of that one.
"""

from datetime import UTC, datetime, timedelta
from typing import cast

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

LIFE = timedelta(days=3650)
"""Of both: what a user may is taken away by the cluster's access control lists, which a rotation changes."""
_SKEW = timedelta(minutes=5)


def new_authority(name: str) -> dict[str, str]:
    """``cert_pem`` and ``key_pem`` of a new authority of this name. EC P-256; it signs leaves alone."""
    key = ec.generate_private_key(ec.SECP256R1())
    begins = datetime.now(UTC) - _SKEW
    builder = _builder(name, name, key, begins, begins + LIFE)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    certificate = builder.add_extension(_usage(signs=True), critical=True).sign(key, hashes.SHA256())
    return {"cert_pem": _pem(certificate), "key_pem": _key_pem(key)}


def new_client(authority: dict[str, str], name: str) -> str:
    """The key of a client, and a certificate that names it, PEM; good for as long as the authority is."""
    signer = x509.load_pem_x509_certificate(authority["cert_pem"].encode())
    signer_key = cast(
        ec.EllipticCurvePrivateKey, serialization.load_pem_private_key(authority["key_pem"].encode(), None)
    )
    key = ec.generate_private_key(ec.SECP256R1())
    issuer = str(signer.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value)
    builder = _builder(name, issuer, key, datetime.now(UTC) - _SKEW, signer.not_valid_after_utc)
    builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    builder = builder.add_extension(_usage(signs=False), critical=True)
    builder = builder.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
    issued = x509.AuthorityKeyIdentifier.from_issuer_public_key(signer_key.public_key())
    certificate = builder.add_extension(issued, critical=False).sign(signer_key, hashes.SHA256())
    return _key_pem(key) + _pem(certificate)


def parts(client: str) -> tuple[str, str]:
    """Key and certificate of what ``new_client`` made."""
    key, mark, rest = client.partition("-----BEGIN CERTIFICATE-----")
    return key, mark + rest


def _builder(
    subject: str, issuer: str, key: ec.EllipticCurvePrivateKey, begins: datetime, ends: datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder(_name(issuer), _name(subject))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begins)
        .not_valid_after(ends)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _usage(*, signs: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs,
        key_cert_sign=signs,
        crl_sign=signs,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


def _key_pem(key: ec.EllipticCurvePrivateKey) -> str:
    plain = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return key.private_bytes(*plain).decode()
