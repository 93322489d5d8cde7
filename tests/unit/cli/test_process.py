"""Programs are run with a time limit and their output is kept or streamed."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from dynoform.cli.process import Command, run, stream
from dynoform.cli.stack import Stack
from dynoform.errors import DynoformError


def python(code: str, timeout: float = 30) -> Command:
    return Command([sys.executable, "-c", code], timeout=timeout)


def test_output_and_code_are_kept() -> None:
    done = run(python("import sys; print('a'); print('b', file=sys.stderr); sys.exit(3)"))
    assert (done.code, done.stdout, done.stderr, done.last_words) == (3, "a\n", "b\n", "b")


def test_empty_value_removes_a_variable() -> None:
    command = Command(["true"], timeout=1, env={"PATH": "", "NEW": "1"})
    assert "PATH" not in command.environment()
    assert command.environment()["NEW"] == "1"


@pytest.mark.parametrize("how", [run, lambda command: stream(command, print)])
def test_missing_program_is_named(how: object) -> None:
    with pytest.raises(DynoformError, match="/nowhere/tool: cannot be started: No such file or directory"):
        how(Command(["/nowhere/tool"], timeout=5))  # type: ignore[operator]


@pytest.mark.parametrize("how", [run, lambda command: stream(command, print)])
def test_program_that_hangs_is_ended(how: object) -> None:
    with pytest.raises(DynoformError, match="did not end within 1 s"):
        how(python("import time; time.sleep(60)", 1))  # type: ignore[operator]


def test_program_that_hangs_is_named_with_its_operation(stack: Stack, program: Callable[[Path, str], Path]) -> None:
    program(stack.places.pulumi, "exec sleep 60")
    with pytest.raises(DynoformError, match=r"^pulumi stack ls: did not end within 1 s — run it again"):
        run(stack.pulumi("stack", "ls", "--json", timeout=1))


def test_full_disk_has_a_next_step_of_its_own() -> None:
    full = run(Command(["cp", "/etc/passwd", "/dev/full"], timeout=60))
    assert full.next_step("check the index") == "free disk space, then run the same command again"
    assert run(Command(["false"], timeout=60)).next_step("check the index") == "check the index"


def test_lines_are_streamed() -> None:
    seen: list[str] = []
    done = stream(python("import sys; print('a'); print('b', file=sys.stderr)"), seen.append)
    assert sorted(seen) == ["a", "b"]
    assert done.code == 0


def test_leader_is_interrupted_when_we_are_killed(tmp_path: Path) -> None:
    child = (
        "import time\ntry: print('ready', flush=True); time.sleep(300)\n"
        f"except KeyboardInterrupt: open({str(tmp_path / 'saved')!r}, 'w').close()"
    )
    code = (
        "import sys\nfrom dynoform.cli.process import Command, stream\n"
        f"stream(Command([sys.executable, '-c', {child!r}], timeout=300, leader=True), "
        "lambda line: print(line, flush=True), lambda pid: print('started', flush=True))"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert parent.stdout
    with parent.stdout:
        assert [parent.stdout.readline() for _ in range(2)] == ["started\n", "ready\n"]
        os.kill(parent.pid, signal.SIGKILL)
        parent.wait()
    until = time.monotonic() + 60
    while not (tmp_path / "saved").exists() and time.monotonic() < until:
        time.sleep(0.05)
    assert (tmp_path / "saved").exists()
