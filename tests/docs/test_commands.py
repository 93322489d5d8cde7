"""Documents say what the command does: recorded help texts, and a README whose commands exist."""

import re
import shlex

import pytest

from dynoform.cli import ports
from dynoform.cli.__main__ import COMMANDS, VARIABLES, parser
from dynoform.cli.commands import completion
from dynoform.cli.places import CHECKOUT

HELP = CHECKOUT / "tests" / "docs" / "help"
README = (CHECKOUT / "README.md").read_text(encoding="utf-8")


def help_text(command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> str:
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setenv("NO_COLOR", "1")
    with pytest.raises(SystemExit) as ended:
        parser().parse_args([*command.split(), "--help"])
    assert ended.value.code == 0
    return capsys.readouterr().out


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_help_is_as_recorded(
    command: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    request: pytest.FixtureRequest,
) -> None:
    text = help_text(command, monkeypatch, capsys)
    file = HELP / f"{command or 'dynoform'}.txt"
    if request.config.getoption("--record"):
        file.write_text(text, encoding="utf-8")
    assert file.read_text(encoding="utf-8") == text, "run pytest --record tests/docs if the change is meant"


def test_readme_names_every_command() -> None:
    assert [name for name in COMMANDS if f"bin/dynoform {name}" not in README] == []


def test_readme_names_only_commands_and_options_that_are_there() -> None:
    known = completion.grammar()
    for line in re.findall(r"bin/dynoform ([a-z][^`)\n|]*)", README):
        words = shlex.split(line.partition("#")[0])
        assert words[0] in known, line
        options = [word for word in words[1:] if word.startswith("--")]
        assert set(options) <= {*known[words[0]], "--help"}, line


def test_every_variable_of_the_command_is_documented() -> None:
    """All but those of the shell that `env` prints, and the tests' own."""
    sources = [CHECKOUT / "bin" / "dynoform", *(CHECKOUT / "dynoform" / "cli").rglob("*.py")]
    read = {name for path in sources for name in re.findall(r"\bDYNOFORM_[A-Z_]+", path.read_text(encoding="utf-8"))}
    read -= {"DYNOFORM_CA", "DYNOFORM_STACK", *(name for names in ports.ON_THE_HOST.values() for name in names)}
    read = {name for name in read if not name.startswith("DYNOFORM_TEST_")}
    assert {name for name in read if name not in README or name not in VARIABLES} == set()


def test_readme_is_short() -> None:
    assert len(README.splitlines()) < 150


def test_links_of_the_readme_lead_somewhere() -> None:
    targets = [found for found in re.findall(r"\]\(([^)#]+)", README) if "://" not in found]
    assert [target for target in targets if not (CHECKOUT / target).exists()] == []
