"""The operator's program that puts records into their DNS, for certificates of wildcards (RFC 8555, 8.4).

It is called as lego's ``exec`` provider calls its: ``present`` or ``cleanup``, the record's name with a dot at its end,
the value of its TXT record (https://go-acme.github.io/lego/dns/exec/). It returns when the name servers answer with it.
"""

import shlex
import subprocess
from collections.abc import Sequence
from pathlib import Path

from dynoform.certificates.errors import ProofError

SECRET = "acme_dns_hook"  # noqa: S105 - a file's name
SECONDS = 600
_ENVIRONMENT = {"PATH": "/opt/dynoform/venv/bin:/usr/local/bin:/usr/bin:/bin", "HOME": "/tmp", "LANG": "C.UTF-8"}  # noqa: S108


def run(program: Path, action: str, name: str, value: str, seconds: float = SECONDS) -> None:
    """Have it ``present`` or ``cleanup`` a record. Raises ``ProofError`` with its last words when it fails."""
    command = [*_interpreter(program), str(program), action, f"{name}.", value]
    try:
        # Nothing of the platform's environment: the program has what it needs in its own text.
        done = subprocess.run(  # noqa: S603 - the operator's own, with names that were checked
            command,
            env=_ENVIRONMENT,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        why = "did not end in time" if isinstance(error, subprocess.TimeoutExpired) else f"does not start ({error})"
        raise ProofError(f"acmeDnsHook {action} {name}", why, "mend it; it is tried again") from error
    if done.returncode:
        words = " ".join((done.stderr.strip() or done.stdout.strip()).splitlines()[-1:])[:200]
        why = f"exit {done.returncode}: {words or 'no output'}"
        raise ProofError(f"acmeDnsHook {action} {name}", why, "mend it; it is tried again")


def _interpreter(program: Path) -> Sequence[str]:
    """What its first line says, as the kernel would: secrets are on a file system that nothing is started from."""
    with program.open("rb") as file:
        first = file.readline(256)
    if not first.startswith(b"#!"):
        return ["/bin/sh"]
    return shlex.split(first[2:].decode(errors="replace"))
