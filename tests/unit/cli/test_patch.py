"""``patch``: what it writes into a stack's settings, and what it says."""

import json
from pathlib import Path

import pytest

from dynoform.cli import settings, stack_images
from dynoform.cli.commands import patch
from dynoform.cli.commands.patch import Found
from dynoform.cli.stack_images import BUILD, RUN, Deployed
from dynoform.domain.stack_updates import Update
from dynoform.errors import DynoformError, InvalidInputError

SSL = Update("libssl3t64", "openssl", "3.5.1-1", "3.5.4-1", "trixie-security", security=True)
GCC = Update("gcc-14", "gcc-14", "14.2-1", "14.2-2", "trixie", security=False)
NOTHING = {"slugs": 0, "dynos": 0, "names": []}


def deployed(noun: str, *packages: tuple[str, str]) -> Deployed:
    components = [{"name": name, "version": version, "purl": f"pkg:deb/debian/{name}"} for name, version in packages]
    bill = json.dumps({"bomFormat": "CycloneDX", "components": components})
    return Deployed(noun, f"dynoform/{noun}:1", "sha256:1", bill)


IMAGES = {RUN: deployed(RUN, ("libssl3t64", "3.5.1-1")), BUILD: deployed(BUILD, ("gcc-14", "14.2-1"))}


def found(run: list[Update], build: list[Update], waiting: dict[str, object] = NOTHING) -> Found:
    return Found("local", IMAGES, {RUN: run, BUILD: build}, 3, waiting)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "Pulumi.mine.yaml"
    path.write_text("# Mine.\nconfig:\n  dynoform:httpPort: 18080 # taken\n  dynoform:apps: {}\n", encoding="utf-8")
    return path


def test_settings_are_written_where_the_stacks_own_are_and_nothing_else_changes(file: Path) -> None:
    wanted = stack_images.settings({RUN: [SSL], BUILD: []})
    assert list(wanted) == ["runImageUpdates"]
    settings.put(file, wanted)
    value = wanted["runImageUpdates"]
    expected = f'# Mine.\nconfig:\n  dynoform:runImageUpdates: "{value}"\n  dynoform:httpPort: 18080 # taken\n'
    assert file.read_text(encoding="utf-8") == f"{expected}  dynoform:apps: {{}}\n"
    settings.put(file, {"runImageUpdates": "012345678901"})  # all digits, and still text
    assert settings.load(Path(__file__).parents[3], "mine", file).text("runImageUpdates") == "012345678901"
    assert [path.name for path in file.parent.iterdir()] == [file.name]


def test_settings_are_written_into_a_file_without_any(tmp_path: Path) -> None:
    file = tmp_path / "Pulumi.mine.yaml"
    file.write_text("# nothing\n", encoding="utf-8")
    settings.put(file, {"buildImageUpdates": "0123456789ab"})
    assert file.read_text(encoding="utf-8") == '# nothing\nconfig:\n  dynoform:buildImageUpdates: "0123456789ab"\n'


def test_settings_that_are_written_in_another_way_are_left_to_their_owner(tmp_path: Path) -> None:
    file = tmp_path / "Pulumi.mine.yaml"
    file.write_text("config: {'dynoform:httpPort': 18080}\n", encoding="utf-8")
    with pytest.raises(InvalidInputError) as refused:
        settings.put(file, {"runImageUpdates": "0123456789ab"})
    assert str(refused.value) == (
        f"{file}: cannot be changed here without changing more — write into it: dynoform:runImageUpdates: 0123456789ab"
    )
    assert file.read_text(encoding="utf-8") == "config: {'dynoform:httpPort': 18080}\n"
    assert [path.name for path in tmp_path.iterdir()] == [file.name]


def test_a_fingerprint_that_patch_did_not_write_is_told_before_anything_runs(file: Path) -> None:
    settings.put(file, {"runImageUpdates": "all"})
    with pytest.raises(InvalidInputError, match="runImageUpdates: 'all' was not written by bin/dynoform patch"):
        settings.load(Path(__file__).parents[3], "mine", file)


def test_a_preview_says_what_would_change() -> None:
    image = f"dynoform-13 (image {IMAGES[RUN].version})"
    assert patch.preview(found([SSL], [GCC])).splitlines() == [
        f"{image}: 1 package, 1 of them from Debian's security archive would be updated",
        "PACKAGE     VERSION  UPDATE   FROM",
        "libssl3t64  3.5.1-1  3.5.4-1  trixie-security",
        "only for builds: 1 package would be updated",
        "3 apps would get them: dynos are replaced, nothing is built, no new release",
    ]
    assert patch.preview(found([], [])) == f"{image}: no updates"
    waiting = {"slugs": 1, "dynos": 2, "names": ["shop"]}
    assert (
        patch.preview(found([], [], waiting)) == f"{image}: no updates\nnot on that image yet: 1 slug and 2 dynos to go"
    )


def test_closing_words_say_what_was_done() -> None:
    where = f"3 apps on dynoform-13, image {IMAGES[RUN].version}"
    assert patch.closing_words(found([SSL], [GCC]), changed=True, moved=True) == (
        f"updated (2 packages, 1 of them from Debian's security archive): {where}"
    )
    assert patch.closing_words(found([], []), changed=False, moved=True) == f"updated (what was begun before): {where}"
    assert patch.closing_words(found([], []), changed=False, moved=False) == f"no updates: {where}"


def test_json_has_what_was_found() -> None:
    shown = found([SSL], []).as_json()
    assert (shown["stack"], shown["stack_image"], shown["apps"]) == ("local", IMAGES[RUN].version, 3)
    assert shown["updates"] == [SSL.as_json()]
    assert json.dumps(shown)


def test_an_image_that_still_lacks_an_update_is_told() -> None:
    stack_images.check({RUN: [SSL]}, {RUN: deployed(RUN, ("libssl3t64", "3.5.4-1"))})
    with pytest.raises(DynoformError) as refused:
        stack_images.check({RUN: [SSL]}, IMAGES)
    assert str(refused.value) == (
        "image dynoform/stack-13:1: still has libssl3t64 3.5.1-1, not 3.5.4-1 — look at the build's log in the engine, "
        "then run the same command again"
    )
