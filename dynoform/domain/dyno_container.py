"""What every dyno's container has, formation dyno or one-off: labels, environment, limits, config vars, user.

The reconciler makes Swarm services of it, the run agent containers.
"""

import shlex
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dynoform.domain import dyno_sizes

PORT = 5000
"""``$PORT`` inside every dyno; what is published on the host differs."""
STACK_LABEL = "dynoform.stack"
APP_LABEL = "dynoform.app"
DYNO_LABEL = "dynoform.dyno"
RELEASE_LABEL = "dynoform.release"
DYNO_ID_LABEL = "dynoform.dyno-id"
"""Formation dynos only; the reconciler acts on what carries it."""
RUN_ID_LABEL = "dynoform.run-id"
"""One-off dynos only; the run agent acts on what carries it."""
DYNO_USER = "1000"
CONFIG = "config"
"""Name of the file in ``SECRETS``, which the stack image's entrypoint reads."""
SECRETS = "/run/secrets"
START = "/opt/dynoform/dyno"
"""The stack image's entrypoint: config vars, .profile.d, then the command in a shell."""
LOG_DRIVER = "json-file"
LOG_OPTIONS = {"max-size": "10m", "max-file": "2", "labels": f"{STACK_LABEL},{APP_LABEL},{DYNO_LABEL}"}
"""The log agent files lines by these labels."""
_MIB = 1024 * 1024
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
    pids: int


def labels(stack: str, app_id: uuid.UUID, dyno: str, version: int) -> dict[str, str]:
    """What tells our containers from others', and what the log agent files lines by; ``dyno`` is ``web.1``."""
    return {STACK_LABEL: stack, APP_LABEL: str(app_id), DYNO_LABEL: dyno, RELEASE_LABEL: f"v{version}"}


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
    become = 'eval "exec $1"' if words else 'exec /bin/sh -c "$1"'
    return ["/bin/sh", "-c", f". {SECRETS}/{CONFIG}\nexport {platform}\n{become}", "sh"]


def supervised(words: Sequence[str]) -> list[str]:
    """The program ``words``, further ones may follow, run as Heroku stops dynos: SIGTERM reaches every process.

    The container ends with the program's exit code: when the program ends by itself, at once; after SIGTERM, not before
    all its processes have ended (https://devcenter.heroku.com/articles/dyno-shutdown-behavior).
    """
    return ["/bin/sh", "-c", _SUPERVISE, "dyno", *words]


def limits(size: str) -> Limits:
    """The limits of a size. Raises ``InvalidInputError`` for one that Heroku has not."""
    found = dyno_sizes.find(size)
    return Limits(found.kill_mb * _MIB, found.pids)


def config_file(config: Mapping[str, str]) -> bytes:
    """Config vars as the shell lines that the stack image's entrypoint reads. Never empty: Swarm refuses that."""
    lines = ["# config vars", *(f"export {name}={shlex.quote(value)}" for name, value in sorted(config.items()))]
    return "".join(f"{line}\n" for line in lines).encode()
