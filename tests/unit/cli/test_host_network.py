"""What the host has of a stack is read from what the role left there, whatever the settings say now."""

from pathlib import Path

import pytest

from dynoform.cli import host_network
from dynoform.cli.console import Console
from dynoform.cli.places import Places
from dynoform.errors import DynoformError
from tests.unit.cli.test_plugins import Write

SCRIPT = "table=dynoform_local\nbridges='dyn-local=172.29.64.1/22 plt-local=172.29.68.1/24'\n"


@pytest.fixture(autouse=True)
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(host_network, "FOLDERS", tmp_path / "etc")
    monkeypatch.setattr(host_network, "TRUST", tmp_path / "trust")
    (tmp_path / "etc" / "local").mkdir(parents=True)
    return tmp_path


def test_subnets_and_port_are_those_that_were_made(folders: Path) -> None:
    (folders / "etc" / "local" / "host-network").write_text(SCRIPT, encoding="utf-8")
    (folders / "trust" / "172.29.68.1:7400").mkdir(parents=True)
    found = host_network.variables("local")
    assert (found["dyno_runtime_dyno_subnet"], found["dyno_runtime_platform_subnet"]) == (
        "172.29.64.0/22",
        "172.29.68.0/24",
    )
    assert (found["registry_trust_address"], found["registry_trust_port"]) == ("172.29.68.1", 7400)


def test_half_of_it_is_enough_to_remove_the_rest(folders: Path) -> None:
    assert host_network.is_left("local")
    assert not host_network.is_left("other")
    assert "dyno_runtime_dyno_subnet" not in host_network.variables("local")


def test_task_that_fails_is_named_with_the_next_step(places: Places, console: Console, program: Write) -> None:
    event = '{"event": "failed", "host": "localhost", "task": "Remove it", "message": "in use"}'
    program(places.venv / "bin" / "ansible-playbook", f"echo '{event}'; exit 2")
    with pytest.raises(DynoformError) as caught:
        host_network.remove(places, "local", console)
    assert str(caught.value) == (
        "host of stack local: Remove it: in use — mend that, then run bin/dynoform down --purge --stack local"
    )
