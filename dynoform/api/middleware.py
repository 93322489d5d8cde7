"""What all answers share: Request-Id, remaining calls, ETag, a limit on bodies, and no exception that gets out."""

import hashlib
import re
import time
import uuid
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from dynoform.api.errors import MAXIMUM_BODY, answer
from dynoform.api.git import is_transfer
from dynoform.journal import Journal

_REGISTRY = "/v2/"
"""Docker's requests: layers have no limit, and the registry's answers carry its own tags."""
_NO_HEAD = re.compile(r"/v2/|/[^/]+\.git/|/log-sessions/|/(builds|releases)/[^/]+/output$")
_UUID = r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_SECRET = re.compile(
    r"(?P<place>^/log-sessions/|/(log-drains|telemetry-drains|oauth/authorizations)/"
    rf"(?!((d\.)?{_UUID}|~)(/actions/[a-z-]+)?\Z)).+",
    re.DOTALL | re.IGNORECASE,
)
"""Paths with a secret in them: a log session's token, and what names a thing by what opens it, as a drain's URL."""
_REQUEST_ID = re.compile(r"[A-Za-z0-9-]{20,200}")


class Envelope:
    """Outermost: gives each request its id, logs it, and turns what nobody caught into Heroku's 500."""

    def __init__(self, app: ASGIApp, journal: Journal) -> None:
        """``journal`` gets one line per request, without the query (it may hold a token)."""
        self.app = app
        self.journal = journal

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started, identifier = time.monotonic(), request_id(Headers(scope=scope).get("request-id", ""))
        scope.setdefault("state", {})["request_id"] = identifier
        status = 0

        async def send_with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                headers["Request-Id"] = identifier
                headers["X-Content-Type-Options"] = "nosniff"
                if "remaining" in scope.get("state", {}):
                    headers["RateLimit-Remaining"] = str(scope["state"]["remaining"])
            await send(message)

        try:
            await self.app(scope, receive, send_with_headers)
        except Exception as error:  # noqa: BLE001 - the last line of defence: log it, tell nothing
            self.journal.exception("exception", error, request_id=identifier)
            if status == 0:
                await answer(error)(scope, receive, send_with_headers)
        finally:
            self._log(scope, status, started, identifier)

    def _log(self, scope: Scope, status: int, started: float, identifier: str) -> None:
        took = round((time.monotonic() - started) * 1000)
        self.journal.info(
            "request", method=scope["method"], path=_shown(scope["path"]), status=status, ms=took, request_id=identifier
        )


class Head:
    """Answers HEAD as GET; the server leaves the body out. Streams, git and Docker's registry see to it themselves."""

    def __init__(self, app: ASGIApp) -> None:
        """Wrap ``app``."""
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] == "http" and scope["method"] == "HEAD" and not _NO_HEAD.match(scope["path"]):
            scope.setdefault("state", {})  # shared with the copy: what is left of the caller's rate limit is in it
            scope = {**scope, "method": "GET"}
        await self.app(scope, receive, send)


class BodyLimit:
    """Refuses bodies over ``MAXIMUM_BODY``, by their declared length or while they come; uploads and pushes pass."""

    def __init__(self, app: ASGIApp) -> None:
        """Wrap ``app``."""
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http" or _limits_itself(scope["method"], scope["path"]):
            await self.app(scope, receive, send)
            return
        declared = Headers(scope=scope).get("content-length", "")
        if declared.isdecimal() and int(declared[:20]) > MAXIMUM_BODY:
            await answer(HTTPException(413))(scope, receive, send)
            return
        seen = 0

        async def counted() -> Message:
            nonlocal seen
            message = await receive()
            seen += len(message.get("body", b""))
            if seen > MAXIMUM_BODY:
                raise HTTPException(413)  # the one kind that FastAPI lets out of its reading of a body
            return message

        await self.app(scope, counted, send)


class Conditional:
    """ETag on JSON answers to GET, and 304 when the client has that one already."""

    def __init__(self, app: ASGIApp) -> None:
        """Wrap ``app``."""
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http" or scope["method"] != "GET" or scope["path"].startswith(_REGISTRY):
            await self.app(scope, receive, send)
            return
        wanted = Headers(scope=scope).get("if-none-match", "")
        held: list[Message] = []

        async def send_tagged(message: Message) -> None:
            if message["type"] == "http.response.start" and _taggable(message):
                held.append(message)
                return
            if held and message["type"] == "http.response.body":
                await _send_held(held.pop(), message, wanted, send)
                return
            await send(message)

        await self.app(scope, receive, send_tagged)


async def _send_held(start: Message, body: Message, wanted: str, send: Send) -> None:
    tag = f'"{hashlib.sha256(body["body"]).hexdigest()[:32]}"'
    headers = MutableHeaders(scope=start)
    headers["ETag"] = tag
    if tag in [candidate.strip().removeprefix("W/") for candidate in wanted.split(",")]:
        start["status"] = 304
        del headers["content-length"]
        body = {"type": "http.response.body", "body": b""}
    await send(start)
    await send(body)


def _taggable(message: Message) -> bool:
    # JSON answers come in one piece with their length; streams have none and pass untouched.
    headers = Headers(raw=message["headers"])
    return message["status"] in (200, 206) and "content-length" in headers and "json" in headers.get("content-type", "")


def _limits_itself(method: str, path: str) -> bool:
    upload = method == "PUT" and path.startswith(("/sources/", "/slugs/"))
    return upload or path.startswith(_REGISTRY) or is_transfer(method, path)


def request_id(given: str) -> str:
    """The client's own id when it is a sensible one (the CLI sends a list with the newest first), else a new one."""
    first = given.partition(",")[0].strip()
    return first if _REQUEST_ID.fullmatch(first) else str(uuid.uuid4())


def _shown(path: Any) -> str:
    return _SECRET.sub(r"\g<place>…", str(path))[:200]
