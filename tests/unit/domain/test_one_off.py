import pytest

from dynoform.domain import dyno_sizes, one_off
from dynoform.errors import InvalidInputError

TYPES = {"web": "gunicorn app", "rake": "bundle exec rake"}


@pytest.mark.parametrize(
    ("command", "runs"),
    [
        ("rake db:migrate", "bundle exec rake db:migrate"),
        ("rake", "bundle exec rake"),
        ("rake ; echo x", "bundle exec rake ; echo x"),
        ("rakes", "rakes"),
        ("echo rake", "echo rake"),
        ("rake; echo", "rake; echo"),
        ("", ""),
    ],
)
def test_a_process_type_stands_for_its_command(command: str, runs: str) -> None:
    assert one_off.expand(command, TYPES) == runs


@pytest.mark.parametrize("command", ["", " \n"])
def test_a_command_cannot_be_blank(command: str) -> None:
    with pytest.raises(InvalidInputError, match="Command can't be blank"):
        one_off.check_command(command)


@pytest.mark.parametrize("command", ["a\0", "\ud800", "a" * 20_000])
def test_a_command_is_text_of_a_limited_length(command: str) -> None:
    with pytest.raises(InvalidInputError, match="Command must be text of up to 16384 characters, without NUL"):
        one_off.check_command(command)


def test_a_terminals_size_may_be_a_number_or_text() -> None:
    assert one_off.check_environment({"COLUMNS": 80, "LINES": "24"}) == {"COLUMNS": "80", "LINES": "24"}
    assert one_off.terminal({"COLUMNS": "80", "LINES": "24"}) == (24, 80)
    for wrong in ({}, {"COLUMNS": "80"}, {"COLUMNS": "x", "LINES": "1"}, {"COLUMNS": "0", "LINES": "-5"}):
        assert one_off.terminal(wrong) is None


def test_variables_are_limited_as_config_vars_are() -> None:
    for wrong in ({"1A": "x"}, {"A B": "x"}, {"A": "\0"}, {"A": "x" * 70_000}, {f"A{n}": "x" for n in range(101)}):
        with pytest.raises(InvalidInputError):
            one_off.check_environment(wrong)


def test_numbers_are_of_four_digits_and_free() -> None:
    assert one_off.free_number([], 0) == 1000
    assert one_off.free_number(range(1000, 9999), 12345) == 9999
    with pytest.raises(InvalidInputError, match="Cannot run more than 50 Standard-1X size dynos"):
        one_off.check_concurrency(50, "Standard-1X")
    one_off.check_concurrency(49, "Standard-1X")


def test_a_size_has_to_fit_on_a_host() -> None:
    dyno_sizes.check_fits("performance-l", None)
    dyno_sizes.check_fits("performance-l", 16 * 1024**3)
    with pytest.raises(InvalidInputError) as caught:
        dyno_sizes.check_fits("performance-l-ram", 25_278_894_080)
    assert str(caught.value) == (
        "Cannot use dyno size Performance-L-RAM: it needs 30 GB of memory, and the largest host has 23.5 GB. "
        "Use a smaller size, or add a larger host."
    )
