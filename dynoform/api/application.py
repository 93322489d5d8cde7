"""The API as one ASGI application: every resource, one error handler, the common headers."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio.to_thread
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from sqlalchemy import text
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from dynoform.api import (
    account,
    apps,
    builds,
    catalogue,
    config_vars,
    dynos,
    formation,
    git,
    log_sessions,
    releases,
    slugs,
    sources,
    upload,
)
from dynoform.api.errors import answer
from dynoform.api.middleware import BodyLimit, Conditional, Envelope
from dynoform.api.services import Services
from dynoform.errors import DynoformError

RESOURCES = (account, apps, builds, catalogue, config_vars, dynos, formation, log_sessions, releases, slugs, sources)
THREADS = 6
"""Endpoints run in threads, one connection each; more would only wait for each other."""
_SWEEP_SECONDS = 3600


def create_application(services: Services) -> FastAPI:
    """The application that answers with these services."""
    application = FastAPI(
        title="Dynoform Platform API",
        description="Heroku's Platform API v3, on your own hosts.",
        version="3",
        docs_url=None,
        redoc_url=None,
        lifespan=_lifespan,
        strict_content_type=False,
    )
    application.state.services = services
    application.state.git_host = git.GitHost(services)
    for resource in RESOURCES:
        application.include_router(resource.router)
    for linked in (builds, git, log_sessions, sources):
        application.include_router(linked.links)
    application.add_api_route("/health", _health, include_in_schema=False)
    for kind in (DynoformError, HTTPException, RequestValidationError):
        application.add_exception_handler(kind, _handle)
    # The last one added is the outermost.
    application.add_middleware(Conditional)
    application.add_middleware(BodyLimit)
    application.add_middleware(Envelope, journal=services.journal)
    return application


async def _handle(request: Request, error: Exception) -> Response:
    return answer(error)


def _health(request: Request) -> JSONResponse:
    """200 while the store answers; for the service's health check, without a token."""
    services: Services = request.app.state.services
    with services.store.transaction() as session:
        session.execute(text("SELECT 1"))
    return JSONResponse({"status": "ok"})


@asynccontextmanager
async def _lifespan(application: FastAPI) -> AsyncIterator[None]:
    anyio.to_thread.current_default_thread_limiter().total_tokens = THREADS
    services: Services = application.state.services
    sweepers = [
        asyncio.create_task(_sweep_sources(services)),
        asyncio.create_task(_sweep_repositories(application.state.git_host, services)),
    ]
    yield
    for sweeper in sweepers:
        sweeper.cancel()
    await asyncio.gather(*sweepers, return_exceptions=True)


async def _sweep_repositories(host: git.GitHost, services: Services) -> None:
    while True:
        try:
            await host.sweep()
        except (DynoformError, OSError) as error:
            services.journal.warning("repositories cannot be swept", error=error)
        await asyncio.sleep(_SWEEP_SECONDS)


async def _sweep_sources(services: Services) -> None:
    while True:
        try:
            removed = await run_in_threadpool(upload.sweep, services.configuration.sources)
        except OSError as error:
            services.journal.warning("sources cannot be swept", error=error)
        else:
            if removed:
                services.journal.info("swept sources", removed=len(removed))
        await asyncio.sleep(_SWEEP_SECONDS)
