"""One small Pulumi stack for each add-on instance, by the CLI in a process of its own.

The state is a table of the platform's own store, so that it is backed up, and lost, with what it belongs to; its
secrets are encrypted by a passphrase that comes from the stack's encryption key. Whoever calls has the add-on's lease:
a lock of Pulumi's that is met is a killed run's.
"""

import base64
import contextlib
import hmac
import json
import os
import re
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg

from dynoform.addons.engine import Engine
from dynoform.configuration import Configuration
from dynoform.errors import ConfigurationError, UnavailableError

PLATFORM = Path(__file__).resolve().parents[2]
PROGRAM = PLATFORM / "components/addons/instance"
PROJECT = "addons"
"""As in the program's Pulumi.yaml; names of stacks are the add-ons' ids."""
INSTANCE = "DYNOFORM_INSTANCE"
"""The environment variable in which the program finds what it is to make, as JSON, secrets included."""
SECONDS = 240.0
"""For one command of Pulumi's."""
_TABLE = "addon_stacks"
_UNLOCK = "DELETE FROM addon_stacks WHERE strpos(key, %s) > 0"
_LOCKED = re.compile(r"currently locked by")
_OWNER = re.compile(r"created by \S*?@(?P<host>\S+) \(pid (?P<pid>\d+)\)")
_ABSENT = re.compile(r"no stack named|no previous deployment|not found")
_EXISTS = re.compile(r"already exists")


@dataclass(frozen=True)
class Finished:
    """What a command of Pulumi's came to."""

    code: int
    output: str


class Stacks:
    """The add-ons' stacks. Safe to use from several threads, each on a stack of its own."""

    def __init__(self, configuration: Configuration, engine: Engine, home: Path, program: Path = PROGRAM) -> None:
        """``home`` is Pulumi's own directory, with its plugins; ``program`` the folder of the program that all have."""
        self._configuration = configuration
        self._engine = engine
        self._home = home
        self._program = program

    def up(self, name: str, instance: Mapping[str, Any], *, again: bool) -> None:
        """Make what ``instance`` describes; ``again`` when that was tried before, and may have been broken off.

        Raises ``UnavailableError`` with Pulumi's own reason.
        """
        with self._workspace(name) as files:
            if again:
                self._recover(files, name, instance)
            made = self._run(files, "stack", "init", name, "--no-select", cwd=files)
            if made.code and _LOCKED.search(made.output):
                self._recover(files, name, instance, made.output)
                made = self._run(files, "stack", "init", name, "--no-select", cwd=files)
            if made.code and not _EXISTS.search(made.output):
                raise _error("stack init", made)
            done = self._change(files, "up", name, instance)
            if done.code and _LOCKED.search(done.output):
                self._recover(files, name, instance, done.output)
                done = self._change(files, "up", name, instance)
        if done.code:
            raise _error("up", done)

    def destroy(self, name: str, instance: Mapping[str, Any], *, again: bool) -> None:
        """Take away all that a stack has, and the stack; one that is not there is gone already."""
        with self._workspace(name) as files:
            if again:
                self._recover(files, name, instance)
            done = self._change(files, "destroy", name, instance)
            if done.code and _LOCKED.search(done.output):
                self._recover(files, name, instance, done.output)
                done = self._change(files, "destroy", name, instance)
            if done.code and not _ABSENT.search(done.output):
                raise _error("destroy", done)
            if done.code == 0:
                # It removes the configuration that it finds beside the Pulumi.yaml.
                done = self._run(files, "stack", "rm", name, "--yes", cwd=files)
                if done.code and not _ABSENT.search(done.output):
                    raise _error("stack rm", done)

    def _change(self, files: Path, verb: str, name: str, instance: Mapping[str, Any]) -> Finished:
        words = [verb, "--yes", "--skip-preview", "--stack", name, "--config-file", str(_config(files, name))]
        return self._run(files, *words, instance=instance)

    def _recover(self, files: Path, name: str, instance: Mapping[str, Any], locked: str = "") -> None:
        """After a kill: end who still works, take the lock away, and what was made without being written down."""
        for owner in _OWNER.finditer(locked):
            if owner["host"] == socket.gethostname():
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(int(owner["pid"]), signal.SIGKILL)
        cancelled = self._run(files, "cancel", "--yes", "--stack", name)
        if cancelled.code and _ABSENT.search(cancelled.output):
            self._unlock(name)
            return
        exported = self._run(files, "stack", "export", "--stack", name)
        if exported.code:
            raise _error("stack export", exported)
        self._engine.remove_unknown(name, _ids(exported.output))
        words = ["--yes", "--skip-preview", "--clear-pending-creates", "--config-file", str(_config(files, name))]
        done = self._run(files, "refresh", *words, "--stack", name, instance=instance)
        if done.code:
            raise _error("refresh", done)

    def _unlock(self, name: str) -> None:
        """Take the lock from a stack that was never finished: `pulumi cancel` does not find it, `stack init` does."""
        try:
            with psycopg.connect(self._backend(table=False), connect_timeout=5, autocommit=True) as connection:
                key = f".pulumi/locks/organization/{PROJECT}/{name}/"
                connection.execute(_UNLOCK, [key])
        except psycopg.errors.UndefinedTable:
            return  # there never was a stack
        except psycopg.Error as error:
            raise UnavailableError("store", "the database does not answer", "it is tried again") from error

    def _run(
        self, files: Path, *words: str, cwd: Path | None = None, instance: Mapping[str, Any] | None = None
    ) -> Finished:
        environment = self._environment(files)
        if instance is not None:
            environment[INSTANCE] = json.dumps(instance)
        # A group of its own, which goes as one; and it goes with us.
        argv = ["setpriv", "--pdeathsig", "TERM", "pulumi", "--non-interactive", "--color=never", *words]
        with subprocess.Popen(  # noqa: S603 - words of ours
            argv,
            cwd=cwd or self._program,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        ) as process:
            try:
                output, _ = process.communicate(timeout=SECONDS)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                raise UnavailableError(
                    f"pulumi {words[0]}", f"took longer than {SECONDS:g} s", "it is tried again"
                ) from None
            except BaseException:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                raise
        return Finished(process.returncode, output)

    def _environment(self, files: Path) -> dict[str, str]:
        return {
            "PATH": os.environ.get("PATH", os.defpath),
            "HOME": str(files),
            "LANG": "C.UTF-8",
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONPATH": str(PLATFORM),
            "PULUMI_HOME": str(self._home),
            "PULUMI_BACKEND_URL": self._backend(),
            "PULUMI_CONFIG_PASSPHRASE": self._passphrase(),
            "PULUMI_SKIP_UPDATE_CHECK": "true",
            "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true",
            # Plain checkpoints: they are small, and nobody looks back at them.
            "PULUMI_DIY_BACKEND_RETAIN_CHECKPOINTS": "false",
        }

    def _backend(self, *, table: bool = True) -> str:
        _, _, address = self._configuration.database_url.partition("://")
        user, _, place = address.rpartition("@")
        password = quote(self._configuration.secret("database_password"), safe="")
        place, _, how = place.partition("?")
        own = f"&table={_TABLE}" if table else ""
        return f"postgres://{user.partition(':')[0]}:{password}@{place}?{how or 'sslmode=disable'}{own}"

    def _passphrase(self) -> str:
        key = self._configuration.secret("encryption_key").encode()
        return base64.urlsafe_b64encode(hmac.digest(key, b"dynoform add-on stacks", "sha256")).decode()

    @contextlib.contextmanager
    def _workspace(self, name: str) -> Iterator[Path]:
        """A folder for one change: the CLI writes what secrets are encrypted with beside a Pulumi.yaml."""
        with tempfile.TemporaryDirectory(prefix="stack-") as folder:
            files = Path(folder)
            (files / "Pulumi.yaml").write_text(f"name: {PROJECT}\nruntime: python\n", encoding="utf-8")
            yield files


def _config(files: Path, name: str) -> Path:
    return files / f"Pulumi.{name}.yaml"


def _ids(exported: str) -> set[str]:
    """The engine's ids of what a state has."""
    try:
        deployment = json.loads(exported)["deployment"]
    except (ValueError, KeyError):
        raise UnavailableError("pulumi stack export", "answered no state", "it is tried again") from None
    return {str(each["id"]) for each in deployment.get("resources") or () if each.get("id")}


def _error(what: str, done: Finished) -> UnavailableError:
    lines = [line.strip() for line in done.output.splitlines() if line.strip()]
    errors = [line.partition("error: ")[2] for line in lines if "error: " in line and "update failed" not in line]
    why = errors[0] if errors else (lines[-1] if lines else "it said nothing")
    return UnavailableError(f"pulumi {what}", re.sub(r"//[^:/@\s]*:[^@/\s]+@", "//…@", why)[:500], "it is tried again")


def check_home(home: Path, plugins: Path) -> Path:
    """Pulumi's directory, made with a link to the plugins. Raises ``ConfigurationError`` when those are missing."""
    if not plugins.is_dir():
        raise ConfigurationError(
            str(plugins), "is not there", "run this process from the image that add-ons are made by"
        )
    home.mkdir(parents=True, exist_ok=True)
    link = home / "plugins"
    if not link.is_symlink():
        link.symlink_to(plugins)
    return home
