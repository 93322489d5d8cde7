"""What a host must have before `up` changes anything on it. Every check answers with None or one line."""

import os
import platform
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from dynoform.cli import machines, ports
from dynoform.cli.engine import Engine
from dynoform.cli.settings import StackSettings
from dynoform.errors import DynoformError

MINIMUM_DOCKER = (20, 10)
STORAGE_DRIVERS = ("overlay2", "overlayfs")  # the second is what containerd's image store calls the first
MINIMUM_MEMORY = 1800 << 20
FIRST_DISK = 8 << 30
LATER_DISK = 1 << 30
DATA_DISK = 256 << 20
EXEC_PORT = 80
MACHINES = ("x86_64", "aarch64")


@dataclass(frozen=True)
class Check:
    """A check by name; `error` says what is wrong, None that it passed; `note` is what else there is to know."""

    name: str
    error: DynoformError | None
    note: str = ""


@dataclass(frozen=True)
class Subject:
    """What is checked: a stack with its settings, the data directory, whether it was up before, the engine if any."""

    stack: str
    settings: StackSettings
    data: Path
    exists: bool
    engine: Engine | None


def checks(subject: Subject) -> Iterator[Check]:
    """All checks, cheapest first. Of a stack with hosts of its own this machine only has to reach them."""
    if subject.settings.hosts:
        yield Check("disk", _room(subject.data, DATA_DISK))
        reached = {name: host for name, host in subject.settings.hosts.items() if host.get("address")}
        yield from (Check(f"host {name}", error) for name, error in machines.problems(reached))
        return
    table: list[tuple[str, Callable[[Subject], DynoformError | None]]] = [
        ("machine", _machine),
        ("rights", _rights),
        ("memory", _memory),
        ("disk", _disk),
        ("kernel", _kernel),
        ("docker", _docker),
        ("ports", lambda subject: ports.check(subject.stack, subject.settings, subject.engine)),
    ]
    for name, check in table:
        yield Check(name, check(subject))


def _machine(subject: Subject) -> DynoformError | None:
    if platform.system() == "Linux" and platform.machine() in MACHINES:
        return None
    found = f"{platform.system()} on {platform.machine()}"
    return DynoformError("host", f"is {found}, not Linux on {' or '.join(MACHINES)}", "use another host")


def _rights(subject: Subject) -> DynoformError | None:
    if os.geteuid() == 0:
        return None
    return DynoformError(f"user {os.environ.get('USER', os.geteuid())}", "is not root", "run it as root")


def _memory(subject: Subject) -> DynoformError | None:
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if total >= MINIMUM_MEMORY:
        return None
    return DynoformError("memory", f"{total >> 20} MiB, {MINIMUM_MEMORY >> 20} MiB are needed", "use a larger host")


def _disk(subject: Subject) -> DynoformError | None:
    docker_root = Path(subject.engine.client.info().get("DockerRootDir", "/")) if subject.engine else Path("/var/lib")
    return _room(docker_root, LATER_DISK if subject.exists else FIRST_DISK) or _room(subject.data, DATA_DISK)


def _room(place: Path, needed: int) -> DynoformError | None:
    """Whether a directory, which may not be there yet, has so many bytes left."""
    there = next(path for path in (place, *place.parents) if path.exists())
    free = shutil.disk_usage(there).free
    if free >= needed:
        return None
    why = f"{free >> 20} MiB are free, {needed >> 20} MiB are needed"
    return DynoformError(f"disk of {place}", why, "free some space: docker system df, journalctl --disk-usage")


def _kernel(subject: Subject) -> DynoformError | None:
    filesystems = Path("/proc/filesystems").read_text(encoding="utf-8").split()
    if "overlay" not in filesystems and not _module_exists("overlay"):
        return DynoformError("kernel", "has no overlay file system", "load the module overlay: modprobe overlay")
    unified, split = Path("/sys/fs/cgroup/cgroup.controllers"), Path("/sys/fs/cgroup")
    there = unified.read_text(encoding="utf-8").split() if unified.exists() else [p.name for p in split.glob("*")]
    missing = [name for name in ("memory", "pids", "cpu") if not any(name in found.split(",") for found in there)]
    if missing:
        why = f"cgroup controllers are missing: {', '.join(missing)}"
        return DynoformError("kernel", why, "enable them on the kernel's command line (cgroup_enable=memory)")
    return None


def _module_exists(name: str) -> bool:
    return any(Path(f"/lib/modules/{platform.release()}").rglob(f"{name}.ko*"))


def _docker(subject: Subject) -> DynoformError | None:
    if subject.engine is None:
        return None  # `up` installs or starts it
    version = str(subject.engine.client.version().get("Version", "0"))
    numbers = tuple(int(part) for part in version.split(".")[:2] if part.isdigit())
    if numbers < MINIMUM_DOCKER:
        why = f"is version {version}, 20.10 or newer is needed"
        return DynoformError("Docker engine", why, "upgrade it: apt-get install docker.io")
    driver = str(subject.engine.client.info().get("Driver", ""))
    if driver not in STORAGE_DRIVERS:
        why = f"keeps images and containers with {driver or 'no driver'}, not with overlay2"
        return DynoformError("Docker engine", why, 'set "storage-driver" in /etc/docker/daemon.json')
    return None
