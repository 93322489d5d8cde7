"""Client of the Platform API v3, for what a declared app needs.

Reference: https://devcenter.heroku.com/articles/platform-api-reference
"""

import random
import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from types import TracebackType
from typing import Any, Self

import httpx

from .engine import Operation
from .errors import ProviderError

LOCAL = ("localhost", "127.0.0.1")
ACCEPT = "application/vnd.heroku+json; version=3"
TIMEOUT = httpx.Timeout(30.0, connect=5.0)
ANSWER_SECONDS = 90.0
"""How long an API that does not answer, or answers 502 to 504, is asked again: it may just have been started."""
SILENT_SECONDS = 60.0
"""How long a stream of output may be silent before the caller is asked whether it is still of interest."""
SEALED = "sealed_with_another_key"
"""The id of the platform's error, see ``SealedError``."""
FIRST_PAUSE, LONGEST_PAUSE = 0.3, 3.0


class NotFoundError(ProviderError):
    """The thing that was asked for is not there (404)."""


class UnansweredError(ProviderError):
    """The platform's API gave no answer of its own for as long as the caller was ready to wait."""


class BrokenOffError(ProviderError):
    """A stream of output ended before all of it had come."""


class SealedError(ProviderError):
    """The platform cannot read what it keeps: another encryption key than the stack's sealed it."""


class PlatformApi:
    """Calls to one platform. Every call is bounded in time, and repeated while the platform is not there."""

    def __init__(
        self,
        operation: Operation,
        url: str,
        ca_cert_pem: str,
        token: str,
        patience: float | None = None,
        server_name: str = "",
    ) -> None:
        """``ca_cert_pem`` is what is trusted: the stack's authority, and the API's own certificate if one was brought.

        For a domain of the operator's own the system's authorities are trusted too. ``token`` is an API key;
        ``patience`` in seconds; ``server_name`` is whom the server has to prove to be, if not the address's host.
        """
        try:
            trust = ssl.create_default_context(cadata=ca_cert_pem)
            trust.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
            if httpx.URL(url).host not in LOCAL:
                trust.load_default_certs()
        except ssl.SSLError as error:
            raise ProviderError("api.caCertPem", "is not a PEM certificate") from error
        self._operation = operation
        self._url = url
        self._extensions = {"sni_hostname": server_name} if server_name else None
        self._patience = ANSWER_SECONDS if patience is None else patience
        headers = {"Accept": ACCEPT, "Authorization": f"Bearer {token}"}
        # The platform is asked directly: an HTTP proxy knows nothing of a local address.
        # A connection for each call: an idle one may be closed, by a router that reloads, in the moment in which it is
        # used again, and nobody could tell whether the call was heard.
        limits = httpx.Limits(max_keepalive_connections=0)
        self._client = httpx.Client(
            base_url=url, verify=trust, headers=headers, timeout=TIMEOUT, limits=limits, trust_env=False
        )

    def __enter__(self) -> Self:
        """The client itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Closes its connections."""
        self._client.close()

    def get(self, path: str, headers: Mapping[str, str] | None = None) -> Any:
        """The JSON at ``path``; of a long list the page that a Range header among ``headers`` asks for.

        Raises ``NotFoundError``, or ``ProviderError`` with the platform's message.
        """
        return self._json("GET", path, headers=headers)

    def post(self, path: str, body: Mapping[str, Any]) -> Any:
        """Creates something."""
        return self._json("POST", path, body)

    def patch(self, path: str, body: Mapping[str, Any]) -> Any:
        """Changes something."""
        return self._json("PATCH", path, body)

    def put(self, path: str, body: Mapping[str, Any]) -> Any:
        """Puts something in its place."""
        return self._json("PUT", path, body)

    def delete(self, path: str) -> None:
        """Deletes something; one that is gone already is no error."""
        try:
            self._json("DELETE", path)
        except NotFoundError:
            return

    def put_source(self, url: str, archive: bytes) -> None:
        """Uploads a source tarball to the address that ``POST /sources`` gave; that address is its own permission."""
        headers = {"Authorization": "", "Content-Type": ""}
        self._checked("PUT source", lambda: self._client.put(url, content=archive, headers=headers))

    def lines(self, url: str) -> Iterator[str]:
        """Lines of output as they come, until the platform ends it.

        Raises ``BrokenOffError`` when it breaks, is silent for too long, or there is none.
        """
        timeout = httpx.Timeout(TIMEOUT.connect, read=SILENT_SECONDS)
        try:
            with self._client.stream("GET", url, headers={"Authorization": ""}, timeout=timeout) as response:
                if response.status_code != httpx.codes.OK:
                    raise BrokenOffError("output", f"answers {response.status_code}")
                yield from response.iter_lines()
        except httpx.HTTPError as error:
            raise BrokenOffError("output", str(error) or type(error).__name__) from error

    def _json(
        self, method: str, path: str, body: Mapping[str, Any] | None = None, headers: Mapping[str, str] | None = None
    ) -> Any:
        def call() -> httpx.Response:
            return self._client.request(method, path, json=body, headers=headers, extensions=self._extensions)

        response = self._checked(f"{method} {path}", call)
        return response.json() if response.content else None

    def _checked(self, what: str, call: Callable[[], httpx.Response]) -> httpx.Response:
        response = self._answered(call)
        if response.status_code == httpx.codes.NOT_FOUND:
            raise NotFoundError(what, _message(response))
        if response.is_error:
            why = f"{_message(response)} ({response.status_code})"
            if _said(response, "id") == SEALED:
                raise SealedError(what, why, "bin/dynoform restore brings a state back, down --purge gives the data up")
            raise ProviderError(what, why)
        return response

    def _answered(self, call: Callable[[], httpx.Response]) -> httpx.Response:
        """The first answer that is the platform's own, within the patience."""
        until, pause = time.monotonic() + self._patience, FIRST_PAUSE
        while True:
            try:
                response = call()
                why = f"answers {response.status_code}"
                if response.status_code not in (502, 503, 504):
                    return response
            except httpx.TransportError as error:
                why = str(error) or type(error).__name__
            if time.monotonic() > until:
                raise UnansweredError(
                    self._url, f"the platform's API gives no answer: {why}", "see 'bin/dynoform status'"
                )
            self._operation.status(f"waits for the platform's API: {why}")
            self._operation.pause(pause * random.uniform(0.7, 1.3))  # noqa: S311 - jitter
            pause = min(pause * 1.6, LONGEST_PAUSE)


def _message(response: httpx.Response) -> str:
    return _said(response, "message") or response.text.strip()[:200] or response.reason_phrase


def _said(response: httpx.Response, name: str) -> str:
    """What the platform's error object has of that name; empty where there is none."""
    try:
        return str(response.json()[name])
    except (ValueError, KeyError, TypeError):
        return ""
