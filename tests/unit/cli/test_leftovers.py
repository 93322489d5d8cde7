"""A purge that had no engine is finished by the next command that has one."""

import io

import pytest

from dynoform.cli import leftovers
from dynoform.cli.console import Console
from dynoform.cli.places import Places
from dynoform.cli.stack import Stack
from dynoform.errors import DynoformError
from tests.unit.cli.test_plugins import Write


@pytest.fixture(autouse=True)
def without_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere/docker.sock")


def test_nothing_is_finished_that_was_not_begun(stack: Stack, console: Console, said: io.StringIO) -> None:
    leftovers.finish_purge(stack, console)
    assert said.getvalue() == ""


def test_engine_is_brought_first_and_a_purge_without_one_stays_to_be_finished(
    stack: Stack, places: Places, console: Console, program: Write
) -> None:
    program(places.venv / "bin" / "ansible-playbook", f'printf "%s\\n" "$@" >{places.data}/asked')
    leftovers.note(stack)
    with pytest.raises(DynoformError) as caught:
        leftovers.finish_purge(stack, console)
    assert str(caught.value) == (
        "purge of stack local: the Docker engine does not answer — start it (service docker start), "
        "then run bin/dynoform down --purge --stack local"
    )
    assert "playbooks/host.yml" in (places.data / "asked").read_text(encoding="utf-8")
    assert leftovers.is_noted(stack)
