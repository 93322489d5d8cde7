"""Sources from elsewhere: fetched from a real TLS server on the loopback."""

import hashlib
import http.server
import ipaddress
import ssl
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from dynoform.build.download import Downloader, is_public
from dynoform.errors import InvalidInputError
from tests.integration.certificates import Authority

CONTENT = b"a tarball, or so" * 10_000
CHECKSUM = f"SHA256:{hashlib.sha256(CONTENT).hexdigest()}"


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        target = {"/moved": "/source", "/loop": "/loop", "/plain": "http://localhost/source"}.get(self.path)
        if target:
            self.send_response(302)
            self.send_header("Location", target)
            self.end_headers()
        elif self.path == "/source":
            assert self.headers["Host"].startswith("localhost:")
            self.send_response(200)
            self.end_headers()
            self.wfile.write(CONTENT)
        else:
            self.send_error(404)

    def log_message(self, *arguments: object) -> None:
        return


@dataclass
class Site:
    url: str
    context: ssl.SSLContext

    def fetch(self, path: str, target: Path, checksum: str | None = None) -> None:
        Downloader(lambda: self.context, allowed=lambda address: address.is_loopback).fetch(
            self.url + path, target, checksum
        )


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("tls")
    authority = Authority()
    certificate, key = authority.issue("localhost", "127.0.0.1")
    (folder / "pem").write_bytes(certificate + key)
    server_side = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server_side.load_cert_chain(folder / "pem")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.socket = server_side.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        yield Site(f"https://localhost:{server.server_port}", ssl.create_default_context(cadata=authority.pem.decode()))
        server.shutdown()


@pytest.mark.parametrize("path", ["/source", "/moved"])
def test_a_source_is_fetched_whole(site: Site, tmp_path: Path, path: str) -> None:
    for checksum in (None, CHECKSUM, CHECKSUM.upper()):
        site.fetch(path, tmp_path / "source", checksum)
        assert (tmp_path / "source").read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("path", "checksum", "message"),
    [
        ("/nothing", None, "source: is not there: localhost answered 404 — look at the address"),
        ("/loop", None, "source: is behind more than 5 redirects"),
        ("/plain", None, "source: is at http://localhost — use an https address"),
        ("/source", "SHA256:00", f"source: has the checksum {CHECKSUM}, not SHA256:00"),
    ],
)
def test_what_is_not_as_it_should_be_is_refused(
    site: Site, tmp_path: Path, path: str, checksum: str | None, message: str
) -> None:
    with pytest.raises(InvalidInputError) as caught:
        site.fetch(path, tmp_path / "source", checksum)
    assert str(caught.value).startswith(message)


def test_the_platforms_own_addresses_are_not_asked(site: Site, tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="is at localhost, which is no public address"):
        Downloader(lambda: site.context).fetch(f"{site.url}/source", tmp_path / "source", None)


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "10.1.2.3",
        "172.29.4.1",
        "169.254.169.254",
        "::1",
        "fd00::1",
        "::ffff:10.0.0.1",
        "224.0.0.1",
        "100.64.0.1",
    ],
)
def test_a_private_address_is_not_public(address: str) -> None:
    assert not is_public(ipaddress.ip_address(address))
    assert is_public(ipaddress.ip_address("93.184.215.14"))
