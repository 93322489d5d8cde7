"""Posting to URLs that users chose: over verified TLS, to public addresses only, never for long, never redirected."""

import asyncio
import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import httpx

from dynoform.configuration import Configuration
from dynoform.domain.public_addresses import is_public

SECONDS = 15.0
"""For the whole of it: a receiver that answers byte by byte holds nobody up."""
_CONNECT_SECONDS = 5.0
_MOST_ADDRESSES = 3
REFUSED = "AddressNotAllowed"


@dataclass(frozen=True)
class Answer:
    """The receiver's HTTP status, or the kind of failure that kept it from answering."""

    code: int | None = None
    error: str | None = None


class Poster:
    """Makes the requests; one for the process."""

    def __init__(self, configuration: Configuration) -> None:
        """Authorities are read when the first request is made: they take time and memory."""
        self._configuration = configuration

    async def post(self, url: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """Send ``body`` to the https ``url``. Never raises for what the network or the receiver does."""
        try:
            async with asyncio.timeout(SECONDS):
                return await self._post(httpx.URL(url), headers, body)
        except TimeoutError:
            return Answer(error="Timeout")
        except (httpx.HTTPError, httpx.InvalidURL, OSError, UnicodeError) as error:
            return Answer(error=_kind(error))

    async def _post(self, url: httpx.URL, headers: Mapping[str, str], body: bytes) -> Answer:
        addresses = await self._resolve(url)
        if not addresses:
            return Answer(error=REFUSED)
        client = await asyncio.to_thread(lambda: self._client)
        for address in addresses[:-1]:
            try:
                return await _send(client, url, address, headers, body)
            except (httpx.ConnectError, httpx.ConnectTimeout):
                continue
        return await _send(client, url, addresses[-1], headers, body)

    async def _resolve(self, url: httpx.URL) -> list[str]:
        """Where to connect. What was looked at is what is connected to: a second look-up could answer otherwise."""
        found = await asyncio.get_running_loop().getaddrinfo(
            url.host, url.port or 443, type=socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG
        )
        addresses = list(dict.fromkeys(str(place[0]) for *_, place in found))
        if not self._configuration.webhook_private:
            addresses = [address for address in addresses if is_public(address, self._configuration.own_addresses)]
        return addresses[:_MOST_ADDRESSES]

    @cached_property
    def _client(self) -> httpx.AsyncClient:
        context = ssl.create_default_context()
        if self._configuration.webhook_authorities is not None:
            context.load_verify_locations(self._configuration.webhook_authorities)
        # Connections are kept by address, and one address may have many names: none is used for a second request.
        limits = httpx.Limits(max_keepalive_connections=0)
        timeout = httpx.Timeout(SECONDS, connect=_CONNECT_SECONDS)
        return httpx.AsyncClient(
            verify=context, trust_env=False, follow_redirects=False, limits=limits, timeout=timeout
        )


async def _send(
    client: httpx.AsyncClient, url: httpx.URL, address: str, headers: Mapping[str, str], body: bytes
) -> Answer:
    request = client.build_request(
        "POST",
        url.copy_with(host=address),
        headers={**headers, "Host": url.netloc.decode("ascii")},
        content=body,
        extensions={"sni_hostname": url.host},  # what the certificate must be for
    )
    response = await client.send(request, stream=True)
    await response.aclose()  # only the status counts
    return Answer(code=response.status_code)


def _kind(error: BaseException) -> str:
    """A short name of a failure; TLS's is found behind the one that httpx makes of it."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError | socket.gaierror):
            return "CertificateError" if isinstance(cause, ssl.SSLError) else "NameError"
        cause = cause.__cause__ or cause.__context__
    return type(error).__name__
