"""Backups of a stack: what is refused before anything is changed, what becomes of the state, which files are left."""

import io
import json
import os
import tracemalloc
from pathlib import Path
from typing import Any

import pytest

from dynoform.cli import contents
from dynoform.cli.archive import Reader, Writer
from dynoform.cli.commands import backup, restore
from dynoform.cli.console import Console
from dynoform.cli.context import Context
from dynoform.cli.places import Places
from dynoform.cli.stack import Stack
from dynoform.errors import ConflictError, DynoformError

PASSPHRASE = "correct horse"
STACK = "urn:pulumi:s::dynoform::pulumi:pulumi:Stack::dynoform-s"
PROVIDER = "urn:pulumi:s::dynoform::pulumi:providers:dynoform::default"


@pytest.fixture
def context(places: Places, console: Console) -> Context:
    places.passphrase.write_text(PASSPHRASE + "\n", encoding="utf-8")
    return Context(places, {"PATH": os.defpath}, console)


def archive(place: Path, *, passphrase: str = PASSPHRASE, **changed: Any) -> Path:
    manifest = {"format": 1, "id": "1", "stack": "local", "made": "2026-11-26T12:00:00+00:00", "schema": "0001"}
    with place.open("wb") as stream:
        writer = Writer(stream, passphrase)
        writer.document("manifest", {**manifest, "volumes": [], **changed})
        writer.piece("configuration", [b"config: {}\n"])
        writer.document("state", {"resources": []})
        writer.piece("store", [os.urandom(100_000)])
        writer.close()
    return place


def refused(context: Context, *words: str) -> str:
    from dynoform.cli.__main__ import parser

    options = parser("restore").parse_args(["restore", *words])
    with pytest.raises(DynoformError) as error:
        restore.run(options, context)
    return str(error.value)


def test_what_is_no_backup_for_this_platform_is_refused_and_changes_nothing(context: Context, tmp_path: Path) -> None:
    place = tmp_path / "a.backup"
    assert refused(context, str(place)) == f"{place}: cannot be read (No such file or directory) — name a backup"
    archive(place, passphrase="another")
    assert "cannot be decrypted with this passphrase — set PULUMI_CONFIG_PASSPHRASE_FILE" in refused(
        context, str(place)
    )
    newer = "was made by a newer version: its store is at {}, this one knows 00"
    for changed in ({"schema": "9999"}, {"format": 2}):
        archive(place, **changed)
        said = refused(context, str(place))
        assert newer.format(changed.get("schema", "0001")) in said and said.endswith("of that version or a later one")
    raw = archive(place).read_bytes()
    for broken in (raw[:-1], raw[: len(raw) // 2], raw[:-30] + bytes([raw[-30] ^ 1]) + raw[-29:]):
        place.write_bytes(broken)
        said = refused(context, str(place))
        assert said == f"{place}: is not whole: it was changed or cut off — use another backup"
    context.places.passphrase.unlink()
    assert "passphrase: cannot be read (No such file or directory) — put the passphrase there that the" in refused(
        context, str(place)
    )
    assert not list(context.places.data.rglob("restored*")) and not context.places.state.exists()


def test_a_stack_that_is_there_is_left_alone(context: Context, tmp_path: Path) -> None:
    place, stack = archive(tmp_path / "a.backup"), context.stack("local")
    assert stack.state_file
    stack.state_file.parent.mkdir(parents=True)
    stack.state_file.write_text(json.dumps({"checkpoint": {"latest": {"resources": [{"urn": "u"}]}}}), encoding="utf-8")
    said = refused(context, str(place))
    assert said == (
        "stack local: is there already, nothing was changed — remove it first: bin/dynoform down --purge --stack local"
    )


def test_a_restore_goes_on_with_the_backup_that_it_was_begun_with(stack: Stack) -> None:
    stack.directory.mkdir(parents=True)
    manifest = {"id": "1", "made": "2026-11-26T12:00:00+00:00"}
    restore._note(stack, manifest, restore.MADE)
    restore._check_empty(stack, manifest)
    with pytest.raises(ConflictError, match=r"is half made from the backup of 2026-11-26T12.*go on with that one, or"):
        restore._check_empty(stack, {**manifest, "id": "2"})


def test_a_file_is_there_whole_or_not_at_all(tmp_path: Path) -> None:
    place = tmp_path / "a.backup"
    with pytest.raises(ValueError, match="engine"), backup._whole(place) as file:
        file.write(b"half")
        raise ValueError("engine")
    assert list(tmp_path.iterdir()) == []
    with backup._whole(place) as file:
        file.write(b"whole")
    assert (place.read_bytes(), place.stat().st_mode & 0o777) == (b"whole", 0o600)
    with pytest.raises(DynoformError, match=r"cannot be written \(No such file or directory\) — .* with --to"):
        backup._whole(tmp_path / "none" / "a").__enter__()


def test_zeros_take_no_more_memory_than_anything_else() -> None:
    stream = io.BytesIO()
    writer = Writer(stream, PASSPHRASE)
    writer.piece("zeros", (bytes(2**20) for _ in range(64)))
    writer.close()
    assert len(stream.getvalue()) < 2**20
    stream.seek(0)
    tracemalloc.start()
    ((name, count),) = [(n, sum(map(len, p))) for n, p in Reader(stream, PASSPHRASE, "a").pieces()]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (name, count) == ("zeros", 64 * 2**20)
    assert peak < 45 * 2**20, "32 of them are the key's"


def test_of_a_state_only_secrets_are_kept_with_what_they_stand_on() -> None:
    parent, secret, service = "urn:parent", "urn:secret", "urn:service"
    resources = [
        {"urn": STACK, "type": "pulumi:pulumi:Stack"},
        {"urn": PROVIDER, "type": "pulumi:providers:dynoform", "id": "1"},
        {"urn": parent, "type": "dynoform:index:ControlPlane", "parent": STACK, "dependencies": [service]},
        {
            "urn": secret,
            "type": "dynoform:index:Password",
            "parent": parent,
            "provider": f"{PROVIDER}::1",
            "dependencies": [service, parent],
            "propertyDependencies": {"keepers": [service], "length": None},
            "deletedWith": service,
        },
        {"urn": secret, "type": "dynoform:index:Password", "delete": True},
        {"urn": service, "type": "docker:index/service:Service", "parent": parent},
    ]
    state = restore.kept({"manifest": {}, "resources": resources, "pending_operations": [{"type": "creating"}]})
    assert [each["urn"] for each in state["resources"]] == [STACK, PROVIDER, parent, secret]
    assert state["resources"][2]["dependencies"] == []
    assert state["resources"][3]["dependencies"] == [parent]
    assert state["resources"][3]["propertyDependencies"] == {"keepers": [], "length": []}
    assert "deletedWith" not in state["resources"][3]
    assert state["pending_operations"] == []


def test_declared_apps_come_back_as_what_they_were() -> None:
    app = {
        "urn": "urn:app",
        "type": "dynoform:index:App",
        "parent": STACK,
        "provider": f"{PROVIDER}::1",
        "dependencies": ["urn:gone", STACK],
        "id": "the-app",
    }
    now = {"resources": [{"urn": STACK, "type": "s"}, {"urn": PROVIDER, "type": "pulumi:providers:d", "id": "2"}]}
    state = restore.with_apps(now, {"resources": [app]})
    assert state["resources"][2] == {**app, "provider": f"{PROVIDER}::2", "dependencies": [STACK]}
    assert restore.with_apps(state, {"resources": [app]}) == state, "again: nothing"
    assert restore.with_apps({"resources": []}, {"resources": [app]}) == {"resources": []}


def test_repositories_are_read_in_the_order_in_which_they_are_whole() -> None:
    addon = {"name": "local_addon-1-backups", "labels": {"dynoform.addon": "1"}}
    index, backups, archived = contents.parts(addon)
    assert index[0] == "./backup/db/backup.info"
    assert "--exclude=./archive" in backups and archived == ("./archive",)
    assert contents.parts({"name": "local_backups", "labels": {}}) == ((".",),)
