"""A stack's name, backend, passphrase and configuration file."""

import os
import re
import stat
from pathlib import Path

import pytest

from dynoform.cli.places import Places
from dynoform.cli.settings import StackSettings
from dynoform.cli.stack import Stack, make_passphrase
from dynoform.errors import DynoformError


@pytest.mark.parametrize("name", ["Local", "1st", "a_b", "", "x" * 21, "../x", "a b"])
def test_name_that_docker_cannot_carry_is_refused(places: Places, name: str) -> None:
    with pytest.raises(DynoformError, match="--stack"):
        Stack.of(name, places, {})


def test_backend_once_given_is_remembered(places: Places) -> None:
    stack = Stack.of("team", places, {}, "s3://bucket")
    stack.directory.mkdir(parents=True)
    (stack.directory / "backend").write_text(stack.backend, encoding="utf-8")
    assert Stack.of("team", places, {}).backend == "s3://bucket"
    assert Stack.of("other", places, {}).backend == f"file://{places.state}"


def test_passphrase_is_made_once_and_private(places: Places) -> None:
    make_passphrase(places.passphrase)
    first = places.passphrase.read_text(encoding="utf-8")
    make_passphrase(places.passphrase)
    assert places.passphrase.read_text(encoding="utf-8") == first
    assert len(first) >= 32
    assert stat.S_IMODE(places.passphrase.stat().st_mode) == 0o600
    assert [path.name for path in places.data.iterdir()] == ["passphrase"]


def test_passphrase_is_only_ever_named_by_its_file(stack: Stack) -> None:
    make_passphrase(stack.places.passphrase)
    secret = stack.places.passphrase.read_text(encoding="utf-8")
    command = stack.pulumi("up", timeout=1)
    assert secret not in " ".join(command.argv)
    assert secret not in " ".join(command.environment().values())
    assert command.env["PULUMI_CONFIG_PASSPHRASE_FILE"] == str(stack.places.passphrase)


@pytest.mark.parametrize("name", ["PULUMI_CONFIG_PASSPHRASE", "PULUMI_CONFIG_PASSPHRASE_FILE"])
def test_passphrase_of_a_team_is_left_alone(places: Places, name: str) -> None:
    environment = Stack.of("team", places, {name: "theirs"}).environment()
    assert not any("PASSPHRASE" in key for key in environment)


def settings_of(stack: Stack, text: str) -> StackSettings:
    file = stack.places.root / "Pulumi.local.yaml"
    file.write_text(text, encoding="utf-8")
    return StackSettings(file, {})


def test_salt_stays_when_the_configuration_changes(stack: Stack) -> None:
    stack.directory.mkdir(parents=True)
    stack.config_file.write_text("config: {}\nencryptionsalt: v1:abc\n", encoding="utf-8")
    stack.write_config(settings_of(stack, "# mine\nconfig:\n  dynoform:domain: b\n"))
    text = stack.config_file.read_text(encoding="utf-8")
    assert text == "# mine\nconfig:\n  dynoform:domain: b\nencryptionsalt: v1:abc\n"


@pytest.mark.parametrize("line", ["encryptionsalt: v1:own", "secretsprovider: awskms://x"])
def test_encryption_that_the_stack_names_itself_wins(stack: Stack, line: str) -> None:
    stack.directory.mkdir(parents=True)
    stack.config_file.write_text("encryptionsalt: v1:abc\n", encoding="utf-8")
    stack.write_config(settings_of(stack, f"config: {{}}\n{line}\n"))
    assert "v1:abc" not in stack.config_file.read_text(encoding="utf-8")


def test_state_of_a_stack_that_is_not_there_is_empty(stack: Stack) -> None:
    assert not stack.exists()
    assert stack.deployment() == {}
    with pytest.raises(DynoformError, match="stack local: does not exist — bin/dynoform up --stack local"):
        stack.outputs()


def test_data_directory_is_private(tmp_path: Path) -> None:
    places = Places.from_environment({"HOME": str(tmp_path)})
    places.make()
    assert stat.S_IMODE(places.data.stat().st_mode) == 0o700
    assert places.data == tmp_path / ".local" / "share" / "dynoform"
    assert places.cache == tmp_path / ".cache" / "dynoform"


def test_places_follow_the_environment(tmp_path: Path) -> None:
    names = {"DYNOFORM_HOME": "/d", "DYNOFORM_CACHE": "/c", "XDG_DATA_HOME": "/no", "HOME": str(tmp_path)}
    found = Places.from_environment(names)
    assert (found.data, found.cache) == (Path("/d"), Path("/c"))
    assert Places.from_environment({"HOME": "/h", "XDG_CACHE_HOME": "/x"}).cache == Path("/x/dynoform")


def test_pulumi_is_the_virtualenvs(stack: Stack) -> None:
    command = stack.pulumi("version", timeout=1)
    assert command.argv[0] == str(stack.places.pulumi)
    assert command.env["PATH"].split(os.pathsep)[0] == str(stack.places.venv / "bin")
    assert re.search("--non-interactive", " ".join(command.argv))
