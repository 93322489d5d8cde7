"""A stack's name, backend, passphrase and configuration file."""

import json
import os
import re
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from dynoform.cli import backend
from dynoform.cli.places import Places
from dynoform.cli.settings import StackSettings
from dynoform.cli.stack import Stack, make_passphrase
from dynoform.errors import DynoformError


@pytest.mark.parametrize("name", ["Local", "1st", "a_b", "", "x" * 21, "../x", "a b"])
def test_name_that_docker_cannot_carry_is_refused(places: Places, name: str) -> None:
    with pytest.raises(DynoformError, match="--stack"):
        Stack.of(name, places, {})


def test_backend_once_given_is_remembered_for_its_owner_alone(places: Places) -> None:
    stack = Stack.of("team", places, {}, "s3://bucket")
    stack.directory.mkdir(parents=True)
    for _ in range(2):
        backend.remember(stack.directory, stack.backend)
    assert Stack.of("team", places, {}).backend == "s3://bucket"
    assert Stack.of("other", places, {}).backend == f"file://{places.state}"
    assert [stat.S_IMODE(file.stat().st_mode) for file in stack.directory.iterdir()] == [0o600]


@pytest.mark.parametrize(
    "url", ["mysql://u:hush@h/d", "/var/state", "state", "https://u:hush@api.example", "postgres:x"]
)
def test_address_that_is_no_backend_is_refused(places: Places, url: str) -> None:
    with pytest.raises(
        DynoformError, match=r"--backend .*: is no backend .* — give a file://, s3:// or postgres://"
    ) as no:
        Stack.of("team", places, {}, url)
    assert "hush" not in str(no.value)


@pytest.mark.parametrize(
    ("url", "text"),
    [
        ("postgres://team:hush@db/x", 'dial "postgres://team:hush@db/x": password hush refused'),
        ("postgres://team:hu%73h@db/x", "postgres://team:hu%73h@db/x: hush"),
        (
            "postgres://db/x?user=team&password=hush&sslmode=disable",
            "cannot open postgres://db/x?user=team&password=hush",
        ),
        ("s3://bucket", "redirected to postgres://other:hush@db"),
        ("postgres://[", "postgres://team:hush@[: no address"),
    ],
)
def test_password_of_the_backend_is_in_no_message(url: str, text: str) -> None:
    shown = backend.masked(text, url)
    assert "hush" not in shown
    assert "hu%73h" not in shown
    assert "…" in shown


def test_password_is_in_no_error_of_pulumi(places: Places, program: Callable[[Path, str], Path]) -> None:
    program(places.pulumi, 'echo "error: cannot reach $PULUMI_BACKEND_URL as hush" >&2; exit 1')
    stack = Stack.of("team", places, {"PATH": os.defpath}, "postgres://team:hush@db/x")
    with pytest.raises(DynoformError) as caught:
        stack.exists()
    assert str(caught.value) == (
        "stack team in postgres://team:…@db/x: cannot reach postgres://team:…@db/x as … "
        "— check the backend, then run it again"
    )


def test_another_backend_is_refused_while_the_old_one_has_resources(stack: Stack) -> None:
    assert stack.state_file
    stack.state_file.parent.mkdir(parents=True)
    stack.state_file.write_text(json.dumps({"checkpoint": {"latest": {"resources": [{}, {}]}}}), encoding="utf-8")
    moved = Stack.of("local", stack.places, stack.environ, "s3://bucket")
    with pytest.raises(DynoformError) as caught:
        moved.check_not_moved()
    assert f"stack local: its state, of 2 resources, is in file://{stack.places.state} — leave --backend" in str(
        caught.value
    )
    stack.state_file.write_text(json.dumps({"checkpoint": {"latest": {}}}), encoding="utf-8")
    moved.check_not_moved()
    stack.check_not_moved()


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
