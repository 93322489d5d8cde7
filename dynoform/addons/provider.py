"""What the worker asks of a provider, whether a partner over HTTPS or one of the platform's own data services."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable
from uuid import UUID, uuid4

from dynoform.errors import DynoformError


@dataclass(frozen=True)
class Grant:
    """A code that a partner may exchange for a token, once, until then (ISO 8601)."""

    code: str
    expires_at: str


@dataclass(frozen=True)
class Resource:
    """An add-on as its provider knows it. ``uuid`` stays the same when a request comes again."""

    uuid: UUID
    name: str
    service: str
    plan: str
    """Without the service: ``mini``. In a change, the new one."""
    region: str
    callback_url: str
    app_id: UUID | None
    options: Mapping[str, str] = field(default_factory=dict)
    base_url: str = ""
    password: str = field(default="", repr=False)
    """A partner's."""
    grant: Grant | None = None
    log_drain_token: str | None = None
    change_id: UUID = field(default_factory=uuid4)
    """The same each time that this change is asked for."""
    attempt: int = 1
    """How often it has been asked for, with this time."""


@dataclass(frozen=True)
class Answer:
    """What a provider did. ``finished`` is False when it goes on in the background and will say when it is done."""

    finished: bool = True
    config: Mapping[str, str] | None = None
    """Config vars by the names of the service's manifest; None for no change."""
    named: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """Namespace of attachments → their config vars, as ``config`` has them for those without; none where it is gone."""
    message: str | None = None
    provider_id: str | None = None
    log_drain_url: str | None = None
    result: Mapping[str, Any] | None = None
    """What an operation found out; no secrets."""
    again_after: float | None = None
    """Seconds after which to ask again, as what was begun goes on by itself; nothing else counts then."""
    lines: Sequence[str] = ()
    """What the logs of the apps are told that have the add-on."""


class RefusedError(DynoformError):
    """The provider will not do it, however often it is asked; the text is for the user."""


class Provider(Protocol):
    """Makes the add-ons of a service.

    Every method may be called again with the same ``uuid``, by another process, after one that was killed while the
    provider worked: the second call answers as the first did and makes nothing twice. ``RefusedError`` ends the
    change, ``UnavailableError`` (or a lost process) has it tried again. None is called inside a transaction, and a
    provider that needs more than half a minute answers ``finished=False`` and goes on by itself.
    """

    def provision(self, wanted: Resource) -> Answer:
        """Make the add-on, or say what was made before."""

    def change_plan(self, wanted: Resource) -> Answer:
        """Give the add-on the plan that it is to have."""

    def deprovision(self, wanted: Resource) -> Answer:
        """Destroy the add-on; one that is not there is destroyed already."""


@runtime_checkable
class DatabaseProvider(Provider, Protocol):
    """One whose add-ons are databases: more can be done to them."""

    def operate(self, wanted: Resource, operation: str, details: Mapping[str, Any]) -> Answer:
        """Do one of ``data_services.OPERATIONS``."""
