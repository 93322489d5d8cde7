"""What every endpoint works with, made once at start."""

import asyncio
import uuid
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Annotated, Protocol

from fastapi import Depends, Request

from dynoform import logplex_tls
from dynoform.api.limits import RateLimiter, SignInLimiter
from dynoform.api.log_plane import LogPlane
from dynoform.api.registry.upstream import Upstream
from dynoform.api.wake import Wakers
from dynoform.configuration import LOGPLEX_HTTP_PORT, Configuration
from dynoform.domain import releases
from dynoform.domain.log_drains import Reach
from dynoform.journal import Journal
from dynoform.store.secrets import Vault
from dynoform.store.session import Store
from dynoform.store.tables import App, Release


class LogLines(Protocol):
    """Where lines for an app's log go; never blocks and never raises."""

    def line(self, app_id: uuid.UUID, source: str, process: str, message: str) -> None:
        """Send one line: ``source`` is ``app`` or ``heroku``, ``process`` for instance ``api``."""


@dataclass(frozen=True)
class Services:
    """Everything an endpoint may need."""

    configuration: Configuration
    store: Store
    vault: Vault
    logs: LogLines
    journal: Journal
    wakers: Wakers
    limiter: RateLimiter = field(default_factory=RateLimiter)
    sign_ins: SignInLimiter = field(default_factory=SignInLimiter)
    logplex_port: int = LOGPLEX_HTTP_PORT
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when the process is told to stop: streams that would have no end come to one."""

    @cached_property
    def log_plane(self) -> LogPlane:
        """Where apps' lines are read."""
        address = f"{self.configuration.platform_address}:{self.logplex_port}"
        return LogPlane(address, self.journal, lambda: logplex_tls.client(self.configuration, member=True))

    @cached_property
    def reach(self) -> Reach:
        """Where log drains may lead."""
        return Reach(self.configuration.own_addresses, self.configuration.drain_networks)

    @cached_property
    def registry(self) -> Upstream:
        """The platform's image registry."""
        return Upstream(self.configuration)

    def say(self, app: App, *messages: str) -> None:
        """Write to the app's log as ``app[api]``."""
        for message in messages:
            self.logs.line(app.id, "app", "api", message)

    def announce(self, app: App, made: Iterable[Release]) -> None:
        """Tell the app's log about releases, in Heroku's two lines for each."""
        for release in made:
            email = release.account.email
            self.say(app, releases.created_by(release.version, email), releases.by_user(release.description, email))


def _of(request: Request) -> Services:
    services: Services = request.app.state.services
    return services


Use = Annotated[Services, Depends(_of)]
"""Endpoint parameter: the services."""
