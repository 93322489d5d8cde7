"""How git is run: never through a shell, with an environment of its own, in a group that ends as a whole."""

import asyncio
import os
import resource
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from dynoform.errors import DynoformError, UnavailableError

CHUNK = 64 * 1024
_MEMORY = 384 * 1024 * 1024
"""Bytes of its own that one git process may have, so that a hostile push cannot take the API's."""
_FILE = 2 * 1024**3
_MAXIMUM_ERROR = 2000
_CONFIG = Path(__file__).with_name("gitconfig")
_HOOK = Path(__file__).with_name("receive.py")


class GitError(DynoformError):
    """A git command failed; the text is what it said."""


class Git:
    """Git with the platform's settings only: neither the system's nor a user's are read."""

    def __init__(self, root: Path) -> None:
        """``root`` is the folder of all repositories; the hooks are written there. Raises ``UnavailableError``."""
        self.root = root
        self._hooks = root / "hooks"
        try:
            self._write_hooks()
        except OSError as error:
            raise UnavailableError(f"folder {root}", f"cannot be written ({error.strerror})", "mount it") from None

    def _write_hooks(self) -> None:
        self._hooks.mkdir(exist_ok=True)
        # Written at each start: the interpreter may be another one after an upgrade.
        fresh = self._hooks / f"pre-receive.{os.getpid()}"
        fresh.write_text(f"#!/bin/sh\nexec '{sys.executable}' -I -S '{_HOOK}'\n")
        fresh.chmod(0o755)
        fresh.replace(self._hooks / "pre-receive")

    def environment(self, more: Mapping[str, str]) -> dict[str, str]:
        """All that a git process knows; nothing of the platform's settings and secrets."""
        return {
            "PATH": os.environ.get("PATH", os.defpath),
            "LANG": "C.UTF-8",
            "HOME": str(self.root),
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_CONFIG_GLOBAL": str(_CONFIG),
            "GIT_ATTR_NOSYSTEM": "1",
            "GIT_CONFIG_COUNT": "1",
            "GIT_CONFIG_KEY_0": "core.hooksPath",
            "GIT_CONFIG_VALUE_0": str(self._hooks),
            "GIT_TERMINAL_PROMPT": "0",
            **more,
        }

    @asynccontextmanager
    async def started(
        self, *arguments: str, more: Mapping[str, str], stdin: int = DEVNULL, files: Sequence[int] = ()
    ) -> AsyncIterator[Process]:
        """A running ``git`` with ``files`` (descriptors) left open for it; killed with its children at the end.

        Raises ``UnavailableError`` when it cannot be started.
        """
        try:
            process = await asyncio.create_subprocess_exec(
                "git",
                *arguments,
                stdin=stdin,
                stdout=PIPE,
                stderr=PIPE,
                env=self.environment(more),
                cwd=self.root,
                pass_fds=files,
                start_new_session=True,
                limit=CHUNK,
            )
        except OSError as error:
            raise UnavailableError("git", f"cannot be started ({error.strerror})", "try again") from None
        try:
            with suppress(ProcessLookupError):
                resource.prlimit(process.pid, resource.RLIMIT_DATA, (_MEMORY, _MEMORY))
                resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (_FILE, _FILE))
            yield process
        finally:
            if process.stdin is not None:
                process.stdin.close()
            if process.returncode is None:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                await process.wait()

    async def run(self, *arguments: str, more: Mapping[str, str], seconds: float = 60) -> bytes:
        """The output of a command that has little to say. Raises ``GitError``, also when the time is over."""
        try:
            async with asyncio.timeout(seconds), self.started(*arguments, more=more) as process:
                out, said = await process.communicate()
        except TimeoutError:
            raise GitError(f"git {arguments[0]}", f"took longer than {seconds:g} s") from None
        if process.returncode:
            raise GitError(f"git {arguments[0]}", last_line(said))
        return out


def last_line(said: bytes) -> str:
    """The line of git's that says what is wrong."""
    lines = said[-_MAXIMUM_ERROR:].decode(errors="replace").strip().splitlines()
    return lines[-1].removeprefix("fatal: ").removeprefix("error: ") if lines else "failed"
