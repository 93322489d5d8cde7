"""The API as one ASGI application: every resource, one error handler, the common headers."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

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
    log_sessions,
    releases,
    slugs,
    sources,
    upload,
)
from dynoform.api.errors import answer
from dynoform.api.middleware import BodyLimit, Conditional, Envelope
from dynoform.api.registry import errors as registry_errors
from dynoform.api.registry import front
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
    for resource in RESOURCES:
        application.include_router(resource.router)
    for linked in (builds, front, log_sessions, sources):
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
    if request.url.path.startswith(front.PREFIX):
        return registry_errors.answer(error)
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
    sweeper = asyncio.create_task(_sweep(application.state.services))
    yield
    sweeper.cancel()
    with suppress(asyncio.CancelledError):
        await sweeper
    await application.state.services.log_plane.close()
    await application.state.services.registry.close()


async def _sweep(services: Services) -> None:
    while True:
        try:
            removed = await run_in_threadpool(upload.sweep, services.configuration.sources)
        except OSError as error:
            services.journal.warning("sources cannot be swept", error=error)
        else:
            if removed:
                services.journal.info("swept sources", removed=len(removed))
        await asyncio.sleep(_SWEEP_SECONDS)
