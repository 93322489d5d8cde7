"""How a Python program is started: which interpreter, with which words and which environment.

Pure but for looking at the file system: everything returns data, `host.py` runs it.
"""

import json
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

EXECUTOR = Path(__file__).with_name("execute.py")


class ProgramError(Exception):
    """The program cannot be started as asked; the text is one line for the operator."""


@dataclass(frozen=True)
class Launch:
    """A process to start: argument vector, working directory, whole environment."""

    argv: Sequence[str]
    cwd: Path
    env: Mapping[str, str]


def interpreter(root: Path, options: Mapping[str, object]) -> Path:
    """The Python that runs programs of the project at `root`.

    `options` are Pulumi.yaml's ``runtime.options``. ``virtualenv`` (a path, relative to the project's root) is
    honoured as the official host does; without it the host's own interpreter is used.
    Raises `ProgramError` when the virtualenv is not there or the tool chain is one we do not drive.
    """
    toolchain = options.get("toolchain", "pip")
    if toolchain != "pip":
        raise ProgramError(
            f"Pulumi.yaml runtime.options.toolchain: {toolchain!r} is not served by this language host — use 'pip'"
        )
    virtualenv = options.get("virtualenv")
    if not virtualenv:
        return Path(sys.executable)
    home = root / os.path.expanduser(str(virtualenv))
    python = home / "bin" / "python"
    if not python.exists():
        raise ProgramError(
            f"Pulumi.yaml runtime.options.virtualenv: {home} has no bin/python — run bin/dynoform doctor, "
            "or pulumi install where there is a requirements.txt"
        )
    return python


def environment(python: Path, base: Mapping[str, str]) -> dict[str, str]:
    """`base` with the interpreter's virtualenv activated, output unbuffered."""
    env = dict(base)
    env["PYTHONUNBUFFERED"] = "1"
    if (python.parent.parent / "pyvenv.cfg").exists():
        env["VIRTUAL_ENV"] = str(python.parent.parent)
        env["PATH"] = f"{python.parent}{os.pathsep}{env.get('PATH', os.defpath)}"
        env.pop("PYTHONHOME", None)
    return env


def run_words(fields: Mapping[str, str], program: str, arguments: Sequence[str]) -> list[str]:
    """Words for `execute.py`: one ``--name=value`` per field that has a value, the program, its own arguments."""
    options = [f"--{name}={value}" for name, value in fields.items() if value]
    return [str(EXECUTOR), *options, "--", program or ".", *arguments]


def configuration(config: Mapping[str, str], secret_keys: Sequence[str]) -> dict[str, str]:
    """The environment variables that hand a stack's configuration to the SDK (never its argument vector)."""
    return {"PULUMI_CONFIG": json.dumps(dict(config)), "PULUMI_CONFIG_SECRET_KEYS": json.dumps(list(secret_keys))}
