"""Certificates of a cluster's clients, as TLS sees them."""

import socket
import ssl
import threading
from pathlib import Path

import pytest

from dynoform.addons import client_certificates
from tests.integration.certificates import Authority


def let_in(folder: Path, authority: str, client: str) -> str:
    """Whom a server that trusts ``authority`` takes the client for; raises ``SSLError`` where it does not let it in."""
    stack = Authority()
    certificate, key = stack.issue("localhost", "localhost")
    files = {"server.crt": certificate, "server.key": key}
    files |= {"clients.crt": authority.encode(), "client.pem": client.encode()}
    for name, content in files.items():
        (folder / name).write_bytes(content)
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(folder / "clients.crt"))
    server.verify_mode = ssl.CERT_REQUIRED
    server.load_cert_chain(folder / "server.crt", folder / "server.key")
    mine = ssl.create_default_context(cadata=stack.pem.decode())
    mine.load_cert_chain(folder / "client.pem")
    left, right = socket.socketpair()

    def connect() -> None:
        try:
            with mine.wrap_socket(right, server_hostname="localhost") as connection:
                connection.recv(1)
        except (ssl.SSLError, OSError):
            right.close()

    thread = threading.Thread(target=connect)
    thread.start()
    try:
        with server.wrap_socket(left, server_side=True) as connection:
            shown = connection.getpeercert() or {}
            connection.send(b"x")
            return str(dict(pair for (pair,) in shown["subject"])["commonName"])  # type: ignore[misc, union-attr]
    finally:
        left.close()
        thread.join(10)


def test_a_client_is_let_in_by_its_own_clusters_authority_alone(tmp_path: Path) -> None:
    one, other = (client_certificates.new_authority(f"Kafka {name}") for name in "ab")
    client = client_certificates.new_client(one, "u0123")
    assert let_in(tmp_path, one["cert_pem"], client) == "u0123"
    with pytest.raises(ssl.SSLError, match="certificate verify failed"):
        let_in(tmp_path, other["cert_pem"], client)


def test_key_and_certificate_are_told_apart() -> None:
    authority = client_certificates.new_authority("Kafka a")
    key, certificate = client_certificates.parts(client_certificates.new_client(authority, "u0123"))
    assert key.startswith("-----BEGIN PRIVATE KEY-----") and key.endswith("-----END PRIVATE KEY-----\n")
    assert certificate.startswith("-----BEGIN CERTIFICATE-----") and certificate.count("-----BEGIN") == 1
