"""The one place that runs other programs: every one has a time limit, and none outlives us unnoticed."""

import ctypes
import os
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from dynoform.errors import DynoformError

PR_SET_PDEATHSIG = 1
TAIL = 40
NAMED_WORDS = 2


@dataclass(frozen=True)
class Command:
    """A program to run, as data.

    Parameters:
        argv: program and words; secrets never.
        timeout: seconds after which it is ended and an error raised.
        cwd: working directory.
        env: variables set on top of ours; an empty value removes one.
        leader: end it politely (SIGINT) when we are killed.
        if_late: what to do when its time is over.
    """

    argv: Sequence[str]
    timeout: float
    cwd: Path | None = None
    env: Mapping[str, str] = field(default_factory=dict)
    leader: bool = False
    if_late: str = "run it again; bin/dynoform doctor tells what hangs"

    @property
    def name(self) -> str:
        """The program and the first words that are no options, for messages: ``pulumi stack ls``."""
        words = [word for word in self.argv[1:] if not word.startswith("-")]
        return " ".join([os.path.basename(self.argv[0]), *words[:NAMED_WORDS]])

    def environment(self) -> dict[str, str]:
        """The whole environment of the process."""
        merged = {**os.environ, **self.env}
        return {name: value for name, value in merged.items() if value or name not in self.env}


@dataclass(frozen=True)
class Finished:
    """How a program ended: exit code (negative for a signal), output."""

    code: int
    stdout: str
    stderr: str = ""

    @property
    def last_words(self) -> str:
        """Its last line that says something, for error messages."""
        lines = [line.strip() for line in (self.stderr or self.stdout).splitlines() if line.strip()]
        return lines[-1] if lines else f"exit code {self.code}, no output"

    def next_step(self, otherwise: str) -> str:
        """What to do about its failure: `otherwise`, unless it ran out of disk."""
        full = "no space left on device" in f"{self.stdout}{self.stderr}".lower()
        return "free disk space, then run the same command again" if full else otherwise


def run(command: Command) -> Finished:
    """Runs to the end with the output kept.

    Raises `DynoformError` when the program is not there or its time is over; a bad exit code is the caller's to judge.
    """
    try:
        done = subprocess.run(  # noqa: S603 argv is built by us
            list(command.argv),
            cwd=command.cwd,
            env=command.environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=command.timeout,
            check=False,
        )
    except OSError as error:
        raise _not_started(command, error) from error
    except subprocess.TimeoutExpired as error:
        raise _too_slow(command) from error
    return Finished(done.returncode, done.stdout, done.stderr)


def stream(
    command: Command,
    on_line: Callable[[str], None],
    on_start: Callable[[int], None] = lambda pid: None,
) -> Finished:
    """Runs to the end; each line of output (standard error mixed in) goes to `on_line` as it comes.

    `on_start` gets the process id. An interrupt from the keyboard reaches the program too: it has the time to end by
    itself, a second one ends it. Raises as `run` does.
    """
    process = _start(command)
    on_start(process.pid)
    late = threading.Event()
    timer = threading.Timer(command.timeout, _end_late, (process, late))
    timer.daemon = True
    timer.start()
    tail: list[str] = []
    try:
        for line in _lines(process):
            tail = [*tail[-TAIL:], line]
            on_line(line)
        code = process.wait()
    finally:
        timer.cancel()
        end(process)
        if process.stdout:
            process.stdout.close()
    if late.is_set():
        raise _too_slow(command)
    return Finished(code, "\n".join(tail))


def end(process: "subprocess.Popen[str]", grace: float = 10) -> None:
    """Ends a process that we started, politely first."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(grace)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _start(command: Command) -> "subprocess.Popen[str]":
    try:
        return subprocess.Popen(  # noqa: S603 argv is built by us
            list(command.argv),
            cwd=command.cwd,
            env=command.environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            preexec_fn=_interrupt_with_parent if command.leader else None,  # one prctl call, takes no locks
        )
    except OSError as error:
        raise _not_started(command, error) from error


_libc = ctypes.CDLL(None, use_errno=True)


def _interrupt_with_parent() -> None:
    """In the child: SIGINT when the parent dies, so that a killed `up` ends its `pulumi` as an interrupted one does."""
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGINT)


def _lines(process: "subprocess.Popen[str]") -> Iterator[str]:
    assert process.stdout is not None  # noqa: S101 we asked for a pipe
    interrupted = False
    while True:
        try:
            line = process.stdout.readline()
        except KeyboardInterrupt:
            if interrupted:
                raise
            interrupted = True
            continue
        if not line:
            break
        yield line.rstrip("\n")
    if interrupted:
        process.wait()
        raise KeyboardInterrupt


def _end_late(process: "subprocess.Popen[str]", late: threading.Event) -> None:
    late.set()
    end(process)


def _not_started(command: Command, error: OSError) -> DynoformError:
    return DynoformError(command.argv[0], f"cannot be started: {error.strerror}", "run bin/dynoform doctor")


def _too_slow(command: Command) -> DynoformError:
    why = f"did not end within {command.timeout:.0f} s"
    return DynoformError(command.name, why, command.if_late)
