from collections.abc import Callable
from pathlib import Path

import pytest

from tests.unit.buildpacks.conftest import Workshop

pytest.importorskip("yaml")
YES = {"detect": "echo Yes", "compile": "true", "release": "printf -- '---\\ndefault_process_types:\\n  web: run\\n'"}
NO = {"detect": "exit 1", "compile": "exit 9", "release": "exit 9"}


def test_the_first_buildpack_that_detects_builds(workshop: Workshop, buildpacks: Callable[..., Path]) -> None:
    answer = workshop.build(buildpacks(no=NO, yes=YES))
    assert answer.code == 0
    assert answer.output == (
        "-----> Building on the dynoform-13 stack\n"
        "-----> Determining which buildpack to use for this app\n"
        "-----> Yes app detected\n"
        "-----> Discovering process types\n"
    )
    assert answer.result == {"buildpacks": ["yes"], "process_types": {"web": "run"}, "procfile": ""}


def test_the_procfile_counts_as_the_buildpacks_leave_it(workshop: Workshop, buildpacks: Callable[..., Path]) -> None:
    workshop.write(Procfile="web: mine\n")
    answer = workshop.build(buildpacks(yes=YES | {"compile": "echo 'worker: theirs' >> $1/Procfile"}))
    assert answer.result["procfile"] == "web: mine\nworker: theirs\n"


def test_an_app_that_none_detects_is_told_which_there_are(workshop: Workshop, buildpacks: Callable[..., Path]) -> None:
    answer = workshop.build(buildpacks(no=NO, neither=NO))
    assert answer.code == 1
    assert " !     No default language could be detected for this app.\n" in answer.output
    assert "none of the buildpacks (no, neither) knows" in answer.output
    assert answer.result == {"failure": "no buildpack detects the app"}


def test_a_compile_gets_folders_and_what_earlier_ones_export(
    workshop: Workshop, buildpacks: Callable[..., Path]
) -> None:
    first = YES | {
        "compile": """echo 'export TOOL=sharp' > "$(dirname "$0")/../export"; echo "$1 $2 $3"; echo oops >&2"""
    }
    second = YES | {"compile": 'echo "tool is $TOOL"'}
    workshop.write(__buildpacks="heroku/first\nsecond\n")
    answer = workshop.build(buildpacks(first=first, second=second))
    folders = " ".join(str(workshop.folder / name) for name in ("app", "cache", "env"))
    assert "-----> Using buildpack: heroku/first\n-----> Yes app detected\n" in answer.output
    assert f"{folders}\noops\ntool is sharp\n" in answer.output
    assert answer.result["buildpacks"] == ["first", "second"]


def test_a_compile_that_fails_ends_the_build(workshop: Workshop, buildpacks: Callable[..., Path]) -> None:
    answer = workshop.build(buildpacks(yes=YES | {"compile": "echo broken; exit 3"}))
    assert (answer.code, answer.result) == (1, {"failure": "failed to compile Yes app"})
    assert answer.output.endswith("broken\n")


@pytest.mark.parametrize("folder", ["cgroups", "cgroups/pids"])
def test_a_build_that_failed_for_want_of_processes_is_told_so(
    workshop: Workshop, buildpacks: Callable[..., Path], folder: str
) -> None:
    counts = workshop.folder / folder
    counts.mkdir(parents=True)
    (counts / "pids.max").write_text("512\n")
    failing = buildpacks(own={"detect": "echo Own", "compile": "exit 1"})
    for times, failure in ((0, "failed to compile Own app"), (7, "the build needed more than 512 processes")):
        (counts / "pids.events").write_text(f"max {times}\n")
        assert workshop.build(failing).result == {"failure": failure}


def test_the_list_that_was_set_for_the_app_comes_before_its_own(
    workshop: Workshop, buildpacks: Callable[..., Path]
) -> None:
    workshop.write(__buildpacks="other\n")
    (workshop.folder / "wanted").write_text("heroku/yes\n")
    answer = workshop.build(buildpacks(yes=YES, other=YES))
    assert answer.result["buildpacks"] == ["yes"]
    (workshop.folder / "wanted").write_text("")
    assert workshop.build(buildpacks(yes=YES, other=YES)).result["buildpacks"] == ["other"]


def test_a_buildpack_may_do_without_a_release(workshop: Workshop, buildpacks: Callable[..., Path]) -> None:
    answer = workshop.build(buildpacks(yes={"detect": "echo Yes", "compile": "true"}))
    assert answer.result == {"buildpacks": ["yes"], "process_types": {}, "procfile": ""}


def test_later_default_process_types_win_and_add_ons_are_named(
    workshop: Workshop, buildpacks: Callable[..., Path]
) -> None:
    other = YES | {"release": "printf 'addons:\\n- heroku-postgresql\\ndefault_process_types: {web: other, x: y}\\n'"}
    workshop.write(__buildpacks="yes\n# a remark\n\nother\n")
    answer = workshop.build(buildpacks(yes=YES, other=other))
    assert answer.result["process_types"] == {"web": "other", "x": "y"}
    assert "other asks for add-ons: heroku-postgresql. Add what is missing: heroku addons:create\n" in answer.output


@pytest.mark.parametrize("text", ["- a", "default_process_types: web", "a: [", "text"])
def test_a_release_that_is_no_mapping_is_refused(
    workshop: Workshop, buildpacks: Callable[..., Path], text: str
) -> None:
    answer = workshop.build(buildpacks(yes=YES | {"release": f"echo '{text}'"}))
    assert answer.result == {"failure": "failed to release Yes app"}
    assert " !     yes: bin/release does not print a YAML mapping with default_process_types\n" in answer.output


def test_a_program_that_is_none_is_named(workshop: Workshop, buildpacks: Callable[..., Path]) -> None:
    folder = buildpacks(yes=YES)
    (folder / "yes/bin/release").write_text("#!/no/such/shell\n")
    answer = workshop.build(folder)
    assert answer.result == {"failure": "a buildpack's program cannot be started"}
    assert "bin/release: cannot be started (No such file or directory)\n" in answer.output


@pytest.mark.parametrize(
    ("listed", "message", "failure"),
    [
        (
            "cobol",
            ".buildpacks: cobol is not a buildpack here: use yes, no, or the URL of one",
            "buildpack cobol is not known",
        ),
        ("no", ".buildpacks: no does not find its files", "buildpack no does not detect the app"),
    ],
)
def test_a_listed_buildpack_that_cannot_build_is_named(
    workshop: Workshop, buildpacks: Callable[..., Path], listed: str, message: str, failure: str
) -> None:
    workshop.write(__buildpacks=f"{listed}\n")
    answer = workshop.build(buildpacks(yes=YES, no=NO))
    assert message in answer.output
    assert answer.result == {"failure": failure}
