"""What a stack has on its engine, got out and put back: volumes by a container beside them, the store by its tools."""

import contextlib
import re
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from docker.errors import APIError, NotFound
from docker.utils.socket import frames_iter

from dynoform.cli.engine import ADDON, LABEL, Engine, is_of_apps
from dynoform.domain import standby as standbys
from dynoform.domain.dyno_container import SERVICE_LABEL, is_task
from dynoform.errors import DynoformError

STORE = "dynoform"
"""The database of the platform's own."""
POSTGRES, SERVER = "postgres", "-1"
"""Its service, and how the one of the server on the platform's host ends where there is a standby."""
SLUGS = "registry"
OWN = ("repositories", "backups")
"""Volumes of the platform whose content is kept besides the registry's, without the stack's name."""
BACKUPS = "-backups"
"""How the volumes end that have the repositories of databases' backups."""
_FRESH = "dynoform_restored"
_PLACE = "/data"
_SECONDS = 3600
_STOP_SECONDS = 90
_MOST_SAID = 2000
_STDOUT = 1
_WHOLE = (".",)
_INDEX = ("./backup/db/backup.info", "./backup/db/backup.info.copy")
_PARTS = (_INDEX, ("--exclude=./backup/db/backup.info*", "--exclude=./archive", "."), ("./archive",))
"""Of a repository that is written meanwhile: its index, then the backups that this lists, then the WAL they need."""
_REDIS_HOME = "/var/lib/valkey"
_SNAPSHOT = ("./dump.rdb", "./valkey.conf")
"""Of a Redis' volume: all that it had at one moment, and the settings that were made while it ran."""
_FIRST = re.compile(r"addon-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
"""How its volume is called, without the stack; those of a group's other members have a number behind that."""
_SAVE_SECONDS = 600
_HA = "/opt/dynoform/ha"
_NOWHERE = "node.labels.dynoform.parked==true"
"""No host has this label."""


def volumes(engine: Engine, stack: str, *, slugs: bool, databases: bool) -> list[dict[str, Any]]:
    """Those to keep: name and labels, and of a Redis' the id of the container that has it, as ``redis``."""
    wanted = {f"{stack}_{noun}" for noun in (*OWN, *([SLUGS] if slugs else []))}
    found = engine.client.api.volumes(filters=engine.filters()).get("Volumes") or []
    servers = _redis_servers(engine, stack) if databases else {}
    kept = [
        {"name": name, "labels": labels} | ({"redis": servers[name]} if name in servers else {})
        for name, labels in ((str(each["Name"]), each.get("Labels") or {}) for each in found)
        if name in wanted or name in servers or (databases and _is_repository(name, labels))
    ]
    return sorted(kept, key=lambda each: str(each["name"]))


def parts(volume: dict[str, Any]) -> Sequence[Sequence[str]]:
    """What `read` is to be asked for, one after the other, to have all of a volume, as ``tar`` is told it."""
    if "redis" in volume:
        return (_SNAPSHOT,)
    return _PARTS if _is_repository(volume["name"], volume["labels"]) else (_WHOLE,)


def save(engine: Engine, volume: dict[str, Any]) -> None:
    """Have the Redis of a volume write all that it has into a snapshot there, while it goes on.

    Raises `DynoformError` where that fails, or takes longer than ten minutes.
    """
    until, before, asked = time.monotonic() + _SAVE_SECONDS, None, False
    while time.monotonic() < until:
        facts = _redis(engine, volume, "INFO", "persistence")
        known = dict(line.split(":", 1) for line in facts.splitlines() if ":" in line)
        if asked and known["rdb_saves"] != before:
            return
        if known["rdb_bgsave_in_progress"] == "0" and not asked:
            before, asked = known["rdb_saves"], True
            _redis(engine, volume, "BGSAVE", "SCHEDULE")
        time.sleep(0.2)
    why = f"has written no snapshot within {_SAVE_SECONDS} s"
    raise DynoformError(f"volume {volume['name']}", why, "see whether its disk is full, then run it again")


def read(engine: Engine, stack: str, volume: str, part: Sequence[str]) -> Iterator[bytes]:
    """A part of a volume's content as a tar stream. Raises `DynoformError` with what ``tar`` complained about."""
    # Files that come, go or grow meanwhile are no error: what the store knew before is there already.
    words = ["tar", "--create", f"--directory={_PLACE}", "--ignore-failed-read", "--warning=none", *part]
    api, said = engine.client.api, bytearray()
    with _beside(engine, stack, volume, "ro", words) as container:
        connection = api.attach_socket(container, params={"stdout": 1, "stderr": 1, "stream": 1})
        api.start(container)
        yield from _output(connection, said)
        code = int(api.wait(container)["StatusCode"])
    if code > 1:  # 1: a file changed while it was read
        raise DynoformError(f"volume {volume}", f"could not be read: {_words(said, code)}", "run it again")


def write(engine: Engine, stack: str, volume: dict[str, Any], content: Iterable[bytes]) -> None:
    """Put such a part into a volume, which is made if it is not there."""
    api = engine.client.api
    api.create_volume(volume["name"], labels=volume["labels"])
    # The directory of a volume that is new is root's, whatever the content says.
    owner = ["chown", f"--reference={_PLACE}/{_SNAPSHOT[0]}", _PLACE] if "redis" in volume else ["true"]
    with _beside(engine, stack, volume["name"], "rw", owner) as container:
        api.put_archive(container, _PLACE, content)
        api.start(container)
        if code := int(api.wait(container)["StatusCode"]):
            raise DynoformError(f"volume {volume['name']}", f"has no owner: exit code {code}", "run it again")


def schema(engine: Engine, stack: str) -> str:
    """The last migration that the store has."""
    words = ["psql", "--no-psqlrc", "--tuples-only", "--no-align", "--dbname", STORE]
    query = "SELECT version_num FROM alembic_version"
    return _run(engine, _store(engine, stack), *words, "--command", query).strip()


def standby(engine: Engine, stack: str) -> dict[str, Any]:
    """How the servers of a store that has a standby stand, see ``dynoform.domain.standby.read``."""
    return standbys.read(_run(engine, _store(engine, stack), _HA, "state"))


def has_standby(engine: Engine, stack: str) -> bool:
    """Whether the stack's store has one."""
    return bool(engine.client.api.services(filters={"name": f"{stack}_{POSTGRES}{SERVER}"}))


def dump(engine: Engine, stack: str) -> Iterator[bytes]:
    """The store's database, as `pg_restore` reads it. Raises `DynoformError` with what `pg_dump` complained about."""
    api, said = engine.client.api, bytearray()
    words = ["pg_dump", "--format=custom", "--compress=none", "--dbname", STORE]
    program = api.exec_create(_store(engine, stack), words, user="postgres")["Id"]
    yield from _output(api.exec_start(program, socket=True), said)
    _check("pg_dump", api.exec_inspect(program)["ExitCode"], said)


def restore(engine: Engine, stack: str, content: Iterable[bytes]) -> None:
    """Replace the store's database by such a dump: beside it first, so that what is there stays until that worked."""
    container = _store(engine, stack)
    if has_standby(engine, stack):
        _run(engine, container, _HA, "takeover")
    drop = f'DROP DATABASE IF EXISTS "{_FRESH}" WITH (FORCE)'
    _psql(engine, container, drop, f'CREATE DATABASE "{_FRESH}" OWNER "{STORE}"')
    api = engine.client.api
    words = ["pg_restore", "--exit-on-error", "--no-acl", "--role", STORE, "--no-owner", "--dbname", _FRESH]
    program = api.exec_create(container, words, stdin=True, user="postgres")["Id"]
    connection = api.exec_start(program, socket=True)
    stream = getattr(connection, "_sock", connection)
    try:
        stream.settimeout(_SECONDS)
        for portion in content:
            stream.sendall(portion)
        stream.shutdown(1)
        said = b"".join(data for _, data in frames_iter(connection, tty=False))
    finally:
        _hang_up(connection)
    _check("pg_restore", api.exec_inspect(program)["ExitCode"], said)
    _psql(
        engine,
        container,
        f'DROP DATABASE IF EXISTS "{STORE}" WITH (FORCE)',
        f'ALTER DATABASE "{_FRESH}" RENAME TO "{STORE}"',
    )


def park(engine: Engine, stack: str) -> None:
    """Have nothing of the platform run but its store: what does not know of the data yet would clear them away."""
    for service in _platform(engine, stack):
        _place(engine, service, [*_constraints(service), _NOWHERE])
    until = time.monotonic() + _STOP_SECONDS
    while running := _running(engine, stack):
        if time.monotonic() > until:
            raise DynoformError(f"service {running[0]}", f"has not stopped within {_STOP_SECONDS} s", "run it again")
        time.sleep(0.5)


def unpark(engine: Engine, stack: str) -> None:
    """Have all of it run again, from the start: nothing of what it knew before is left."""
    for service in _platform(engine, stack):
        if _NOWHERE in _constraints(service):
            _place(engine, service, [each for each in _constraints(service) if each != _NOWHERE])


def _redis_servers(engine: Engine, stack: str) -> dict[str, str]:
    """Volume → running container, of each Redis; of a group the member that a single server would be."""
    running = [each for each in engine.containers() if each["State"] == "running"]
    mounts = [(mount, each["Id"]) for each in running for mount in each.get("Mounts") or ()]
    found = {str(mount.get("Name")): str(id_) for mount, id_ in mounts if mount["Destination"] == _REDIS_HOME}
    return {name: id_ for name, id_ in found.items() if _FIRST.fullmatch(name.removeprefix(f"{stack}_"))}


def _redis(engine: Engine, volume: dict[str, Any], *words: str) -> str:
    """What the server of a volume answers to its administrator."""
    api = engine.client.api
    program = api.exec_create(volume["redis"], ["/opt/dynoform/valkey-admin", *words], user="valkey")["Id"]
    said: bytes = api.exec_start(program)
    if code := api.exec_inspect(program)["ExitCode"]:
        raise DynoformError(f"volume {volume['name']}", f"its Redis says: {_words(said, code)}", "run it again")
    return said.decode(errors="replace")


def _is_repository(name: str, labels: dict[str, str]) -> bool:
    return ADDON in labels and name.endswith(BACKUPS)


def _platform(engine: Engine, stack: str) -> list[dict[str, Any]]:
    return [
        service
        for service in engine.services()
        if not is_of_apps(service) and not _is_of_store(stack, service["Spec"]["Name"])
    ]


def _is_of_store(stack: str, name: str) -> bool:
    return name == f"{stack}_{POSTGRES}" or name.startswith(f"{stack}_{POSTGRES}-")


def _constraints(service: dict[str, Any]) -> list[str]:
    return list((service["Spec"]["TaskTemplate"].get("Placement") or {}).get("Constraints") or [])


def _place(engine: Engine, service: dict[str, Any], constraints: Sequence[str]) -> None:
    placement = {**(service["Spec"]["TaskTemplate"].get("Placement") or {}), "Constraints": list(constraints)}
    if not constraints:
        del placement["Constraints"]
    engine.client.api.update_service(
        service["ID"], service["Version"]["Index"], task_template={"Placement": placement}, fetch_current_spec=True
    )


def _running(engine: Engine, stack: str) -> list[str]:
    parked = {service["Spec"]["Name"] for service in _platform(engine, stack)}
    names = [
        (each.get("Labels") or {}).get(SERVICE_LABEL, "") for each in engine.containers() if each["State"] == "running"
    ]
    return [name for name in names if name in parked]


def _psql(engine: Engine, container: str, *statements: str) -> None:
    for statement in statements:
        words = ["--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", "--dbname=postgres", "--command", statement]
        _run(engine, container, "psql", *words)


def _run(engine: Engine, container: str, *words: str) -> str:
    api = engine.client.api
    program = api.exec_create(container, list(words), user="postgres")["Id"]
    said: bytes = api.exec_start(program)
    _check(words[0].rpartition("/")[2], api.exec_inspect(program)["ExitCode"], said)
    return said.decode(errors="replace")


def _check(program: str, code: int, said: bytes | bytearray) -> None:
    if code:
        raise DynoformError(f"{program} in the platform's store", _words(said, code), "mend that, then run it again")


def _words(said: bytes | bytearray, code: int) -> str:
    return " ".join(said.decode(errors="replace").split())[-400:] or f"exit code {code}"


def _output(connection: Any, said: bytearray) -> Iterator[bytes]:
    """What a program writes to its standard output; the end of what it complains about is left in ``said``."""
    try:
        getattr(connection, "_sock", connection).settimeout(_SECONDS)
        for kind, data in frames_iter(connection, tty=False):
            if kind == _STDOUT:
                yield data
            else:
                said += data
                del said[:-_MOST_SAID]
    finally:
        _hang_up(connection)


def _hang_up(connection: Any) -> None:
    # Before the socket: what holds the answer would try to flush it afterwards.
    connection._response.close()
    connection.close()


def _store(engine: Engine, stack: str) -> str:
    """The server on this host, which may be a standby: it has all that was acknowledged."""
    service = f"{stack}_{POSTGRES}{SERVER if has_standby(engine, stack) else ''}"
    filters = {"label": f"{SERVICE_LABEL}={service}", "status": "running"}
    listed = engine.client.api.containers(filters=filters)
    found = [each for each in listed if is_task(each["Names"], service)]
    if not found:
        next_step = f"bin/dynoform up --stack {stack}, then run it again"
        raise DynoformError("the platform's store", "does not run", next_step)
    return str(found[0]["Id"])


@contextlib.contextmanager
def _beside(engine: Engine, stack: str, volume: str, mode: str, words: Sequence[str]) -> Iterator[str]:
    """A container that has the volume and a program to run, which is not started."""
    api = engine.client.api
    image = api.inspect_service(f"{stack}_{POSTGRES}")["Spec"]["TaskTemplate"]["ContainerSpec"]["Image"]
    host = api.create_host_config(
        binds={volume: {"bind": _PLACE, "mode": mode}},
        network_mode="none",
        cap_drop=["ALL"],
        cap_add=["DAC_READ_SEARCH", *(["CHOWN"] if mode == "rw" else [])],
        security_opt=["no-new-privileges"],
        log_config={"Type": "none"},
    )
    made = api.create_container(image, entrypoint=list(words), user="0", labels={LABEL: stack}, host_config=host)["Id"]
    try:
        yield made
    finally:
        with contextlib.suppress(APIError, NotFound):
            api.remove_container(made, v=True, force=True)
