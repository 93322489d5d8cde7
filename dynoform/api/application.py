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
    acm,
    addon_attachments,
    addon_partners,
    addon_services,
    addons,
    app_setups,
    app_transfers,
    apps,
    buildpacks,
    builds,
    catalogue,
    collaborators,
    config_vars,
    domains,
    dyno_create,
    dynos,
    exec_manager,
    features,
    filters,
    formation,
    git,
    kafka_clusters,
    keys,
    log_drains,
    log_sessions,
    maintenances,
    oauth_authorizations,
    oauth_clients,
    oauth_tokens,
    pipeline_config_vars,
    pipeline_couplings,
    pipeline_promotions,
    pipeline_transfers,
    pipelines,
    platform_accounts,
    platform_certificates,
    platform_hosts,
    platform_stack_images,
    postgres_credentials,
    postgres_databases,
    postgres_links,
    postgres_pools,
    postgres_reports,
    postgres_settings,
    postgres_transfers,
    postgres_upgrades,
    redis_databases,
    releases,
    scheduler_jobs,
    slugs,
    sni_endpoints,
    sources,
    spaces,
    team_apps,
    team_members,
    teams,
    telemetry_drains,
    upload,
    vulnerabilities,
    webhook_deliveries,
    webhook_events,
    webhooks,
)
from dynoform.api.deliverer import Deliverer
from dynoform.api.drain_feed import DrainFeed
from dynoform.api.errors import answer
from dynoform.api.middleware import BodyLimit, Conditional, Envelope, Head
from dynoform.api.openapi import REFUSAL, DocumentedAPI
from dynoform.api.registry import errors as registry_errors
from dynoform.api.registry import front
from dynoform.api.services import Services
from dynoform.errors import DynoformError
from dynoform.store import authorizations, deliveries, exec_keys
from dynoform.store import builds as builds_store

RESOURCES = (
    account,
    acm,
    addon_attachments,
    addon_partners,
    addon_services,
    addons,
    app_setups,
    app_transfers,
    apps,
    buildpacks,
    builds,
    catalogue,
    collaborators,
    config_vars,
    domains,
    dyno_create,
    dynos,
    features,
    filters,
    formation,
    kafka_clusters,
    keys,
    log_drains,
    log_sessions,
    maintenances,
    oauth_authorizations,
    oauth_clients,
    oauth_tokens,
    pipeline_config_vars,
    pipeline_couplings,
    pipeline_promotions,
    pipeline_transfers,
    pipelines,
    platform_accounts,
    platform_certificates,
    platform_hosts,
    platform_stack_images,
    postgres_credentials,
    postgres_databases,
    postgres_links,
    postgres_pools,
    postgres_reports,
    postgres_settings,
    postgres_transfers,
    postgres_upgrades,
    redis_databases,
    releases,
    scheduler_jobs,
    slugs,
    sni_endpoints,
    sources,
    spaces,
    team_apps,
    team_members,
    teams,
    telemetry_drains,
    vulnerabilities,
    webhook_deliveries,
    webhook_events,
    webhooks,
)
THREADS = 6
"""Endpoints run in threads, one connection each; more would only wait for each other."""
_SWEEP_SECONDS = 3600


def create_application(services: Services) -> FastAPI:
    """The application that answers with these services."""
    application = documented()
    application.state.services = services
    application.state.git_host = git.GitHost(services)
    for linked in (addon_partners, buildpacks, builds, exec_manager, front, git, log_sessions):
        application.include_router(linked.links)
    for linked in (postgres_transfers, releases, slugs, sources):
        application.include_router(linked.links)
    application.add_api_route("/health", _health, include_in_schema=False)
    for kind in (DynoformError, HTTPException, RequestValidationError):
        application.add_exception_handler(kind, _handle)
    # The last one added is the outermost.
    application.add_middleware(Conditional)
    application.add_middleware(BodyLimit)
    application.add_middleware(Head)
    application.add_middleware(Envelope, journal=services.journal)
    return application


def documented() -> FastAPI:
    """The application with all that its OpenAPI document describes, and nothing to answer with."""
    application = DocumentedAPI(
        title="Dynoform Platform API",
        description="Heroku's Platform API v3, on your own hosts.",
        version="3",
        docs_url=None,
        redoc_url=None,
        lifespan=_lifespan,
        strict_content_type=False,
    )
    for resource in RESOURCES:
        application.include_router(resource.router, responses={"4XX": REFUSAL})
    return application


async def _handle(request: Request, error: Exception) -> Response:
    is_registry = request.url.path.startswith(front.PREFIX)
    answered = registry_errors.answer(error) if is_registry else answer(error)
    if answered.status_code == 500:  # the operator's to mend
        services: Services = request.app.state.services
        services.journal.exception("exception", error, request_id=request.state.request_id)
    return answered


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
    work = (
        _sweep(services),
        _sweep_repositories(application.state.git_host, services),
        Deliverer(services).run(),
        DrainFeed(services).run(),
    )
    tasks = [asyncio.create_task(each) for each in work]
    yield
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await services.log_plane.close()
    await services.registry.close()


async def _sweep_repositories(host: git.GitHost, services: Services) -> None:
    while True:
        try:
            await host.sweep()
        except (DynoformError, OSError) as error:
            services.journal.warning("repositories cannot be swept", error=error)
        except Exception as error:  # noqa: BLE001 - as below
            services.journal.exception("repositories cannot be swept", error)
        await asyncio.sleep(_SWEEP_SECONDS)


async def _sweep(services: Services) -> None:
    while True:
        for noun, sweep in (
            ("sources", lambda: len(upload.sweep(services.configuration.sources))),
            ("what was built", lambda: sources.sweep(services)),
            ("rows of sources", lambda: builds_store.sweep_sources(services.store)),
            ("tokens", lambda: authorizations.sweep(services.store)),
            ("webhooks", lambda: deliveries.sweep(services.store)),
            ("exec keys", lambda: exec_keys.sweep(services.store)),
        ):
            try:
                removed = await run_in_threadpool(sweep)
            except (OSError, DynoformError) as error:
                services.journal.warning(f"{noun} cannot be swept", error=error)
            except Exception as error:  # noqa: BLE001 - a task that ended would be missed by nobody
                services.journal.exception(f"{noun} cannot be swept", error)
            else:
                if removed:
                    services.journal.info(f"swept {noun}", removed=removed)
        await asyncio.sleep(_SWEEP_SECONDS)
