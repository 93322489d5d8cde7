"""Log sessions: a link to an app's log. The log plane has the lines; the API passes them on."""

import re
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
from dynoform.api.objects import shown
from dynoform.api.services import Services, Use
from dynoform.errors import InvalidInputError, UnavailableError
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
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\S+")


class LogSessionObject(TypedDict):
    """https://devcenter.heroku.com/articles/platform-api-reference#log-session."""

    created_at: str
    id: str
    logplex_url: str
    updated_at: str


class NewLogSession(BaseModel):
    """Body of create; all of it may be left out."""

    model_config = ConfigDict(strict=True)
    dyno: Annotated[str | None, Field(max_length=60)] = None
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
    who = {"app": str(found.id), "account": str(caller.id)}
    claims = {**who, "num": lines, "tail": wanted.tail, "source": wanted.source, "dyno": wanted.dyno}
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
    """The lines: as plain text, or as server-sent events for a client that accepts those (Heroku's CLI does)."""
    try:
        claims = services.vault.verify(SESSION, token)
    except InvalidInputError as error:
        raise ApiError(403, "forbidden", str(error)) from None
    await run_in_threadpool(_check_access, services, claims)
    lines = await _connect(services, claims)
    headers = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
    if _EVENTS in request.headers.get("accept", ""):
        events = as_events(lines, request.headers.get("last-event-id", ""))
        return StreamingResponse(events, media_type=_EVENTS, headers=headers)
    text = (f"{line}\n" async for line in lines)
    return StreamingResponse(text, media_type="text/plain; charset=utf-8", headers=headers)


async def as_events(lines: AsyncIterator[str], last: str) -> AsyncIterator[str]:
    """Server-sent events, with each line's time as id; those up to ``last`` are left out, so nothing repeats."""
    yield "retry: 10\n\n"
    async for line in lines:
        moment = line.partition(" ")[0]
        if not _TIME.fullmatch(moment):
            yield f"data: {line}\n\n"
        elif not last or moment > last:
            yield f"id: {moment}\ndata: {line}\n\n"


def _check_access(services: Services, claims: dict[str, Any]) -> None:
    """Raise ``NotFoundError`` when who asked for the link may see the app no longer: links that tail live long."""
    with services.store.transaction() as session:
        account = session.get(Account, uuid.UUID(claims["account"]))
        if account is None:
            raise not_found("app")
        find(session, account, claims["app"])


async def _connect(services: Services, claims: dict[str, Any]) -> AsyncIterator[str]:
    """Open the log plane's stream. Raises ``UnavailableError`` when it does not answer or refuses."""
    import httpx  # only who reads logs pays for its memory

    address = services.configuration.platform_address
    wanted = {"num": claims["num"], "tail": int(claims["tail"]), "source": claims["source"], "dyno": claims["dyno"]}
    parameters = {name: str(value) for name, value in wanted.items() if value is not None}
    client = httpx.AsyncClient(timeout=httpx.Timeout(5, read=None), trust_env=False)
    url = f"http://{address}:{services.logplex_port}/apps/{claims['app']}/lines"
    try:
        response = await client.send(client.build_request("GET", url, params=parameters), stream=True)
    except httpx.HTTPError as error:
        await client.aclose()
        services.journal.warning("logplex does not answer", error=error)
        raise UnavailableError("The log plane", "does not answer", "try again in a few seconds") from None
    if response.status_code != 200:
        await response.aclose()
        await client.aclose()
        services.journal.warning("logplex refused", status=response.status_code)
        raise UnavailableError("The log plane", "refused to give the lines", "try again in a few seconds")
    return _lines(client, response)


async def _lines(client: Any, response: Any) -> AsyncIterator[str]:
    import httpx

    try:
        async for line in response.aiter_lines():
            yield line
    except httpx.HTTPError:
        return  # the log plane went away: the client sees the end of the stream and connects again
    finally:
        await response.aclose()
        await client.aclose()
