"""The provider of ``heroku-redis``: Valkey 8, one server for each add-on."""

import hashlib
from collections.abc import Mapping
from typing import Any

from dynoform.addons.databases import DatabaseProvider, Known
from dynoform.addons.provider import Answer, RefusedError, Resource
from dynoform.domain import data_services

_ADMIN = ["/opt/dynoform/valkey-admin"]
"""The client as the administrator, whose password is the container's own."""
_USER = "valkey"
_SETTINGS = ("maxmemory-policy", "timeout", "notify-keyspace-events")
_RIGHTS = "~* &* +@all -@admin"
"""All but what would let a client change the server itself or its users."""


class RedisProvider(DatabaseProvider):
    """Makes, changes and destroys Valkeys, and does what the data API asks of them."""

    service = data_services.REDIS

    def provision(self, wanted: Resource) -> Answer:
        """A server with its password, and with the settings that were asked for."""
        known = self._place.known(wanted)
        # Known to be wrong before anything is made.
        settings = data_services.check_settings(_typed(wanted.options)) if wanted.options else {}
        self._up(wanted, known)
        self._admin(wanted, _passwords(known) + _configure(settings))
        return Answer(
            config={"REDIS_URL": known.access.redis_url},
            provider_id=str(wanted.uuid),
            message="The store is there. Its connections are encrypted: heroku redis:cli",
        )

    def change_plan(self, wanted: Resource) -> Answer:
        """The server starts anew with what the plan says."""
        self._up(wanted, self._place.known(wanted))
        return Answer()

    def operate(self, wanted: Resource, operation: str, details: Mapping[str, Any]) -> Answer:
        """One of ``data_services.OPERATIONS``, but those of PostgreSQL alone."""
        if operation == data_services.ROTATE:
            known = self._place.rotate(wanted, forced=bool(details.get("forced")))
            self._admin(wanted, _passwords(known))
            return Answer(config={"REDIS_URL": known.access.redis_url})
        if operation == data_services.CONFIGURE:
            self._admin(wanted, _configure({name: str(value) for name, value in details.items()}))
            return Answer(result=self._settings(wanted))
        if operation == data_services.INSPECT:
            told = dict(line.split(":", 1) for line in self._admin(wanted, "INFO\n").splitlines() if ":" in line)
            names = ("valkey_version", "used_memory", "connected_clients", "maxmemory")
            others = max(0, int(told.get("connected_clients", "1")) - 1)  # without this one
            facts = {**{name: told.get(name, "0") for name in names}, "connected_clients": str(others)}
            return Answer(result={**facts, **self._settings(wanted)})
        if operation == data_services.MAINTAIN:
            return self._maintain(wanted, lost=bool(details.get("lost")))
        raise RefusedError(f"{wanted.service} cannot do {operation}")

    @property
    def image(self) -> str:
        """Valkey's."""
        return self._place.configuration.valkey_image

    def _up(self, wanted: Resource, known: Known, *, again: bool = False) -> None:
        self._place.up(wanted, known.access.port, self.image, self._plan(wanted), again=again)
        self._place.engine.wait(self._place.service(wanted.uuid), [*_ADMIN, "PING"], _USER)

    def _end_users(self, wanted: Resource, known: Known) -> None:
        self._admin(wanted, _passwords(known))

    def _settings(self, wanted: Resource) -> dict[str, str]:
        lines = self._admin(wanted, f"CONFIG GET {' '.join(_SETTINGS)}\n").splitlines()
        return dict(zip(lines[::2], lines[1::2], strict=False))

    def _admin(self, wanted: Resource, commands: str) -> str:
        return self._place.engine.run(self._place.service(wanted.uuid), _ADMIN, commands, _USER)


def _passwords(known: Known) -> str:
    """Those that work, by their digests: the server never sees them in clear but from who logs in."""
    digests = " ".join(f"#{hashlib.sha256(each.encode()).hexdigest()}" for each in known.users.values())
    return f"ACL SETUSER default reset on {digests} {_RIGHTS}\nACL SAVE\n"


def _configure(settings: Mapping[str, str]) -> str:
    lines = [f'CONFIG SET {name} "{value}"\n' for name, value in settings.items()]
    return "".join([*lines, "CONFIG REWRITE\n"]) if lines else ""


def _typed(options: Mapping[str, str]) -> dict[str, object]:
    """Options of ``addons:create``, which are texts, as the data API has them."""
    return {name: int(value) if name == "timeout" and value.isdecimal() else value for name, value in options.items()}
