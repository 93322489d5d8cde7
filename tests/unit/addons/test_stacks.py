"""Add-ons' stacks by the real Pulumi CLI, its state in a real PostgreSQL; there is no engine, and no need of one."""

import base64
import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from dynoform.addons.stacks import Stacks, check_home
from dynoform.cli.places import CHECKOUT
from dynoform.cli.tools.plugins import write_wrapper
from dynoform.configuration import Configuration
from dynoform.errors import ConfigurationError, UnavailableError
from tests.store_fixtures import configuration, migrated, store

__all__ = ["configuration", "migrated", "store"]
pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
CLI = CHECKOUT / ".venv" / "bin" / "pulumi"
NAME = "0a1b2c3d-0000-4000-8000-000000000001"
PROGRAM = """
import json, os, pathlib, time
import pulumi
from components.credentials import Password, PasswordArgs
told = json.loads(os.environ["DYNOFORM_INSTANCE"])
one = Password("one", PasswordArgs(keepers={"key": pulumi.Output.secret(told["authority"])}))
if told.get("pid"):
    pathlib.Path(told["pid"]).write_text(str(os.getppid()))
    time.sleep(60)
if told.get("wrong"):
    raise pulumi.RunError("the port is taken")
Password("two", PasswordArgs())
"""


class NoEngine:
    """Remembers which ids it was told of."""

    def __init__(self) -> None:
        self.known: list[set[str]] = []

    def remove_unknown(self, addon: str, known: set[str]) -> None:
        assert addon == NAME
        self.known.append(known)


@pytest.fixture
def engine() -> NoEngine:
    return NoEngine()


@pytest.fixture
def stacks(
    configuration: Configuration, engine: NoEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Stacks]:
    """Stacks of a small program with the plugins of this checkout."""
    if not CLI.exists():
        pytest.fail("no Pulumi CLI in the virtualenv — run bin/dynoform test, which brings it")
    binaries, plugins, program = tmp_path / "bin", tmp_path / "plugins", tmp_path / "program"
    for folder in (binaries, plugins, program):
        folder.mkdir()
    (binaries / "pulumi").hardlink_to(CLI.resolve())
    write_wrapper(
        binaries / "pulumi-language-python", CHECKOUT / "providers" / "python_language" / "pulumi-language-python"
    )
    write_wrapper(plugins / "resource-docker-v5.2.0" / "pulumi-resource-docker", Path("/bin/false"))
    provider = {"name": "dynoform", "path": str(CHECKOUT / "providers" / "dynoform")}
    project = {"name": "addons", "runtime": "python", "plugins": {"providers": [provider]}}
    (program / "Pulumi.yaml").write_text(json.dumps(project), encoding="utf-8")
    (program / "__main__.py").write_text(PROGRAM, encoding="utf-8")
    monkeypatch.setenv("PATH", f"{binaries}{os.pathsep}{os.environ['PATH']}")
    yield Stacks(configuration, engine, check_home(tmp_path / "home", plugins), program)  # type: ignore[arg-type]


def state(configuration: Configuration) -> dict[str, str]:
    """Key → text of what Pulumi keeps in the store."""
    url = configuration.database_url.replace("postgresql+psycopg", "postgresql")
    with psycopg.connect(url) as connection:
        rows = connection.execute("SELECT key, data ->> 'data' FROM addon_stacks").fetchall()
    return {key: base64.b64decode(text).decode() for key, text in rows}


def test_a_stack_is_made_changed_and_taken_away(stacks: Stacks, configuration: Configuration) -> None:
    stacks.up(NAME, {"authority": "sesame"}, again=False)
    (checkpoint,) = [text for key, text in state(configuration).items() if key.endswith(f"{NAME}.json")]
    assert "dynoform:index:Password" in checkpoint
    assert "sesame" not in checkpoint, "secrets are encrypted"
    # Another container begins without the file that the salt was written to.
    stacks.up(NAME, {"authority": "open"}, again=False)
    with pytest.raises(UnavailableError, match=r"^pulumi up: the port is taken — it is tried again$"):
        stacks.up(NAME, {"authority": "open", "wrong": True}, again=False)
    stacks.destroy(NAME, {"authority": "open"}, again=False)
    assert [key for key in state(configuration) if NAME in key and "/stacks/" in key and key.endswith(".json")] == []
    stacks.destroy(NAME, {"authority": "open"}, again=True)


def test_a_kill_in_the_middle_leaves_a_lock_that_the_next_try_takes_away(
    stacks: Stacks, configuration: Configuration, engine: NoEngine, tmp_path: Path
) -> None:
    pid = tmp_path / "pid"
    failed: list[Exception] = []

    def first() -> None:
        try:
            stacks.up(NAME, {"authority": "sesame", "pid": str(pid)}, again=False)
        except UnavailableError as error:
            failed.append(error)

    thread = threading.Thread(target=first)
    thread.start()
    deadline = time.monotonic() + 60
    while not (pid.exists() and pid.read_text()):
        assert time.monotonic() < deadline, failed
        time.sleep(0.1)
    (killed,) = [each for each in running("pulumi") if NAME in each[1] and " up " in each[1]]
    os.kill(killed[0], signal.SIGKILL)
    thread.join(120)
    assert len(failed) == 1
    assert [key for key in state(configuration) if "/locks/" in key]
    # The next one does not know that there was another before it.
    stacks.up(NAME, {"authority": "sesame"}, again=False)
    assert engine.known, "what was made without being written down is looked for"
    assert not [key for key in state(configuration) if "/locks/" in key]
    stacks.destroy(NAME, {"authority": "sesame"}, again=False)


def test_a_kill_while_a_stack_begins_is_no_lock_for_ever(stacks: Stacks, configuration: Configuration) -> None:
    """The CLI finds no such stack to cancel, and makes none while it is locked."""
    stacks.destroy(NAME, {"authority": "sesame"}, again=False)  # the table is there now, and the stack is not
    lock = {"pid": 1, "username": "root", "hostname": "gone", "timestamp": "2026-11-26T14:00:00Z"}
    url = configuration.database_url.replace("postgresql+psycopg", "postgresql")
    with psycopg.connect(url) as connection:
        key = f"dynoform/.pulumi/locks/organization/addons/{NAME}/{NAME}.json"
        kept = json.dumps({"data": base64.b64encode(json.dumps(lock).encode()).decode()})
        connection.execute("INSERT INTO addon_stacks (key, data) VALUES (%s, %s)", [key, kept])
    stacks.up(NAME, {"authority": "sesame"}, again=False)
    assert not [key for key in state(configuration) if "/locks/" in key]
    stacks.destroy(NAME, {"authority": "sesame"}, again=False)


def running(name: str) -> list[tuple[int, str]]:
    """Id and words of each process of this name."""
    done = subprocess.run(["ps", "-ww", "-C", name, "-o", "pid=,args="], capture_output=True, text=True)
    return [(int(line.split()[0]), line) for line in done.stdout.splitlines()]


def test_a_process_without_plugins_says_where_it_belongs(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="run this process from the image that add-ons are made by"):
        check_home(tmp_path / "home", tmp_path / "none")
