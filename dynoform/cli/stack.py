"""One stack as the `pulumi` command sees it: backend, passphrase, configuration file."""

import json
import os
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dynoform.cli.places import PROJECT, Places
from dynoform.cli.process import Command, Finished, run
from dynoform.cli.settings import StackSettings
from dynoform.errors import DynoformError, InvalidInputError

NAME = re.compile(r"[a-z][a-z0-9-]{0,19}")
SALT = re.compile(r"^encryptionsalt:.*$", re.MULTILINE)
KEY = re.compile(r"^(encryptionsalt|secretsprovider|encryptedkey):", re.MULTILINE)
QUERY_SECONDS = 120


@dataclass(frozen=True)
class Stack:
    """A stack by name, its places, and the address of the backend that keeps its state."""

    name: str
    places: Places
    backend: str
    environ: Mapping[str, str]

    @classmethod
    def of(cls, name: str, places: Places, environ: Mapping[str, str], backend: str | None = None) -> "Stack":
        """The stack called `name`; the `backend` once given is remembered.

        Raises `InvalidInputError` for a name that Docker objects, networks and host names cannot carry.
        """
        if not NAME.fullmatch(name):
            why = "a stack's name is 1 to 20 lower-case letters, digits and hyphens, a letter first"
            raise InvalidInputError(f"--stack {name}", why, "choose another")
        remembered = places.stack(name) / "backend"
        if not backend:
            backend = remembered.read_text(encoding="utf-8").strip() if remembered.exists() else None
        return cls(name, places, backend or f"file://{places.state}", environ)

    @property
    def directory(self) -> Path:
        """What this machine keeps of the stack."""
        return self.places.stack(self.name)

    @property
    def config_file(self) -> Path:
        """The configuration that `pulumi` gets: the stack's own plus what its secrets are encrypted with."""
        return self.directory / f"Pulumi.{self.name}.yaml"

    @property
    def state_file(self) -> Path | None:
        """The stack's state where that is a local file."""
        if not self.backend.startswith("file://"):
            return None
        root = Path(os.path.expanduser(self.backend.removeprefix("file://")))
        return root / ".pulumi" / "stacks" / PROJECT / f"{self.name}.json"

    def environment(self) -> dict[str, str]:
        """Variables with which `pulumi` works on this stack; the passphrase only ever by the name of its file."""
        own = {
            "PULUMI_BACKEND_URL": self.backend,
            "PULUMI_HOME": str(self.places.pulumi_home),
            "PULUMI_SKIP_UPDATE_CHECK": "true",
        }
        # A team's passphrase, if they set one, is the one the shared state is encrypted with.
        if not self.environ.get("PULUMI_CONFIG_PASSPHRASE") and not self.environ.get("PULUMI_CONFIG_PASSPHRASE_FILE"):
            own["PULUMI_CONFIG_PASSPHRASE_FILE"] = str(self.places.passphrase)
            own["PULUMI_CONFIG_PASSPHRASE"] = ""
        return own

    def pulumi(self, *words: str, timeout: float, cwd: Path | None = None, leader: bool = False) -> Command:
        """``pulumi <words>`` for this stack's backend."""
        path = f"{self.places.venv / 'bin'}{os.pathsep}{self.environ.get('PATH', os.defpath)}"
        # PULUMI_DEBUG_COMMANDS is what makes --event-log an option.
        env = {**self.environment(), "PATH": path, "PULUMI_DEBUG_COMMANDS": "true"}
        argv = [str(self.places.pulumi), "--non-interactive", "--color", "never", *words]
        return Command(argv, timeout=timeout, cwd=cwd or self.places.root, env=env, leader=leader)

    def exists(self) -> bool:
        """Whether the backend has such a stack."""
        if self.state_file:
            return self.state_file.exists()
        done = run(self.pulumi("stack", "ls", "--json", timeout=QUERY_SECONDS))
        if done.code:
            raise _backend_error(self, done)
        return any(found["name"].rpartition("/")[2] == self.name for found in json.loads(done.stdout))

    def certainly_absent(self) -> bool:
        """Whether a local state file is missing, which can be told without `pulumi`."""
        return bool(self.state_file and not self.state_file.exists())

    def absent(self) -> DynoformError:
        """The error for commands that need the stack."""
        return DynoformError(f"stack {self.name}", "does not exist", f"bin/dynoform up --stack {self.name}")

    def create(self, settings: StackSettings) -> None:
        """Makes the stack if it is not there, and writes its configuration file from `settings`. Safe to repeat."""
        self.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        (self.directory / "backend").write_text(self.backend + "\n", encoding="utf-8")
        if self.state_file:
            self.state_file.parents[3].mkdir(parents=True, exist_ok=True, mode=0o700)
        make_passphrase(self.places.passphrase)
        if not self.exists():
            # In a directory of its own: `stack init` writes the salt beside the Pulumi.yaml that it finds.
            project = f"name: {PROJECT}\nruntime: python\n"
            (self.directory / "Pulumi.yaml").write_text(project, encoding="utf-8")
            done = run(
                self.pulumi("stack", "init", self.name, "--no-select", timeout=QUERY_SECONDS, cwd=self.directory)
            )
            if done.code and "already exists" not in done.stderr:
                raise _backend_error(self, done)
        self.write_config(settings)

    def write_config(self, settings: StackSettings) -> None:
        """The stack's configuration, with the salt that was used before if it names none itself."""
        text = settings.file.read_text(encoding="utf-8")
        before = self.config_file.read_text(encoding="utf-8") if self.config_file.exists() else ""
        salt = SALT.search(before)
        if salt and not KEY.search(text):
            text = f"{text.rstrip()}\n{salt[0]}\n"
        fresh = self.config_file.with_suffix(".new")
        fresh.write_text(text, encoding="utf-8")
        fresh.replace(self.config_file)

    def outputs(self) -> dict[str, Any]:
        """All outputs, secrets in clear. Raises `DynoformError` when there is no such stack."""
        if not self.exists():
            raise self.absent()
        words = ("stack", "output", "--json", "--show-secrets", "--stack", self.name)
        done = run(self.pulumi(*words, timeout=QUERY_SECONDS))
        if done.code:
            raise _backend_error(self, done)
        found: dict[str, Any] = json.loads(done.stdout or "{}")
        return found

    def deployment(self) -> dict[str, Any]:
        """The state as Pulumi exports it, secrets encrypted: ``resources``, ``pending_operations``."""
        if self.state_file:
            content = json.loads(self.state_file.read_text(encoding="utf-8")) if self.state_file.exists() else {}
            return dict((content.get("checkpoint") or {}).get("latest") or {})
        done = run(self.pulumi("stack", "export", "--stack", self.name, timeout=QUERY_SECONDS))
        if done.code:
            raise _backend_error(self, done)
        return dict(json.loads(done.stdout).get("deployment") or {})


def make_passphrase(file: Path) -> None:
    """Makes the passphrase file, readable by its owner alone, unless there is one."""
    if file.exists():
        return
    fresh = file.with_suffix(f".{os.getpid()}")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as stream:
        stream.write(secrets.token_urlsafe(32))
    try:
        os.link(fresh, file)  # fails if another run was first: its passphrase is the one in use
    except FileExistsError:
        pass
    finally:
        fresh.unlink()


def _backend_error(stack: Stack, done: Finished) -> DynoformError:
    why = done.last_words.removeprefix("error: ")
    return DynoformError(f"stack {stack.name} in {_shown(stack.backend)}", why, "check the backend, then run it again")


def _shown(url: str) -> str:
    """`url` without the password it may carry."""
    return re.sub(r"//([^:/@]+):[^@/]+@", r"//\1:…@", url)
