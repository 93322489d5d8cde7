"""How far this host keeps dynos apart, beyond what every host must: an operator may want to know, or to change it."""

from collections.abc import Iterator, Mapping
from typing import Any

from dynoform.cli.host import Check
from dynoform.errors import DynoformError

_QUOTA = frozenset({"pquota", "prjquota"})


def checks(info: Mapping[str, Any], mounts: str) -> Iterator[Check]:
    """What the engine's ``info`` and ``/proc/mounts`` tell; only a missing filter of system calls is wrong."""
    options = [str(option) for option in info.get("SecurityOptions") or ()]
    yield Check("system calls", _seccomp(options))
    yield Check("user namespaces", None, _user_namespaces(options))
    yield Check("disk quota", None, _disk_quota(info, mounts))


def _seccomp(options: list[str]) -> DynoformError | None:
    found = next((option for option in options if option.startswith("name=seccomp")), "")
    if found and "unconfined" not in found:
        return None
    why = "filters no system calls of containers (seccomp)"
    return DynoformError(
        "Docker engine", why, 'take "seccomp-profile" out of /etc/docker/daemon.json, or use a newer kernel'
    )


def _user_namespaces(options: list[str]) -> str:
    if any(option.startswith("name=userns") for option in options):
        return "root in a container is nobody on the host"
    return 'off: dynos are kept apart by user 1000 without privileges ("userns-remap" in /etc/docker/daemon.json)'


def _disk_quota(info: Mapping[str, Any], mounts: str) -> str:
    status = {str(pair[0]): str(pair[1]) for pair in info.get("DriverStatus") or ()}
    system = status.get("Backing Filesystem", "an unknown file system")
    if system == "xfs" and _has_quota(str(info.get("DockerRootDir", "/")), mounts):
        return "possible: XFS with project quotas (overlay2.size in /etc/docker/daemon.json)"
    return f"none on {system}: the dyno that has written most is stopped when the disk is nearly full"


def _has_quota(root: str, mounts: str) -> bool:
    """Whether the file system that ``root`` is on was mounted with project quotas."""
    found = [line.split() for line in mounts.splitlines() if len(line.split()) >= 4]
    above = [words for words in found if root == words[1] or root.startswith(words[1].rstrip("/") + "/")]
    nearest = max(above, key=lambda words: len(words[1]), default=None)
    return nearest is not None and bool(_QUOTA & set(nearest[3].split(",")))
