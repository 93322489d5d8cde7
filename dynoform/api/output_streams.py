"""Output as it comes: of builds and of release commands, under links that need no token."""

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from sqlalchemy import select
from sqlalchemy.orm import InstrumentedAttribute
from starlette.concurrency import run_in_threadpool
from starlette.responses import StreamingResponse

from dynoform.api.errors import ApiError, not_found
from dynoform.api.services import Services
from dynoform.domain.retries import pause
from dynoform.errors import InvalidInputError, UnavailableError
from dynoform.store.apps import parse_id
from dynoform.store.output import Table, owner
from dynoform.store.tables import Build, Release

_LIFETIME = 24 * 3600
_POLL = 1.0
_BATCH = 500
_PATIENCE = 60.0
T = TypeVar("T")
_HEADERS = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}


@dataclass(frozen=True)
class Stream:
    """One kind of output: whose it is (``build``), where its pieces are, and how its end is seen."""

    noun: str
    subject: type[Build] | type[Release]
    table: Table

    def link(self, services: Services, subject_id: uuid.UUID) -> str:
        """A link to the output of this build or release."""
        token = services.vault.sign(self._purpose, {self.noun: str(subject_id)}, _LIFETIME)
        return f"{services.configuration.api_url}/{self.noun}s/{subject_id}/output?token={token}"

    async def respond(self, services: Services, subject: str, token: str) -> StreamingResponse:
        """The output from its beginning until its end. The link is the permission."""
        try:
            claims = services.vault.verify(self._purpose, token)
        except InvalidInputError as error:
            raise ApiError(403, "forbidden", str(error)) from None
        identifier = parse_id(subject)
        if identifier is None or claims.get(self.noun) != str(identifier):
            raise not_found(self.noun)
        if await run_in_threadpool(self._read, services, identifier, -1) is None:
            raise not_found(self.noun)
        pieces = self.follow(services, identifier)
        return StreamingResponse(pieces, media_type="text/plain; charset=utf-8", headers=_HEADERS)

    async def follow(self, services: Services, subject_id: uuid.UUID) -> AsyncIterator[str]:
        """Pieces of output, from the first one on, waiting for more until what makes them has ended or is gone."""
        sequence = -1
        with services.wakers.subscribe(subject_id) as wake:
            while True:
                wake.clear()
                read = await patiently(self._read, services, subject_id, sequence)
                if read is None:
                    return
                finished, pieces = read
                if pieces:
                    sequence = pieces[-1][0]
                    yield "".join(text for _, text in pieces)
                elif finished:
                    return
                else:
                    await _wait(wake)

    @property
    def _purpose(self) -> str:
        return f"{self.noun} output"

    def _read(self, services: Services, subject_id: uuid.UUID, after: int) -> tuple[bool, list[Any]] | None:
        """Whether it had ended before the pieces after that sequence were read, and those; None if it is gone."""
        status: InstrumentedAttribute[str] = self.subject.status
        with services.store.transaction() as session:
            present = session.scalar(select(status).where(self.subject.id == subject_id))
            if present is None:
                return None
            query = select(self.table.sequence, self.table.text)
            mine = (owner(self.table) == subject_id, self.table.sequence > after)
            pieces = session.execute(query.where(*mine).order_by(self.table.sequence).limit(_BATCH))
            return present != "pending", list(pieces.all())


async def patiently(ask: Callable[..., T], *arguments: Any) -> T:
    """What a question to the store gives; asked again for a minute while the store is away, as during its restart.

    Raises ``UnavailableError`` after that.
    """
    deadline, failures = time.monotonic() + _PATIENCE, 0
    while True:
        try:
            return await run_in_threadpool(ask, *arguments)
        except UnavailableError:
            if time.monotonic() > deadline:
                raise
        await asyncio.sleep(pause(failures))
        failures += 1


async def _wait(wake: asyncio.Event) -> None:
    try:
        await asyncio.wait_for(wake.wait(), _POLL)
    except TimeoutError:
        return
