"""SNI endpoints: real certificates, read and checked, and keys that never come out."""

from datetime import UTC, datetime, timedelta

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import NameOID
from sqlalchemy import select

from dynoform.api.services import Services
from dynoform.domain import certificates
from dynoform.store.session import Store
from dynoform.store.tables import SniEndpoint

FIELDS = {
    "app", "certificate_chain", "cname", "created_at", "display_name", "domains", "id", "name", "ssl_cert",
    "updated_at",
}  # fmt: skip
Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


class Issuer:
    """A certificate authority with a key of its own; several make a chain."""

    def __init__(self, name: str, above: "Issuer | None" = None) -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = subject(name)
        signer = above or self
        builder = base(self.name, signer.name, self.key, timedelta(days=100))
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        usage = x509.KeyUsage(False, False, False, False, False, True, True, False, False)
        builder = builder.add_extension(usage, critical=True)
        identifier = x509.SubjectKeyIdentifier.from_public_key(self.key.public_key())
        builder = builder.add_extension(identifier, critical=False)
        above_key = x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.key.public_key())
        self.certificate = builder.add_extension(above_key, critical=False).sign(signer.key, hashes.SHA256())

    def issue(
        self, *names: str, key: Key | None = None, days: float = 90, common: str | None = None
    ) -> tuple[x509.Certificate, Key]:
        key = key or ec.generate_private_key(ec.SECP256R1())
        builder = base(subject(common or (names[0] if names else "nobody")), self.name, key, timedelta(days=days))
        if names:
            alternatives = x509.SubjectAlternativeName([x509.DNSName(name) for name in names])
            builder = builder.add_extension(alternatives, critical=False)
        purpose = x509.ExtendedKeyUsage([x509.ExtendedKeyUsageOID.SERVER_AUTH])
        builder = builder.add_extension(purpose, critical=False)
        above_key = x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key())
        return builder.add_extension(above_key, critical=False).sign(self.key, hashes.SHA256()), key


def subject(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COUNTRY_NAME, "DE"), x509.NameAttribute(NameOID.COMMON_NAME, name)])


def base(name: x509.Name, issuer: x509.Name, key: Key, lifetime: timedelta) -> x509.CertificateBuilder:
    ends = datetime.now(UTC) + lifetime
    starts = min(datetime.now(UTC), ends) - timedelta(hours=1)
    builder = x509.CertificateBuilder(issuer, name, key.public_key(), x509.random_serial_number())
    return builder.not_valid_before(starts).not_valid_after(ends)


def pem(*certificates: x509.Certificate) -> str:
    return "".join(each.public_bytes(serialization.Encoding.PEM).decode() for each in certificates)


def key_pem(key: Key | ed25519.Ed25519PrivateKey, password: bytes | None = None) -> str:
    hidden = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, hidden).decode()


def pair(*names: str) -> dict[str, str]:
    """Body with a certificate for these names."""
    certificate, key = Issuer("test authority").issue(*names)
    return {"certificate_chain": pem(certificate), "private_key": key_pem(key)}


def test_a_certificate_is_read_and_shown_without_its_key(
    client: httpx.Client, app: str, store: Store, services: Services
) -> None:
    body = pair("www.example.com", "*.example.org")
    answer = client.post(f"/apps/{app}/sni-endpoints", json=body)
    assert answer.status_code == 201
    made = answer.json()
    assert set(made) == FIELDS
    assert (made["certificate_chain"], made["domains"], made["display_name"]) == (body["certificate_chain"], [], None)
    certificate = made["ssl_cert"]
    assert certificate.pop("id")
    assert datetime.fromisoformat(certificate.pop("expires_at")) > datetime.now(UTC) + timedelta(days=89)
    assert datetime.fromisoformat(certificate.pop("starts_at")) < datetime.now(UTC)
    assert certificate == {
        "acm": False,
        "ca_signed?": False,
        "cert_domains": ["www.example.com", "*.example.org"],
        "issuer": "/C=DE/CN=test authority",
        "self_signed?": False,
        "subject": "/C=DE/CN=www.example.com",
    }
    for reference in (made["id"], made["name"]):
        found = client.get(f"/apps/{app}/sni-endpoints/{reference}")
        assert (found.status_code, "PRIVATE" in found.text) == (200, False)
    assert "PRIVATE" not in answer.text
    assert [each["name"] for each in client.get(f"/apps/{app}/sni-endpoints").json()] == [made["name"]]
    with store.transaction() as session:
        endpoint = session.scalars(select(SniEndpoint)).one()
        assert b"PRIVATE" not in endpoint.private_key
        assert services.vault.decrypt(endpoint.id, endpoint.private_key) == {"private_key": body["private_key"]}
    assert "PRIVATE" not in str(services.journal.entries)  # type: ignore[attr-defined]


def test_a_chain_in_any_order_is_put_in_order(client: httpx.Client, app: str) -> None:
    root = Issuer("root")
    middle = Issuer("middle", root)
    leaf, key = middle.issue("www.example.com")
    stray = Issuer("stray").certificate
    body = {"certificate_chain": pem(root.certificate, stray, leaf, middle.certificate), "private_key": key_pem(key)}
    made = client.post(f"/apps/{app}/sni-endpoints", json=body).raise_for_status().json()
    assert made["certificate_chain"] == pem(leaf, middle.certificate, root.certificate)


def test_authorities_that_vouch_for_a_certificate_make_it_signed() -> None:
    root = Issuer("root")
    middle = Issuer("middle", root)
    leaf, key = middle.issue("*.example.com")
    chain, moment = pem(leaf, middle.certificate), datetime.now(UTC)
    assert certificates.read(chain, key_pem(key), moment, [root.certificate]).ca_signed is True
    assert certificates.read(chain, key_pem(key), moment, [Issuer("root").certificate]).ca_signed is False
    assert certificates.read(pem(leaf), key_pem(key), moment, [root.certificate]).ca_signed is False


def test_an_old_certificate_has_its_common_name(client: httpx.Client, app: str) -> None:
    certificate, key = Issuer("a").issue(common="www.example.com", key=rsa.generate_private_key(65537, 2048))
    body = {"certificate_chain": pem(certificate), "private_key": key_pem(key)}
    made = client.post(f"/apps/{app}/sni-endpoints", json=body).raise_for_status().json()
    assert made["ssl_cert"]["cert_domains"] == ["www.example.com"]


def long_key() -> rsa.RSAPrivateKey:
    """8676 bits, without the minutes that it takes to find such primes: these are Mersenne's."""
    p, q, e = 2**4423 - 1, 2**4253 - 1, 65537
    d = pow(e, -1, (p - 1) * (q - 1))
    public = rsa.RSAPublicNumbers(e, p * q)
    numbers = rsa.RSAPrivateNumbers(p, q, d, d % (p - 1), d % (q - 1), pow(q, -1, p), public)
    return numbers.private_key(unsafe_skip_rsa_key_validation=True)


def signed_with_sha1(key: Key) -> str:
    """A certificate that says so; it is no longer possible to make a real one."""
    signer = rsa.generate_private_key(65537, 2048)
    builder = base(subject("www.example.com"), subject("old"), key, timedelta(days=9))
    names = x509.SubjectAlternativeName([x509.DNSName("www.example.com")])
    der = builder.add_extension(names, critical=False).sign(signer, hashes.SHA256())
    sha256, sha1 = bytes.fromhex("2a864886f70d01010b"), bytes.fromhex("2a864886f70d010105")
    changed = der.public_bytes(serialization.Encoding.DER).replace(sha256, sha1)
    return pem(x509.load_der_x509_certificate(changed))


def demanding_staple(key: Key) -> str:
    """A certificate that is of no use without an answer of its authority's beside it."""
    builder = base(subject("www.example.com"), subject("www.example.com"), key, timedelta(days=9))
    builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName("www.example.com")]), critical=False)
    feature = x509.TLSFeature([x509.TLSFeatureType.status_request])
    return pem(builder.add_extension(feature, critical=False).sign(key, hashes.SHA256()))


def big(issuer: Issuer, leaf: x509.Certificate) -> str:
    """The leaf, and one above it with thousands of names."""
    builder = base(issuer.name, issuer.name, issuer.key, timedelta(days=9))
    names = x509.SubjectAlternativeName([x509.DNSName(f"{number:05}.example.com") for number in range(700)])
    identifier = x509.SubjectKeyIdentifier.from_public_key(issuer.key.public_key())
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    builder = builder.add_extension(names, critical=False).add_extension(identifier, critical=False)
    return pem(leaf, builder.sign(issuer.key, hashes.SHA256()))


def wrong(case: str) -> tuple[str, str]:
    """A chain and a key that do not do."""
    issuer = Issuer("test authority")
    certificate, key = issuer.issue("www.example.com", days=-1 if case == "expired" else 90)
    chain, private = pem(certificate), key_pem(key)
    other = ec.generate_private_key(ec.SECP256R1())
    cases = {
        "expired": (chain, private),
        "other key": (chain, key_pem(other)),
        "passphrase": (chain, key_pem(key, b"secret")),
        "no key": (chain, "no key"),
        "curve": (chain, key_pem(ed25519.Ed25519PrivateKey.generate())),
        "no chain": ("no chain", private),
        "broken": (chain.replace("MII", "MIJ"), private),
        "empty": ("", private),
        "authority": (pem(issuer.certificate), key_pem(issuer.key)),
        "swapped": (private, chain),
        "short": (chain, key_pem(rsa.generate_private_key(65537, 1024))),  # noqa: S505 - that is the point
        "many": (chain * 11, private),
        "long": (chain, key_pem(long_key())),
        "rare": (chain, key_pem(ec.generate_private_key(ec.SECP256K1()))),
        "sha1": (signed_with_sha1(key), private),
        "staple": (demanding_staple(key), private),
        "big": (big(issuer, certificate), private),
        "surrogate": (chain, "é" * 100),
    }
    return cases[case]


@pytest.mark.parametrize(
    ("case", "message"),
    [
        ("expired", "The certificate expired on "),
        ("other key", "Pem is invalid / Key doesn't match the PEM certificate"),
        ("passphrase", "Key could not be read since it's protected by a passphrase."),
        ("no key", "Key is invalid: it is not an RSA or EC private key in PEM form"),
        ("curve", "Key is invalid: it is not an RSA or EC private key in PEM form"),
        ("no chain", "Pem is invalid: it is not a list of certificates in PEM form"),
        ("broken", "Pem is invalid: it is not a list of certificates in PEM form"),
        ("empty", "Pem is invalid: it is not a list of certificates in PEM form"),
        ("authority", "No certificate given is a domain name certificate."),
        ("swapped", "Key is invalid: it is not an RSA or EC private key in PEM form"),
        ("short", "Key is too short: use RSA with 2048 bits or more, or EC"),
        ("many", "Pem is invalid: a chain has up to 10 certificates"),
        ("long", "Key is too long: use RSA with 4096 bits or less, or EC"),
        ("rare", "Key is invalid: browsers know no certificates on secp256k1, use P-256 or P-384"),
        ("sha1", "The certificate is signed with SHA1, which is not safe. Get a new one"),
        ("staple", "The certificate demands OCSP stapling (must-staple). Get one without"),
        ("big", "Pem is invalid: chain and key have more than 15 KB together"),
        ("surrogate", "Key is invalid: it is not an RSA or EC private key in PEM form"),
    ],
)
def test_a_certificate_that_does_not_do_is_refused(client: httpx.Client, app: str, case: str, message: str) -> None:
    chain, key = wrong(case)
    answer = client.post(f"/apps/{app}/sni-endpoints", json={"certificate_chain": chain, "private_key": key})
    assert (answer.status_code, answer.json()["id"]) == (422, "invalid_params")
    assert answer.json()["message"].startswith(message)
    assert "PRIVATE" not in answer.text
    assert client.get(f"/apps/{app}/sni-endpoints").json() == []


def test_a_certificate_is_replaced_under_the_same_name_and_removed(client: httpx.Client, app: str) -> None:
    made = client.post(f"/apps/{app}/sni-endpoints", json=pair("www.example.com")).raise_for_status().json()
    url = f"/apps/{app}/sni-endpoints/{made['name']}"
    body = pair("shop.example.com")
    changed = client.patch(url, json=body).raise_for_status().json()
    assert (changed["name"], changed["ssl_cert"]["cert_domains"]) == (made["name"], ["shop.example.com"])
    half = client.patch(url, json={"certificate_chain": body["certificate_chain"]})
    assert (half.status_code, half.json()["message"]) == (422, "Invalid request. private_key is required.")
    assert client.delete(url).json()["name"] == made["name"]
    answer = client.get(url)
    assert answer.json() == {
        "id": "not_found",
        "resource": "sni_endpoint",
        "message": "Couldn't find that sni endpoint.",
    }


def test_a_certificate_of_acm_is_not_changed_by_hand(client: httpx.Client, app: str, store: Store) -> None:
    from sqlalchemy import update

    made = client.post(f"/apps/{app}/sni-endpoints", json=pair("www.example.com")).raise_for_status().json()
    with store.transaction() as session:
        session.execute(update(SniEndpoint).values(acm=True))
    answer = client.patch(f"/apps/{app}/sni-endpoints/{made['name']}", json=pair("www.example.com"))
    message = f"{made['name']} is managed by ACM: run certs:auto:disable first"
    assert (answer.status_code, answer.json()["message"]) == (422, message)
    client.delete(f"/apps/{app}/acm").raise_for_status()
    assert client.get(f"/apps/{app}/sni-endpoints").json() == []


def test_strangers_see_and_change_nothing(client: httpx.Client, stranger: httpx.Client, app: str) -> None:
    made = client.post(f"/apps/{app}/sni-endpoints", json=pair("www.example.com")).raise_for_status().json()
    url = f"/apps/{app}/sni-endpoints"
    assert stranger.get(url).status_code == stranger.get(f"{url}/{made['id']}").status_code == 404
    assert stranger.post(url, json=pair("b.example.com")).status_code == 404
    assert stranger.delete(f"{url}/{made['id']}").status_code == 404
    mine = stranger.post("/apps", json={"name": "bobs"}).json()["name"]
    assert stranger.get(f"/apps/{mine}/sni-endpoints/{made['id']}").status_code == 404
    body = {"hostname": "b.example.com", "sni_endpoint": made["name"]}
    assert stranger.post(f"/apps/{mine}/domains", json=body).status_code == 404
