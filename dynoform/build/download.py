"""A source that is somewhere else: fetched over https from a public address, and from no other.

Whoever may deploy may name an address; the builder can reach the platform's own services and its host's neighbours, so
it looks where a name leads before it goes there, on every redirect again.
"""

import hashlib
import ipaddress
import socket
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import httpx

from dynoform.attempts import attempts
from dynoform.domain import builds
from dynoform.errors import InvalidInputError

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
_REDIRECTS = 5
_RETRY_SECONDS = 10
_SECONDS = 600
_TIMEOUT = httpx.Timeout(30, connect=10)


def is_public(address: Address) -> bool:
    """Whether it is an address of the internet, and not of this host, this network or the platform."""
    return address.is_global and not address.is_multicast


@dataclass(frozen=True)
class Downloader:
    """Fetches over TLS that trusts as the ``context`` does that is made for it, from addresses that are ``allowed``."""

    context: Callable[[], ssl.SSLContext]
    allowed: Callable[[Address], bool] = is_public

    def fetch(self, url: str, path: Path, checksum: str | None) -> None:
        """Write what is at ``url`` to ``path``. ``checksum`` is its SHA-256 as ``SHA256:…``, if it is known.

        Raises ``InvalidInputError``: not reachable, not there, not public, too large, too slow, another checksum.
        """
        deadline = time.monotonic() + _SECONDS
        with httpx.Client(verify=self.context(), timeout=_TIMEOUT, trust_env=False) as client:
            found = self._try(client, httpx.URL(url), path, deadline)
        if checksum and found != checksum.lower().removeprefix("sha256:"):
            raise _refused(f"has the checksum SHA256:{found}, not {checksum[:80]}", "build the tarball that you meant")

    def _try(self, client: httpx.Client, url: httpx.URL, path: Path, deadline: float) -> str:
        failure = ""
        for _ in attempts(_RETRY_SECONDS):
            try:
                return self._follow(client, url, path, deadline)
            except (httpx.HTTPError, OSError) as error:
                failure = str(error) or type(error).__name__
        raise _refused(f"cannot be fetched from {url.host} ({failure})", "look at the address, or upload the source")

    def _follow(self, client: httpx.Client, url: httpx.URL, path: Path, deadline: float) -> str:
        for _ in range(_REDIRECTS + 1):
            if url.scheme != "https" or not url.host:
                raise _refused(f"is at {url.scheme}://{url.host}", "use an https address")
            with client.stream("GET", self._pinned(url), headers=_headers(url), extensions=_tls(url)) as answer:
                if not answer.has_redirect_location:
                    return _save(answer, url, path, deadline)
                url = url.join(answer.headers["location"])
        raise _refused(f"is behind more than {_REDIRECTS} redirects", "use the address at their end")

    def _pinned(self, url: httpx.URL) -> httpx.URL:
        """The same by address: what was looked at is what is connected to, whatever the name says a moment later."""
        found = socket.getaddrinfo(url.host, url.port or 443, type=socket.SOCK_STREAM)
        addresses = [ipaddress.ip_address(str(entry[4][0]).partition("%")[0]) for entry in found]
        if not addresses or not all(self.allowed(address) for address in addresses):
            raise _refused(f"is at {url.host}, which is no public address", "upload the source instead")
        return url.copy_with(host=str(addresses[0]))


def _headers(url: httpx.URL) -> dict[str, str]:
    # No encoding: the tarball as it is, not a compressed answer that would be unpacked here.
    return {"Host": url.netloc.decode(), "Accept-Encoding": "identity", "User-Agent": "dynoform"}


def _tls(url: httpx.URL) -> dict[str, str]:
    return {"sni_hostname": url.host}


def _save(answer: httpx.Response, url: httpx.URL, path: Path, deadline: float) -> str:
    """Write the body down; its SHA-256 in hexadecimal."""
    if answer.status_code != httpx.codes.OK:
        raise _refused(f"is not there: {url.host} answered {answer.status_code}", "look at the address")
    digest, size = hashlib.sha256(), 0
    with path.open("wb") as file:
        for piece in answer.iter_raw():
            size += len(piece)
            if size > builds.SOURCE_BYTES:
                raise _refused(f"is larger than {builds.megabytes(builds.SOURCE_BYTES)}", "leave some out")
            if time.monotonic() > deadline:
                raise _refused(f"took longer than {_SECONDS // 60} minutes to fetch", "upload the source instead")
            digest.update(piece)
            file.write(piece)
    return digest.hexdigest()


def _refused(why: str, next_step: str) -> InvalidInputError:
    return InvalidInputError("source", why, next_step)
