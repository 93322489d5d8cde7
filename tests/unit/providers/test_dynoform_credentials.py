"""Passwords and certificates."""

import base64
import socket
import ssl
import string
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from providers.dynoform.certificates import Certificate, CertificateAuthority
from providers.dynoform.engine import Operation
from providers.dynoform.errors import InputError
from providers.dynoform.password import Password

Values = dict[str, Any]


def make(operation: Operation, resource: Any, **inputs: Any) -> Values:
    values: Values = resource.create(operation, resource.check(inputs))[1]
    return values


@pytest.fixture
def authority(operation: Operation) -> Values:
    return make(operation, CertificateAuthority(), commonName="Test")


def leaf_of(authority: Values, **inputs: Any) -> Values:
    return {"commonName": "leaf", "caCertPem": authority["certPem"], "caKeyPem": authority["keyPem"], **inputs}


def test_password_has_the_length_that_was_asked_for(operation: Operation) -> None:
    values = [make(operation, Password(), length=40)["value"] for _ in range(2)]
    assert all(len(value) == 40 and set(value) <= set(string.ascii_letters + string.digits) for value in values)
    assert values[0] != values[1]


def test_key_has_32_bytes(operation: Operation) -> None:
    value = make(operation, Password(), encoding="urlsafe-base64-32")["value"]
    assert len(base64.urlsafe_b64decode(value)) == 32


def test_password_stays_until_a_keeper_changes(operation: Operation) -> None:
    state = make(operation, Password(), keepers={"epoch": "1"})
    assert not Password().diff(state, Password().check({"keepers": {"epoch": "1"}})).changed
    assert Password().diff(state, Password().check({"keepers": {"epoch": "2"}})).replaces == {"keepers"}


@pytest.mark.parametrize(
    ("resource", "inputs", "message"),
    [
        (Password(), {"length": 8}, "length: is 8 — use 12 to 256 characters"),
        (Password(), {"length": "12"}, "length: should be a whole number, is a string"),
        (Password(), {"encoding": "hex"}, "encoding: is 'hex' — use alphanumeric or urlsafe-base64-32"),
        (Password(), {"lenght": 20}, "lenght: is not a property of Password — use one of encoding, keepers, length"),
        (CertificateAuthority(), {}, "commonName: is required but was not given"),
        (
            Certificate(),
            {"commonName": "x", "caCertPem": "", "caKeyPem": "", "ipAddresses": ["127.0.0.256"]},
            "ipAddresses: has '127.0.0.256', which is not an IP address",
        ),
        (
            Certificate(),
            {"commonName": "x", "caCertPem": "", "caKeyPem": "", "dnsNames": ["a.example", "*.münchen.example"]},
            "dnsNames: has '*.münchen.example', which is no name of A-labels — write it in its xn-- form",
        ),
        (
            Certificate(),
            {"commonName": "x", "caCertPem": "", "caKeyPem": ""},
            "dnsNames: are empty, and so are ipAddresses — name what it serves, or set client",
        ),
    ],
)
def test_wrong_inputs_are_refused_in_one_line(resource: Any, inputs: Values, message: str) -> None:
    with pytest.raises(InputError) as caught:
        resource.check(inputs)
    assert str(caught.value) == message


def test_authority_signs_leaves_and_nothing_else(authority: Values) -> None:
    certificate = x509.load_pem_x509_certificate(authority["certPem"].encode())
    constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints)
    assert constraints.critical and constraints.value.ca and constraints.value.path_length == 0
    usage = certificate.extensions.get_extension_for_class(x509.KeyUsage).value
    assert usage.key_cert_sign and not usage.digital_signature


def test_leaf_says_what_it_is_for(operation: Operation, authority: Values) -> None:
    values = make(
        operation, Certificate(), **leaf_of(authority, dnsNames=["localhost"], ipAddresses=["::1"], client=True)
    )
    certificate = x509.load_pem_x509_certificate(values["certPem"].encode())
    purposes = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(purposes) == [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["localhost"]
    assert certificate.not_valid_after_utc - datetime.now(UTC) < timedelta(days=397)


def test_leaf_of_another_key_is_refused(operation: Operation, authority: Values) -> None:
    other = make(operation, CertificateAuthority(), commonName="Other")
    with pytest.raises(InputError, match="caKeyPem: is not the key of caCertPem"):
        make(operation, Certificate(), **leaf_of(authority, caKeyPem=other["keyPem"], client=True))


def test_certificate_is_renewed_in_place_when_a_third_of_its_life_is_left(
    operation: Operation, authority: Values
) -> None:
    inputs = Certificate().check(leaf_of(authority, client=True))
    state = Certificate().create(operation, inputs)[1]
    assert not Certificate().diff(state, inputs).changed
    for days, renewed in ((134, False), (130, True), (-1, True)):
        old = {**state, "notAfter": (datetime.now(UTC) + timedelta(days=days)).isoformat()}
        difference = Certificate().diff(old, inputs)
        assert ("notAfter" in difference.changed) == renewed
        assert not difference.replaces
    assert Certificate().update(operation, "leaf", state, inputs)["certPem"] != state["certPem"]


def test_tls_accepts_both_ends(operation: Operation, authority: Values, tmp_path: Path) -> None:
    paths = {}
    for name, inputs in (("server", {"dnsNames": ["localhost"]}), ("client", {"client": True})):
        values = make(operation, Certificate(), **leaf_of(authority, **inputs))
        paths[name] = tmp_path / f"{name}.pem"
        paths[name].write_text(values["certPem"] + values["keyPem"])
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cadata=authority["certPem"])
    server.verify_mode = ssl.CERT_REQUIRED
    server.load_cert_chain(paths["server"])
    client = ssl.create_default_context(cadata=authority["certPem"])
    client.verify_flags |= ssl.VERIFY_X509_STRICT
    client.load_cert_chain(paths["client"])
    near, far = socket.socketpair()
    near.settimeout(10)
    far.settimeout(10)
    answers: list[bytes] = []

    def serve() -> None:
        with server.wrap_socket(far, server_side=True) as stream:
            answers.append(stream.recv(5))

    thread = threading.Thread(target=serve)
    thread.start()
    with client.wrap_socket(near, server_hostname="localhost") as stream:
        stream.sendall(b"hello")
        thread.join(10)
    assert answers == [b"hello"]
