"""Log sessions: a link to an app's log. The log plane has the lines; the API passes them on."""

import uuid
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse, StreamingResponse
from typing_extensions import TypedDict

from dynoform.api.apps import find
from dynoform.api.authentication import Caller
from dynoform.api.errors import ApiError, not_found
from dynoform.api.log_plane import Line, until
from dynoform.api.objects import shown
from dynoform.api.services import Services, Use
from dynoform.errors import InvalidInputError
from dynoform.store.apps import parse_id
from dynoform.store.tables import Account

router = APIRouter(tags=["log sessions"])
links = APIRouter(include_in_schema=False)
SESSION = "log session"
_LIFETIME = 300
_TAIL_LIFETIME = 24 * 3600
"""A client that tails connects again to the same link when the connection breaks."""
MAXIMUM_LINES = 1500
DEFAULT_LINES = 100
_EVENTS = "text/event-stream"
_MAXIMUM_ID = 40


class LogSessionObject(TypedDict):
    """https://devcenter.heroku.com/articles/platform-api-reference#log-session."""

    created_at: str
    id: str
    logplex_url: str
    updated_at: str


class NewLogSession(BaseModel):
    """Body of create; all of it may be left out. ``dyno`` is a dyno's name or a process type, as ``type`` is."""

    model_config = ConfigDict(strict=True)
    dyno: Annotated[str | None, Field(max_length=60)] = None
    dyno_name: Annotated[str | None, Field(max_length=60)] = None
    type: Annotated[str | None, Field(max_length=60)] = None
    lines: Annotated[int | None, Field(ge=0)] = None
    source: Annotated[str | None, Field(max_length=60)] = None
    tail: bool = False


@router.post("/apps/{app}/log-sessions", status_code=201, response_model=LogSessionObject)
def log_session_create(app: str, services: Use, caller: Caller, body: NewLogSession | None = None) -> JSONResponse:
    """A link to the app's last lines, and to those to come when ``tail`` is true."""
    wanted = body or NewLogSession()
    with services.store.transaction() as session:
        found = find(session, caller, app)
    lines = DEFAULT_LINES if wanted.lines is None else min(wanted.lines, MAXIMUM_LINES)
    claims = {
        "app": str(found.id),
        "account": str(caller.id),
        "num": lines,
        "tail": wanted.tail,
        "source": wanted.source,
        "dyno": wanted.dyno or wanted.dyno_name or wanted.type,
    }
    token = services.vault.sign(SESSION, claims, _TAIL_LIFETIME if wanted.tail else _LIFETIME)
    moment = shown(datetime.now(UTC))
    made: LogSessionObject = {
        "created_at": moment,
        "id": str(uuid.uuid4()),
        "logplex_url": f"{services.configuration.api_url}/log-sessions/{token}",
        "updated_at": moment,
    }
    return JSONResponse(made, 201)


@links.get("/log-sessions/{token}")
async def log_session_read(token: str, request: Request, services: Use) -> StreamingResponse:
    """The lines: as plain text, or as server-sent events for a client that accepts those (Heroku's CLI does).

    A client that comes back says what it has read (``Last-Event-ID``) and gets what came after that, once.
    """
    try:
        claims = services.vault.verify(SESSION, token)
    except InvalidInputError as error:
        raise ApiError(403, "forbidden", str(error)) from None
    await run_in_threadpool(_check_access, services, claims)
    last_read = request.headers.get("last-event-id", "")[:_MAXIMUM_ID]
    reader = services.log_plane.reader(claims["app"], _wanted(claims) | {"after": last_read})
    if not (last_read and claims["tail"]):
        await reader.connect()  # a tail that comes back waits, instead, for a log plane that is away
    batches = until(reader.batches(), services.stopping, claims["exp"])
    headers = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
    if _EVENTS in request.headers.get("accept", ""):
        return StreamingResponse(as_events(batches), media_type=_EVENTS, headers=headers)
    return StreamingResponse(as_text(batches), media_type="text/plain; charset=utf-8", headers=headers)


async def as_events(batches: AsyncIterator[list[Line]]) -> AsyncIterator[str]:
    """Server-sent events with the lines' ids; a comment when nothing comes, so that nobody on the way gives up."""
    yield "retry: 10\n\n"
    async for batch in batches:
        yield "".join(map(_event, batch)) or ":\n\n"


async def as_text(batches: AsyncIterator[list[Line]]) -> AsyncIterator[str]:
    """The lines, one after the other."""
    async for batch in batches:
        if batch:
            yield "".join(f"{line.text}\n" for line in batch)


def _event(line: Line) -> str:
    identifier = f"id: {line.id}\n" if line.id else ""
    return f"{identifier}data: {line.text}\n\n"


def _check_access(services: Services, claims: dict[str, Any]) -> None:
    """Raise ``NotFoundError`` when the app is gone, or its log no longer for who asked for the session."""
    identifier = parse_id(str(claims.get("account")))
    with services.store.transaction() as session:
        account = session.get(Account, identifier) if identifier else None
        if account is None:
            raise not_found("log session")
        find(session, account, claims["app"])


def _wanted(claims: dict[str, Any]) -> dict[str, object]:
    return {"num": claims["num"], "tail": int(claims["tail"]), "source": claims["source"], "dyno": claims["dyno"]}
