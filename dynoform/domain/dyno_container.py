"""What every dyno's container has, formation dyno or one-off: labels, environment, limits, config vars, user.

The reconciler makes Swarm services of it, the runtime agent containers.
"""

import shlex
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dynoform.domain import dyno_sizes
from dynoform.domain.data_services import PORT_LABEL

PORT = 5000
"""``$PORT`` inside every dyno; what is published on the host differs."""
STACK_LABEL = "dynoform.stack"
APP_LABEL = "dynoform.app"
DYNO_LABEL = "dynoform.dyno"
RELEASE_LABEL = "dynoform.release"
DYNO_ID_LABEL = "dynoform.dyno-id"
"""Formation dynos only; the reconciler acts on what carries it."""
RUN_ID_LABEL = "dynoform.run-id"
"""One-off dynos only; the runtime agent makes and removes what carries it."""
SIZE_LABEL = "dynoform.size"
"""The dyno's size: the runtime agent measures by it."""
SERVICE_LABEL = "com.docker.swarm.service.name"
"""The engine's, on containers of Swarm's services."""
_RESERVED = {
    STACK_LABEL, APP_LABEL, DYNO_LABEL, RELEASE_LABEL, DYNO_ID_LABEL, RUN_ID_LABEL, SIZE_LABEL, PORT_LABEL,
    "dynoform.addon", "dynoform.addon.parts", "dynoform.asks", "dynoform.build", "dynoform.generation",
    "dynoform.release-phase",
}  # fmt: skip
_RESERVED_PREFIX = "com.docker.swarm."
UNSERVED = dict.fromkeys((SERVICE_LABEL, "com.docker.swarm.service.id"), "")
"""On containers that are no service's: what their image has of these labels would be theirs."""
DYNO_USER = "1000"
CONFIG = "config"
"""Name of the file in ``SECRETS``, which the stack image's entrypoint reads."""
SECRETS = "/run/secrets"
SECRETS_OPTIONS = f"rw,noexec,nosuid,nodev,size=1m,mode=0700,uid={DYNO_USER},gid={DYNO_USER}"
"""How a container of our own has ``SECRETS``: in memory, for its user alone."""
# Ctrl-C before the command has begun is not its end; the trap is gone once it has.
WAIT = ["/bin/sh", "-c", f'trap : INT; until [ -e {SECRETS}/{CONFIG} ]; do sleep 0.05; done; exec "$@"', "sh"]
"""A program that becomes the one after it once the container has its config vars."""
TAKE = f"umask 077; cat > {SECRETS}/.new && mv {SECRETS}/.new {SECRETS}/{CONFIG}"
"""Shell for taking them, the text of ``config_file``, from standard input."""
START = "/opt/dynoform/dyno"
"""The stack image's entrypoint: config vars, .profile.d, then the command in a shell."""
LOG_DRIVER = "json-file"
LOG_OPTIONS = {"max-size": "10m", "max-file": "2", "labels": f"{STACK_LABEL},{APP_LABEL},{DYNO_LABEL}"}
"""The log agent files lines by these labels."""
CPU_PERIOD = 100_000
"""Microseconds over which the processors that a dyno may use are counted."""
NO_NEW_PRIVILEGES = "no-new-privileges:true"
OOM_SCORE = 500
"""When the host itself has no memory left, the kernel ends dynos before the platform (0) and the engine (less)."""
_MIB = 1024 * 1024
# As in the stack image's launcher, for an image that has the program (util-linux, or BusyBox).
_CONFINE = f"""\
{{ echo {OOM_SCORE} >/proc/self/oom_score_adj; }} 2>/dev/null
confined='setpriv --no-new-privs'
$confined true 2>/dev/null || confined=
"""
# The engine's init signals one process and ends with it: a shell between an app and its init would end at SIGTERM, and
# the app be killed with it. INT and QUIT are given back to the app, as a shell takes them from what it runs beside
# itself; an env that cannot do that (before coreutils 8.31, and BusyBox's) leaves them ignored. A signal ends `wait`.
_SUPERVISE = """\
stopping=
trap 'stopping=1 again=1; kill -TERM -1' TERM
if env --default-signal=INT,QUIT true 2>/dev/null; then set -- env --default-signal=INT,QUIT "$@"; fi
"$@" &
exec 2>/dev/null
[ "$stopping" ] && kill -TERM $!
again=1 code=127
while [ "$again" ]; do
  again=
  wait $!
  ended=$?
  [ $ended = 127 ] || code=$ended
done
while [ "$stopping" ] && kill -0 -1; do sleep 0.1; done
exit $code
"""


@dataclass(frozen=True)
class Limits:
    """What the kernel holds a dyno to."""

    memory_bytes: int
    """Above it the kernel ends processes (R15)."""
    quota_bytes: int
    """Above it memory is taken back first when the host needs some (R14)."""
    pids: int
    cpus: int
    cpu_shares: int
    files: int

    @property
    def adjustable(self) -> dict[str, int]:
        """In the engine's words, those that a running container can be given, and a Swarm service can not.

        Swarm knows a ceiling for processors, but refuses one above what the host has: a large dyno would not start on a
        small host. No swap: what a dyno uses beyond its quota slows nobody down, and it ends at one size on all hosts.
        """
        return {
            "CpuPeriod": CPU_PERIOD,
            "CpuQuota": self.cpus * CPU_PERIOD,
            "CpuShares": self.cpu_shares,
            "Memory": self.memory_bytes,
            "MemoryReservation": self.quota_bytes,
            "MemorySwap": self.memory_bytes,
        }

    @property
    def container(self) -> dict[str, Any]:
        """All of them, as the ``HostConfig`` of a container that is made without Swarm."""
        return self.adjustable | {"PidsLimit": self.pids, "Ulimits": self.ulimits}

    @property
    def ulimits(self) -> list[dict[str, Any]]:
        """Limits of each single process, as container and service take them: open files, and no core dumps."""
        return [
            {"Name": "nofile", "Soft": self.files, "Hard": self.files},
            {"Name": "core", "Soft": 0, "Hard": 0},
        ]


def reserved(names: Iterable[str]) -> list[str]:
    """Those labels that only platform and engine give: the container of an image with one is taken for another."""
    return sorted(name for name in names if name in _RESERVED or name.startswith(_RESERVED_PREFIX))


def is_task(names: Iterable[str], service: str) -> bool:
    """Whether a container of these names (``/local_postgres.1.x``) is a service's: labels can be an image's own."""
    return any(name.startswith(f"/{service}.") for name in names)


def labels(stack: str, app_id: uuid.UUID, dyno: str, version: int, size: str) -> dict[str, str]:
    """What tells our containers from others', and what the log agent files lines by; ``dyno`` is ``web.1``."""
    return {
        STACK_LABEL: stack,
        APP_LABEL: str(app_id),
        DYNO_LABEL: dyno,
        RELEASE_LABEL: f"v{version}",
        SIZE_LABEL: size,
    }


def environment(dyno: str) -> list[str]:
    """The variables that the platform itself sets, ``NAME=value``."""
    return [f"PORT={PORT}", f"DYNO={dyno}"]


def launcher(dyno: str, *, own_image: bool, words: bool = False) -> list[str]:
    """The program, with its first words, that reads the config vars and becomes the command given to it as last word.

    An image of the user's own (``own_image``) has no launcher of ours: its shell does it. ``words`` says that the
    command is a program with its arguments, for a shell, and nothing more: then no shell stays between.
    """
    if not own_image:
        return [START]
    platform = " ".join(shlex.quote(variable) for variable in environment(dyno))
    become = 'eval "exec $confined $1"' if words else 'exec $confined /bin/sh -c "$1"'
    return ["/bin/sh", "-c", f". {SECRETS}/{CONFIG}\nexport {platform}\n{_CONFINE}{become}", "sh"]


def supervised(words: Sequence[str]) -> list[str]:
    """The program ``words``, further ones may follow, run as Heroku stops dynos: SIGTERM reaches every process.

    The container ends with the program's exit code: when the program ends by itself, at once; after SIGTERM, not before
    all its processes have ended (https://devcenter.heroku.com/articles/dyno-shutdown-behavior).
    """
    return ["/bin/sh", "-c", _SUPERVISE, "dyno", *words]


def limits(size: str) -> Limits:
    """The limits of a size. Raises ``InvalidInputError`` for one that Heroku has not."""
    found = dyno_sizes.find(size)
    return Limits(
        memory_bytes=found.kill_mb * _MIB,
        quota_bytes=found.memory_mb * _MIB,
        pids=found.pids,
        cpus=found.cpus,
        cpu_shares=found.cpu_shares,
        files=dyno_sizes.FILES,
    )


def config_file(config: Mapping[str, str]) -> bytes:
    """Config vars as the shell lines that the stack image's entrypoint reads. Never empty: Swarm refuses that."""
    lines = ["# config vars", *(f"export {name}={shlex.quote(value)}" for name, value in sorted(config.items()))]
    return "".join(f"{line}\n" for line in lines).encode()
