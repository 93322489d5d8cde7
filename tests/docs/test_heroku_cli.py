"""The table of the CLI's commands says what the tests prove, and nothing else."""

import pytest

from tests.heroku import invocations


def test_the_table_is_current(request: pytest.FixtureRequest) -> None:
    written = invocations.page()
    if request.config.getoption("--record"):
        invocations.PAGE.write_text(written, encoding="utf-8")
    assert invocations.PAGE.read_text(encoding="utf-8") == written, "run pytest --record tests/docs if this is meant"


def test_every_recorded_command_is_listed_once() -> None:
    lines = [line for group in invocations.groups().values() for line in group]
    assert len(lines) == len(set(lines)) == 277


def test_only_recorded_commands_are_covered() -> None:
    known = {line for group in invocations.groups().values() for line in group}
    assert set(invocations.load()) - known == set()


def test_every_missing_command_has_a_reason() -> None:
    proofs, reasons = invocations.load(), invocations.remarks()
    lines = [line for group in invocations.groups().values() for line in group if line not in proofs]
    assert [line for line in lines if not invocations.reason(line, reasons)] == []


@pytest.mark.parametrize(
    ("ran", "same"),
    [
        ("webhooks:info 1-2-3 -a other", True),
        ("webhooks:info -a other 1-2-3", True),
        ("webhooks:info -a other", False),
        ("webhooks:info 1-2-3 -a other --json", False),
        ("webhooks:remove 1-2-3 -a other", False),
    ],
)
def test_a_claim_holds_only_for_a_command_of_the_same_shape(ran: str, same: bool) -> None:
    claimed = ["webhooks:info 00000000-0000-0000-0000-000000000366 -a myapp"]
    if same:
        invocations.check(claimed, [ran])
        return
    with pytest.raises(AssertionError, match="not run"):
        invocations.check(claimed, [ran])


def test_two_claims_of_one_shape_need_two_runs() -> None:
    claimed = ["buildpacks:set https://github.com/x/y -a myapp", "buildpacks:set heroku/python -a myapp"]
    with pytest.raises(AssertionError, match="buildpacks:set"):
        invocations.check(claimed, claimed[:1])
