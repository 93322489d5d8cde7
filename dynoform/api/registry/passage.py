"""One request on its way to the registry and its answer on the way back: streamed, with the names changed."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response, StreamingResponse

from dynoform.api.registry.errors import VERSION, RegistryError
from dynoform.api.registry.upstream import MAXIMUM_DOCUMENT, Upstream, closed, unavailable
from dynoform.domain.container_images import MANIFESTS
from dynoform.errors import UnavailableError

if TYPE_CHECKING:
    import httpx

_ASKED = ("content-type", "content-length", "content-range", "range", "if-none-match")
_ANSWERED = (
    "content-type",
    "content-length",
    "content-range",
    "accept-ranges",
    "cache-control",
    "docker-content-digest",
    "docker-upload-uuid",
    "etag",
    "link",
    "location",
    "range",
)
"""Headers that pass; what belongs to one connection or names the caller does not."""
_NAMES = ("link", "location")
_BODIES = {"PATCH", "POST", "PUT"}
_GONE = 400
_CLOSED = 405
"""The registry's answer to what would change it while it collects its garbage: the methods that it never takes do not
get here."""


@dataclass(frozen=True)
class Passage:
    """Between a repository's name for users, ``<app>/<type>``, and the registry's own, ``containers/<id>/<type>``."""

    upstream: Upstream
    public: str
    inner: str

    async def take(
        self,
        request: Request,
        rest: str,
        query: Sequence[tuple[str, str]],
        body: bytes | AsyncIterator[bytes] | None = None,
        *,
        named: bool,
    ) -> Response:
        """Ask the registry for ``rest`` of the repository. ``named`` says that the answer's body has its name in it.

        ``body`` is the request's, if it has been read or somebody looks at it on its way.

        Raises ``UnavailableError`` when the registry does not answer, ``RegistryError`` when its answer is too long.
        """
        import httpx

        client = self.upstream.client
        content = body if body is not None else request.stream() if request.method in _BODIES else None
        asked = client.build_request(
            request.method, f"/v2/{self.inner}/{rest}", params=list(query), headers=_headers(request), content=content
        )
        try:
            answer = await client.send(asked, stream=True)
            if answer.status_code == _CLOSED:
                await answer.aclose()
                raise closed()
            if named or answer.status_code >= 400:
                return await self._whole(answer)
        except httpx.HTTPError as error:
            raise unavailable() from error
        except ClientDisconnect:
            return Response(status_code=_GONE)  # nobody reads it; the registry forgets the part after a day
        return StreamingResponse(_pieces(answer), answer.status_code, self._answered(answer))

    async def _whole(self, answer: "httpx.Response") -> Response:
        """A list or an error, short, with the repository's name as its users know it."""
        try:
            body = b""
            async for piece in answer.aiter_bytes():
                body += piece
                if len(body) > MAXIMUM_DOCUMENT:
                    raise RegistryError(502, "UNKNOWN", "The registry's answer is too long.")
        finally:
            await answer.aclose()
        if answer.status_code >= 500:
            raise unavailable()
        headers = self._answered(answer)
        if body:
            headers.pop("content-length", None)
        return Response(body.replace(self.inner.encode(), self.public.encode()), answer.status_code, headers)

    def _answered(self, answer: "httpx.Response") -> dict[str, str]:
        headers = {name: value for name in _ANSWERED if (value := answer.headers.get(name)) is not None}
        for name in _NAMES:
            if name in headers:
                headers[name] = headers[name].replace(f"/v2/{self.inner}/", f"/v2/{self.public}/")
        return {**VERSION, **headers}


async def _pieces(answer: "httpx.Response") -> AsyncIterator[bytes]:
    import httpx

    try:
        async for piece in answer.aiter_raw():
            yield piece
    except httpx.HTTPError as error:
        raise UnavailableError("The container registry", "broke off in the middle of an answer") from error
    finally:
        await answer.aclose()


def _headers(request: Request) -> dict[str, str]:
    headers = {name: value for name in _ASKED if (value := request.headers.get(name)) is not None}
    # The CLI asks for Docker's own type of manifest only; newer engines push OCI's, of which it reads the same fields.
    headers["accept"] = ", ".join([*request.headers.getlist("accept"), *MANIFESTS])
    headers["accept-encoding"] = "identity"
    return headers
