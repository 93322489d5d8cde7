"""One stack as the `pulumi` command sees it: backend, passphrase, configuration file."""

import json
import os
import re
import secrets
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from dynoform.cli import backend as backends
from dynoform.cli.places import PROJECT, Places
from dynoform.cli.process import Command, Finished, run
from dynoform.cli.settings import StackSettings
from dynoform.domain import ec2_settings, host_settings
from dynoform.errors import ConflictError, DynoformError, InvalidInputError

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

        Raises `InvalidInputError` for a name that Docker objects, networks and host names cannot carry, and for an
        address that is no backend's.
        """
        if not NAME.fullmatch(name):
            why = "a stack's name is 1 to 20 lower-case letters, digits and hyphens, a letter first"
            raise InvalidInputError(f"--stack {name}", why, "choose another")
        if backend:
            backends.check(backend)
        known = backend or backends.remembered(places.stack(name))
        return cls(name, places, known or f"file://{places.state}", environ)

    @property
    def directory(self) -> Path:
        """What this machine keeps of the stack."""
        return self.places.stack(self.name)

    @property
    def config_file(self) -> Path:
        """The configuration that `pulumi` gets: the stack's own plus what its secrets are encrypted with."""
        return self.directory / f"Pulumi.{self.name}.yaml"

    def last_config_file(self) -> Path | None:
        """That configuration, once there was an `up`."""
        return self.config_file if self.config_file.exists() else None

    @property
    def state_file(self) -> Path | None:
        """The stack's state where that is a local file."""
        if not self.backend.startswith("file://"):
            return None
        root = Path(os.path.expanduser(self.backend.removeprefix("file://")))
        return root / ".pulumi" / "stacks" / PROJECT / f"{self.name}.json"

    def platform_host(self) -> dict[str, Any] | None:
        """The host, as in the settings, that has the platform's own services; None when that is this machine."""
        hosts, ec2 = self._hosts()
        if not hosts:
            return None
        name = host_settings.platform_host(hosts)
        host: dict[str, Any] = ec2_settings.addressed(ec2, hosts)[name]
        return host | {"address": self._made_address(name)} if ec2 else host

    def other_hosts(self) -> dict[str, Any]:
        """The hosts besides that one, as in the settings; none of a fleet at EC2, whose disks go with it."""
        hosts, ec2 = self._hosts()
        first = host_settings.platform_host(hosts) if hosts else ""
        return {} if ec2 else {name: host for name, host in hosts.items() if name != first}

    def _hosts(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """The settings ``hosts`` and ``ec2``."""
        if not self.config_file.exists():
            return {}, {}
        config = (yaml.safe_load(self.config_file.read_text(encoding="utf-8")) or {}).get("config") or {}
        return config.get(f"{PROJECT}:hosts") or {}, config.get(f"{PROJECT}:ec2") or {}

    def _made_address(self, host: str) -> str:
        """Where SSH reaches a host that the stack has made; empty before it has."""
        made = [each for each in self.deployment().get("resources") or () if each["type"] == "dynoform:index:Ec2Host"]
        own = [each for each in made if each["urn"].endswith(f"::{self.name}-ec2-{host}")]
        return str((own[0].get("outputs") or {}).get("address") or "") if own else ""

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
        argv = [str(self.places.pulumi), "--non-interactive", "--color=never", *words]
        return Command(argv, timeout=timeout, cwd=cwd or self.places.root, env=env, leader=leader)

    def ask(self, *words: str, cwd: Path | None = None) -> Finished:
        """Runs ``pulumi <words>`` to its end; what it complains about comes without the backend's password."""
        done = run(self.pulumi(*words, timeout=QUERY_SECONDS, cwd=cwd))
        said = self.masked(done.stdout) if done.code else done.stdout
        return Finished(done.code, said, self.masked(done.stderr))

    def masked(self, text: str) -> str:
        """`text` without the password of the backend."""
        return backends.masked(text, self.backend)

    def exists(self) -> bool:
        """Whether the backend has such a stack."""
        if self.state_file:
            return self.state_file.exists()
        done = self.ask("stack", "ls", "--json")
        if done.code:
            raise _backend_error(self, done)
        return any(found["name"].rpartition("/")[2] == self.name for found in json.loads(done.stdout))

    def check_not_moved(self) -> None:
        """Raises `ConflictError` while another backend, the one used last, has resources of this stack.

        With a second state, empty, the next `up` would make everything a second time.
        """
        before = Stack.of(self.name, self.places, self.environ)
        if before.backend == self.backend or not before.exists():
            return
        count = len(before.deployment().get("resources") or [])
        if count:
            why = f"its state, of {count} resources, is in {before.masked(before.backend)}"
            next_step = (
                f"leave --backend out; to move, take the state along (pulumi stack export, then import), "
                f"or remove it first: bin/dynoform down --purge --stack {self.name}"
            )
            raise ConflictError(f"stack {self.name}", why, next_step)

    def certainly_absent(self) -> bool:
        """Whether a local state file is missing, which can be told without `pulumi`."""
        return bool(self.state_file and not self.state_file.exists())

    def absent(self) -> DynoformError:
        """The error for commands that need the stack."""
        return DynoformError(f"stack {self.name}", "does not exist", f"bin/dynoform up --stack {self.name}")

    def create(self, settings: StackSettings) -> None:
        """Makes the stack if it is not there, and writes its configuration file from `settings`. Safe to repeat."""
        self.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        if self.state_file:
            self.state_file.parents[3].mkdir(parents=True, exist_ok=True, mode=0o700)
        make_passphrase(self.places.passphrase)
        if not self.exists():
            done = self.init()
            # Somebody else may have made it in this moment.
            if done.code and not self.exists():
                raise _backend_error(self, done)
        backends.remember(self.directory, self.backend)
        self.write_config(settings)

    def init(self) -> Finished:
        """Runs ``pulumi stack init``, which asks for the stack's lock first, and then refuses one that is there."""
        # In a directory of its own: it writes the salt of a new stack beside the Pulumi.yaml that it finds.
        self.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        project = f"name: {PROJECT}\nruntime: python\n"
        (self.directory / "Pulumi.yaml").write_text(project, encoding="utf-8")
        return self.ask("stack", "init", self.name, "--no-select", cwd=self.directory)

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
        done = self.ask("stack", "output", "--json", "--show-secrets", "--stack", self.name)
        if done.code:
            raise _backend_error(self, done)
        found: dict[str, Any] = json.loads(done.stdout or "{}")
        return found

    def deployment(self) -> dict[str, Any]:
        """The state as Pulumi exports it, secrets encrypted: ``resources``, ``pending_operations``."""
        if self.state_file:
            content = json.loads(self.state_file.read_text(encoding="utf-8")) if self.state_file.exists() else {}
            return dict((content.get("checkpoint") or {}).get("latest") or {})
        done = self.ask("stack", "export", "--stack", self.name)
        if done.code:
            raise _backend_error(self, done)
        return dict(json.loads(done.stdout).get("deployment") or {})

    def edit(self, change: Callable[[dict[str, Any]], dict[str, Any]]) -> Finished:
        """Replaces the state by what `change` makes of it, secrets encrypted all the while; what Pulumi said."""
        with tempfile.TemporaryDirectory(dir=self.directory) as folder:  # only we may read it
            file = Path(folder) / "state.json"
            done = self.ask("stack", "export", "--stack", self.name, "--file", str(file))
            if done.code:
                return done
            exported = json.loads(file.read_text(encoding="utf-8"))
            exported["deployment"] = change(exported["deployment"])
            file.write_text(json.dumps(exported), encoding="utf-8")
            return self.ask("stack", "import", "--stack", self.name, "--file", str(file))


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
    where = stack.masked(stack.backend)
    return DynoformError(f"stack {stack.name} in {where}", why, "check the backend, then run it again")
