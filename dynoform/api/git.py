"""``https://<api>/<app>.git``: where ``git push heroku main`` and ``git clone`` go. The token is the password."""

import re
import uuid
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from fastapi.routing import APIRoute
from sqlalchemy import select, update
from starlette.concurrency import run_in_threadpool
from starlette.responses import PlainTextResponse, Response
from starlette.types import Receive, Scope, Send

from dynoform.api import errors, room
from dynoform.api.apps import find
from dynoform.api.authentication import Caller
from dynoform.api.errors import ApiError
from dynoform.api.pushes import Deployment
from dynoform.api.services import Services, Use
from dynoform.api.settlement import Settlement
from dynoform.domain import pushes
from dynoform.domain.permissions import Permission
from dynoform.errors import DynoformError
from dynoform.git.command import Git, GitError
from dynoform.git.http import FETCH, PUSH, Call, HttpBackend
from dynoform.git.repository import Repository
from dynoform.git.tree import Trees
from dynoform.store.builds import announce
from dynoform.store.tables import Account, App

_TRANSFER = re.compile(rf"/[^/]+\.git/({PUSH}|{FETCH})")
_NEEDS = {PUSH: Permission.DEPLOY, FETCH: Permission.VIEW}


class GitHost:
    """The repositories of all apps, with what pushing to them does."""

    def __init__(self, services: Services) -> None:
        """Makes the hooks; raises ``UnavailableError`` when the folder of repositories cannot be written."""
        git = Git(services.configuration.repositories)
        self._services = services
        self._backend = HttpBackend(git, services.journal)
        trees = Trees(git, {services.configuration.platform_address})
        self._settlement = Settlement(services, git, trees)

    async def serve(self, app: App, caller: Account, call: Call, receive: Receive, send: Send) -> None:
        """Answer one request of a caller who may do this."""
        deployment = Deployment(self._services, self._settlement, app, caller)
        await self._settlement.visit(app.id)
        try:
            await self._backend.serve(app.id, call, receive, send, deployment.judge)
        finally:
            if call.service == PUSH and not call.advertise:
                with suppress(DynoformError):  # whoever looks at the repository next settles it
                    await self._settlement.visit(app.id)
                await run_in_threadpool(self._measure, app.id)

    async def sweep(self) -> None:
        """Remove the repositories of apps that are gone, and pack the others where that is worth it."""
        repositories = self._backend.repositories
        # Listed before the apps are: one that is made in between is not taken for a left-over.
        found = await run_in_threadpool(repositories.all)
        alive = await run_in_threadpool(self._apps)
        removed = await run_in_threadpool(repositories.remove_gone, found, alive)
        await run_in_threadpool(repositories.remove_partial)
        if removed:
            self._services.journal.info("swept repositories", removed=len(removed))
        for path in found:
            if path.name not in removed:
                try:
                    await repositories.collect_garbage(path)
                except GitError as error:
                    self._services.journal.warning("repository cannot be packed", repository=path.name, error=error)

    def _apps(self) -> set[uuid.UUID]:
        with self._services.store.transaction() as session:
            return set(session.scalars(select(App.id)))

    def _measure(self, app_id: uuid.UUID) -> None:
        path = self._services.configuration.repositories / f"{app_id}.git"
        with suppress(DynoformError), self._services.store.transaction() as session:
            session.execute(update(App).where(App.id == app_id).values(repo_size=Repository(path).size()))


class _Route(APIRoute):
    """Answers failures as plain text: git shows that to its user, as lines that begin with ``remote:``."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def handler(request: Request) -> Response:
            try:
                return await handle(request)
            except DynoformError as error:
                return _refusal(error, str(request.path_params.get("app", "")))

        return handler


links = APIRouter(include_in_schema=False, route_class=_Route)


class _Answer(Response):
    """Streams through git, instead of a body that is there."""

    def __init__(self, host: GitHost, app: App, caller: Account, call: Call) -> None:
        super().__init__()
        self._host, self._app, self._caller, self._call = host, app, caller, call

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = False

        async def noting(message: Any) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await self._host.serve(self._app, self._caller, self._call, receive, noting)
        except DynoformError as error:
            if started:
                raise
            await _refusal(error, self._app.name)(scope, receive, send)


def git_host(request: Request) -> GitHost:
    """The one of this application."""
    host: GitHost = request.app.state.git_host
    return host


Host = Annotated[GitHost, Depends(git_host)]


@links.get("/{app}.git/info/refs")
def advertise(app: str, request: Request, services: Use, caller: Caller, host: Host, service: str = "") -> Response:
    """What the repository has: git's first request, before a fetch or a push."""
    if service not in _NEEDS:
        raise ApiError(403, "forbidden", "Your git client is too old for this server: it needs smart HTTP (git 1.6.6).")
    return _answer(app, request, services, caller, host, service, advertising=True)


@links.post("/{app}.git/git-upload-pack")
def fetch(app: str, request: Request, services: Use, caller: Caller, host: Host) -> Response:
    """Give objects to ``git clone``, ``git fetch``."""
    return _answer(app, request, services, caller, host, FETCH)


@links.post("/{app}.git/git-receive-pack")
def push(app: str, request: Request, services: Use, caller: Caller, host: Host) -> Response:
    """Take objects from ``git push``, and deploy them."""
    length = request.headers.get("content-length", "")
    if length.isdecimal() and int(length[:20]) > pushes.MAXIMUM_BYTES:
        message = f"Pushes are limited to {pushes.MAXIMUM_BYTES} bytes: push your history in parts, or make it smaller."
        raise ApiError(413, "request_too_large", message, {"Connection": "close"})
    return _answer(app, request, services, caller, host, PUSH)


def is_transfer(method: str, path: str) -> bool:
    """Is this a request whose body git limits itself?"""
    return method == "POST" and _TRANSFER.fullmatch(path) is not None


def _answer(
    app: str,
    request: Request,
    services: Services,
    caller: Account,
    host: GitHost,
    service: str,
    *,
    advertising: bool = False,
) -> Response:
    if service == PUSH:
        room.check(services.configuration.repositories, "push", "send")
    with services.store.transaction() as session:
        found = find(session, caller, app, _NEEDS[service])
        if service == PUSH and advertising:
            announce(session, found.id)
    return _Answer(host, found, caller, Call(service, advertising, request.headers, caller.email))


def _refusal(error: DynoformError, reference: str) -> Response:
    answered = errors.answer(error)
    text = pushes.refused(str(error))
    if answered.status_code == 401:
        text = pushes.UNAUTHORIZED
    elif answered.status_code == 404:
        text = pushes.no_such_app(reference)
    headers = {name: value for name, value in answered.headers.items() if not name.startswith("content-")}
    return PlainTextResponse(text, answered.status_code, headers)
