"""The provider of ``heroku-redis``: Valkey 8, one server for each add-on, or on plans with HA a group of them."""

import hashlib
import hmac
import re
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from dynoform.addons.databases import DatabaseProvider, Known, Place
from dynoform.addons.engine import Job
from dynoform.addons.provider import Answer, RefusedError, Resource
from dynoform.domain import data_hosts, data_services
from dynoform.domain.transfers import FOLDER
from dynoform.errors import UnavailableError
from dynoform.store import databases, transfers
from dynoform.store import redis as store
from dynoform.store.tables import AddonChange, RedisMember, Transfer

_ADMIN = ["/opt/dynoform/valkey-admin"]
"""The client as the administrator, whose password is the container's own."""
_MEMBER = "/opt/dynoform/valkey-member"
"""The client of a group's members, in the container that leads clients to the primary."""
_PRIMARY = "primary"
_USER = "valkey"
_SETTINGS = ("maxmemory-policy", "timeout", "notify-keyspace-events")
_RESTORE = "restore"
_BEGUN = "begun"
"""In the details of a change of the plan: that servers may be changed already."""
_LOOK_SECONDS = 0.5
_SAVE_SECONDS = 50
"""As long as the engine is listened to."""
_SNAPSHOT_MIB = 128
_ELIGIBLE = "CONFIG SET replica-priority 100\n"
"""Has a member be chosen by the Sentinels; one whose volume is new is not, see ``images/valkey/member``."""
_RIGHTS = "~* &* +@all -@admin"
"""All but what would let a client change the server itself or its users."""
_KILL = "CLIENT KILL USER default\n"
"""Ends the connections of apps, by whichever password. The administrator, members and looks are other users."""
_ERROR = re.compile(r"[A-Z]+ ")
"""How an answer begins that is an error."""
_SILENT = "it does not answer"

Members = Sequence[RedisMember]
"""Where a group's members are; none of a single server."""


class RedisProvider(DatabaseProvider):
    """Makes, changes and destroys Valkeys, and does what the data API asks of them."""

    service = data_services.REDIS

    def __init__(self, place: Place) -> None:
        """``place`` is where they are made."""
        super().__init__(place)
        self._key = place.configuration.secret("encryption_key").encode()

    def provision(self, wanted: Resource) -> Answer:
        """A server with its password, and with the settings that were asked for."""
        known = self._place.known(wanted)
        # Known to be wrong before anything is made.
        given = {name: value for name, value in wanted.options.items() if name != _RESTORE}
        settings = data_services.check_settings(_typed(given)) if given else {}
        if _RESTORE in wanted.options and not self._brought(wanted, known, uuid.UUID(wanted.options[_RESTORE])):
            return Answer(again_after=_LOOK_SECONDS)
        self._up(wanted, known)
        if settings:
            self._everywhere(wanted, _configure(settings))
        return replace(
            self._told_clients(wanted),
            provider_id=str(wanted.uuid),
            message="The store is there. Its connections are encrypted: heroku redis:cli",
        )

    def change_plan(self, wanted: Resource) -> Answer:
        """The server starts anew with what the plan says; to or from a group, it takes its data along.

        Raises ``RefusedError`` where they are more than the plan has room for, or not all where they are to be, unless
        that was looked at before servers were changed: from then on, there may be nobody to ask.
        """
        if not self._is_begun(wanted):
            told = self._told(wanted)
            self._check_room(wanted, told)
            self._check_replicas(wanted, told)
        if self._plan(wanted).members == 1:
            self._settle(wanted)
        self._begin(wanted)
        self._up(wanted, self._place.known(wanted))
        return self._told_clients(wanted)

    def deprovision(self, wanted: Resource) -> Answer:
        """A last snapshot is made; then the servers go, and their data."""
        if not self._place.has_last_backup(wanted):
            return Answer(again_after=_LOOK_SECONDS)
        self._place.engine.end(self._restore_job(wanted))
        answer = super().deprovision(wanted)
        self._forget_members(wanted)
        return answer

    def operate(self, wanted: Resource, operation: str, details: Mapping[str, Any]) -> Answer:
        """One of ``data_services.OPERATIONS``, but those of PostgreSQL and of Kafka alone."""
        if operation == data_services.ROTATE:
            known = self._place.rotate(wanted, forced=bool(details.get("forced")))
            if known.ended:
                self._maintain(wanted, lost=False)  # ends users alone
            else:
                self._everywhere(wanted, _passwords(known))
            return self._told_clients(wanted)
        if operation == data_services.CONFIGURE:
            self._everywhere(wanted, _configure({name: str(value) for name, value in details.items()}))
            return Answer(result=self._settings(wanted))
        if operation == data_services.RESET_STATISTICS:
            self._everywhere(wanted, "CONFIG RESETSTAT\n")
            return Answer()
        if operation == data_services.INSPECT:
            return Answer(result=self._inspect(wanted))
        if operation == data_services.MAINTAIN and details.get("old"):
            self._up(wanted, self._place.known(wanted))
            self._place.maintained(wanted)
            return self._told_clients(wanted)
        if operation == data_services.MAINTAIN:
            self._maintain(wanted, lost=bool(details.get("lost")))
            return self._told_clients(wanted)
        raise RefusedError(f"{wanted.service} cannot do {operation}")

    @property
    def image(self) -> str:
        """Valkey's."""
        return self._place.configuration.valkey_image

    def _told_clients(self, wanted: Resource) -> Answer:
        """What attachments have; where it is found may have changed with where its members are."""
        return Answer(config={"REDIS_URL": self._place.known(wanted).access.redis_url})

    def _inspect(self, wanted: Resource) -> dict[str, Any]:
        """What the primary says of itself, and how many replicas keep up."""
        told = self._told(wanted)
        names = ("valkey_version", "used_memory", "maxmemory", "min_slaves_good_slaves")
        users = [line for line in self._primary(wanted, "CLIENT LIST\n").splitlines() if " user=default " in line]
        facts = {name: told.get(name, "0") for name in names}
        facts["replicas"] = facts.pop("min_slaves_good_slaves")
        return {**facts, "connected_clients": str(len(users)), **self._settings(wanted)}

    def _up(self, wanted: Resource, known: Known, *, again: bool = False) -> None:
        """Have the server run, or all of a group, and let its users in."""
        if self._plan(wanted).members > 1:
            self._group_up(wanted, known, again=again)
        else:
            if self._members(wanted):
                self._gather(wanted, known)
            self._place.up(wanted, known.access.port, self.image, self._plan(wanted), again=again)
            self._place.engine.wait(self._place.service(wanted.uuid), [*_ADMIN, "PING"], _USER)
        if self._members(wanted):
            # Those that are new have the primary's settings, too, and may become the primary from then on.
            self._everywhere(wanted, _configure(self._settings(wanted)) + _passwords(known) + _ELIGIBLE)
        else:
            self._everywhere(wanted, _passwords(known))

    def _group_up(self, wanted: Resource, known: Known, *, again: bool) -> None:
        """The members of a group get another image one by one, each once all replicas keep up again."""
        place, plan, image = self._place, self._plan(wanted), self.image
        port, service = known.access.port, place.service(wanted.uuid)
        members = self._placed(wanted, plan.members, again=again)
        present = [place.engine.image(f"{service}-{number}") for number, _ in enumerate(members, start=1)]
        for images in data_services.one_by_one(present, image):
            more = self._more(wanted, members, images)
            place.up(wanted, port, image, plan, again=again, more=more)
            place.engine.wait(service, [_MEMBER, "ready", str(plan.members - 1)], _USER)

    def _brought(self, wanted: Resource, known: Known, backup: uuid.UUID) -> bool:
        """Whether the data are there that it begins with; they are being brought otherwise.

        Raises ``RefusedError`` when they cannot be.
        """
        place, name = self._place, self._restore_job(wanted)
        found = place.engine.job(name)
        if found is not None and found.works:
            return False
        if found is not None:
            place.engine.end(name)
            if found.killed:
                raise UnavailableError("restore", f"was killed: {found.failure}", "it begins again")
            if found.failure:
                raise RefusedError(f"The Redis could not be made from the backup: {found.failure}")
            return True
        with place.store.transaction() as session:
            stored = session.get(Transfer, backup)
            if stored is None or stored.digest is None or stored.deleted_at is not None:
                raise RefusedError("The backup was deleted meanwhile")
            key, digest = transfers.secret(place.vault, stored)[transfers.KEY], stored.digest
        # The volume, and no server on it. The job leaves one alone that was begun with before.
        port, more = known.access.port, self._more(wanted, [], [])
        place.up(wanted, port, self.image, self._plan(wanted), more=more)
        place.engine.begin(snapshot(place, name, wanted.uuid, ["restore", f"{FOLDER}/{backup}", digest], key))
        return False

    def _restore_job(self, wanted: Resource) -> str:
        return f"{self._place.service(wanted.uuid)}-restore"

    def _is_begun(self, wanted: Resource) -> bool:
        """Whether servers may be changed already, by an attempt before."""
        with self._place.store.transaction() as session:
            return _BEGUN in (session.get_one(AddonChange, wanted.change_id).details or {})

    def _begin(self, wanted: Resource) -> None:
        """From now on they may be."""
        with self._place.store.transaction() as session:
            session.get_one(AddonChange, wanted.change_id).details = {_BEGUN: True}

    def _settle(self, wanted: Resource) -> None:
        """Have the first member of a group, if it is one, have all data, and no more written."""
        present = self._present(wanted)
        if present and present[0] != 1:
            raise UnavailableError(
                wanted.name, "its first member is away, which is to have all data", "it is tried again"
            )
        if len(present) > 1:
            argv = [_MEMBER, "settle", str(len(present) - 1)]
            self._place.engine.run(self._place.service(wanted.uuid), argv, "", _USER)

    def _gather(self, wanted: Resource, known: Known) -> None:
        """Have nothing but the first member's data, which is all that there are; see ``_settle``."""
        more = self._more(wanted, [], [])
        self._place.up(wanted, known.access.port, self.image, self._plan(wanted), more=more)
        self._forget_members(wanted)

    def _forget_members(self, wanted: Resource) -> None:
        """It has no members any more; what they had on other hosts is removed there."""
        with self._place.store.transaction() as session:
            found = store.members(session, wanted.uuid)
            left = [(each.host[0], self._volume(wanted, each)) for each in found if each.host]
            databases.leave_volumes(session, left)
            store.forget(session, wanted.uuid)

    def _volume(self, wanted: Resource, member: RedisMember) -> str:
        """The volume of a member that is not the first, which has a single server's."""
        return f"{self._place.service(wanted.uuid)}-{member.number}"

    def _present(self, wanted: Resource) -> list[int]:
        """The members that there are. The last ones go first: a worker that was killed leaves the others."""
        service, members = self._place.service(wanted.uuid), self._members(wanted)
        return [each.number for each in members if self._place.engine.image(f"{service}-{each.number}")]

    def _check_room(self, wanted: Resource, told: Mapping[str, str]) -> None:
        used, cache_mib = int(told.get("used_memory_dataset", "0")), self._plan(wanted).cache_mib
        if used > cache_mib * data_services.MIB:
            shown = data_services.size(used)
            raise RefusedError(f"{shown} of data do not fit in the {cache_mib} MB of {wanted.service}:{wanted.plan}")

    def _check_replicas(self, wanted: Resource, told: Mapping[str, str]) -> None:
        """One server begins with what the first member has, which is all that is kept."""
        good, count = int(told.get("min_slaves_good_slaves", "0")), len(self._members(wanted)) - 1
        if self._plan(wanted).members == 1 and good < count:
            raise RefusedError(
                f"{good} of {count} replicas of {wanted.name} keep up, and a single server might begin without what was"
                " written last: try again once heroku redis:info shows HA Status: Available"
            )

    def _more(self, wanted: Resource, members: Members, images: Sequence[str]) -> dict[str, Any]:
        """What the component is told of a group besides."""
        shows = (b"members of ", b"looks at ")
        password, looks = (hmac.digest(self._key, each + wanted.uuid.bytes, "sha256").hex() for each in shows)
        shown = list(images) or [self.image] * len(members)
        told = {
            "members": [[each.port, each.sentinel_port] for each in members],
            "images": shown,
            "connections": self._plan(wanted).connections,
            "password": password,
            "look_password": looks,
        }
        if any(each.host for each in members):
            told["hosts"] = [each.host for each in members]
        return told

    def _placed(self, wanted: Resource, count: int, *, again: bool) -> Members:
        """The members, placed when there are none; where all that there was is lost, they may have to be elsewhere."""
        place, found = self._place, self._members(wanted)
        was = tuple((str(each.host[0]), str(each.host[1])) if each.host else None for each in found)
        if found and not (again and any(was)):
            return found
        hosts, ports = place.hosts(data_hosts.choose_three, was), place.engine.published_ports()
        with place.store.transaction() as session:
            placed = store.place(session, wanted.uuid, count, ports, hosts)
            databases.keep_volumes(session, [self._volume(wanted, each) for each in placed])
            return placed

    def _members(self, wanted: Resource) -> Members:
        with self._place.store.transaction() as session:
            return store.members(session, wanted.uuid)

    def _end_users(self, wanted: Resource, known: Known) -> None:
        """Who has logged in stays so, whatever becomes of the password."""
        self._everywhere(wanted, _passwords(known) + _KILL)

    def _settings(self, wanted: Resource) -> dict[str, str]:
        lines = self._primary(wanted, f"CONFIG GET {' '.join(_SETTINGS)}\n").splitlines()
        return dict(zip(lines[::2], lines[1::2], strict=False))

    def _told(self, wanted: Resource) -> dict[str, str]:
        return _facts(self._primary(wanted, "INFO\n"))

    def _primary(self, wanted: Resource, command: str) -> str:
        """What the server answers that takes writes. Raises ``UnavailableError`` when it refuses or does not answer."""
        argv = [_MEMBER, _PRIMARY] if self._members(wanted) else _ADMIN
        said = self._place.engine.run(self._place.service(wanted.uuid), argv, command, _USER)
        first = said.partition("\n")[0].strip()
        if not first or _ERROR.match(first):
            raise UnavailableError(wanted.name, first[:200] or _SILENT, "it is tried again")
        return said

    def _everywhere(self, wanted: Resource, commands: str) -> None:
        """Have each server do it: users and settings are not replicated. Raises ``UnavailableError`` unless all do."""
        members = self._members(wanted)
        for number in range(1, len(members) + 1):
            try:
                self._do(wanted, [_MEMBER, str(number)], commands)
            except UnavailableError as error:
                why = f"member {number} of {len(members)} does not do as told: {error.why}"
                raise UnavailableError(wanted.name, why, "it is tried again") from error
        if not members:
            self._do(wanted, _ADMIN, commands)

    def _do(self, wanted: Resource, argv: Sequence[str], commands: str) -> None:
        """Have a server do what it answers OK to, or says how many clients it has ended.

        Each command has an answer: given them on standard input, the client ends with 0 whatever comes of them, also
        where it cannot connect.
        """
        said = self._place.engine.run(self._place.service(wanted.uuid), list(argv), commands, _USER)
        answers = [line.strip() for line in said.splitlines() if line.strip()]
        refusals = [each for each in answers if each != "OK" and not each.isdecimal()]
        if refusals or len(answers) != len(commands.splitlines()):
            raise UnavailableError(wanted.name, (refusals or [_SILENT])[0][:200], "it is tried again")


def save(place: Place, addon_id: uuid.UUID) -> int:
    """Have a server write all that it has into the snapshot in its volume; bytes of its data.

    Raises ``UnavailableError`` unless it has: what is in the volume is an older one then.
    """
    with place.store.transaction() as session:
        is_group = bool(store.members(session, addon_id))
    argv = ["env", f"VALKEY_SECONDS={_SAVE_SECONDS}", _MEMBER, "1"] if is_group else _ADMIN
    said = place.engine.run(place.service(addon_id), argv, "SAVE\nINFO memory\n", _USER)
    saved, _, memory = said.partition("\n")
    if saved.strip() != "OK":
        raise UnavailableError("The snapshot", saved.strip()[:200] or _SILENT, "it is tried again")
    return int(_facts(memory).get("used_memory_dataset", "0"))


def snapshot(place: Place, name: str, addon_id: uuid.UUID, words: Sequence[str], key: str) -> Job:
    """The job that takes a snapshot out of a server's volume, or into it; see ``images/valkey/snapshot``."""
    volumes = [
        (f"{place.configuration.stack}_backups", FOLDER, "rw"),
        (place.service(addon_id), "/var/lib/valkey", "rw" if words[0] == _RESTORE else "ro"),
    ]
    argv, told = ["/opt/dynoform/snapshot", *words], f"{key}\n.\n"
    return Job(name, str(addon_id), place.configuration.valkey_image, argv, told, volumes, _SNAPSHOT_MIB)


def _passwords(known: Known) -> str:
    """Those that work, by their digests: the server never sees them in clear but from who logs in."""
    digests = " ".join(f"#{hashlib.sha256(each.encode()).hexdigest()}" for each in known.users.values())
    return f"ACL SETUSER default reset on {digests} {_RIGHTS}\nACL SAVE\n"


def _facts(info: str) -> dict[str, str]:
    """What is in an answer to ``INFO``."""
    return dict(line.split(":", 1) for line in info.splitlines() if ":" in line)


def _configure(settings: Mapping[str, str]) -> str:
    lines = [f'CONFIG SET {name} "{value}"\n' for name, value in settings.items()]
    return "".join([*lines, "CONFIG REWRITE\n"]) if lines else ""


def _typed(options: Mapping[str, str]) -> dict[str, object]:
    """Options of ``addons:create``, which are texts, as the data API has them."""
    return {name: int(value) if name == "timeout" and value.isdecimal() else value for name, value in options.items()}
