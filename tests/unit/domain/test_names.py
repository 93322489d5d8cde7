"""Names: apps, process types and the Procfile, dynos."""

import random
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dynoform.domain import app_names, dyno_names, process_types
from dynoform.errors import InvalidInputError

RULE = "may only have letters, digits, dashes and underscores — rename it"


@pytest.mark.parametrize("name", ["abc", "a1-", "my-app-2", "a" * 30, "a--b"])
def test_an_app_name_is_taken_or_refused_by_its_last_character(name: str) -> None:
    if name.endswith("-"):
        with pytest.raises(InvalidInputError, match="Name must start with a letter, end with a letter or digit"):
            app_names.check(name)
    else:
        assert app_names.check(name) == name


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("ab", "Name is too short (minimum is 3 characters)"),
        ("", "Name is too short (minimum is 3 characters)"),
        ("a" * 31, "Name is too long (maximum is 30 characters)"),
        ("1abc", "Name must start with a letter,"),
        ("aBc", "Name must start with a letter,"),
        ("a_c", "Name must start with a letter,"),
        ("a.c", "Name must start with a letter,"),
        ("äbc", "Name must start with a letter,"),
        ("abc\n", "Name must start with a letter,"),
        ("git", "Name git is already taken"),
    ],
)
def test_a_wrong_app_name_is_refused_in_herokus_words(name: str, message: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        app_names.check(name)
    assert str(caught.value).startswith(message)


def test_every_word_makes_a_name_that_is_allowed() -> None:
    names = {app_names.generate(random.Random(seed)) for seed in range(2000)}  # noqa: S311 - repeatable on purpose
    assert len(names) > 1990
    for name in names:
        assert app_names.check(name) == name
        assert re.fullmatch(r"[a-z]+-[a-z]+-\d{5}", name)


def test_a_procfile_is_read_in_order() -> None:
    text = "\ufeff# comment\r\nworker:   python work.py --queue=a:b  \r\n\r\n  web : gunicorn app:app\n"
    assert list(process_types.parse_procfile(text).items()) == [
        ("worker", "python work.py --queue=a:b"),
        ("web", "gunicorn app:app"),
    ]
    assert process_types.parse_procfile("\n \n#\n") == {}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "web python",
            "Procfile line 1: 'web python' is not 'type: command' — write for instance 'web: python app.py'",
        ),
        ("a: b\n\nweb:", "Procfile line 3: web has no command — write for instance 'web: python app.py'"),
        ("web: a\nweb: b", "Procfile line 2: declares web a second time — remove one of them"),
        (": run", f"Procfile line 1: process type '' {RULE}"),
        (
            "w.b: x",
            f"Procfile line 1: process type 'w.b' {RULE}",
        ),
        ("a" * 31 + ": x", f"Procfile line 1: process type '{'a' * 31}' is longer than 30 characters — shorten it"),
    ],
)
def test_a_wrong_procfile_names_its_line(text: str, message: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        process_types.parse_procfile(text)
    assert str(caught.value) == message


@given(st.text())
def test_any_text_is_a_procfile_or_an_error_in_one_line(text: str) -> None:
    try:
        types = process_types.parse_procfile(text)
    except InvalidInputError as error:
        assert len(str(error).splitlines()) == 1
    else:
        assert all(process_types.check_name(name) and command for name, command in types.items())


def test_dynos_are_named_by_type_and_number() -> None:
    assert dyno_names.name("web", 1) == "web.1"
    assert dyno_names.parse("my_worker-2.17") == ("my_worker-2", 17)
    for wrong in ("web", "web.0", "web.01", "web.x", ".1", "web.1.2", "web.1\n", ""):
        with pytest.raises(InvalidInputError):
            dyno_names.parse(wrong)


def test_missing_numbers_are_the_lowest_free_ones() -> None:
    assert dyno_names.missing(4, [2, 7]) == [1, 3, 4]
    assert dyno_names.missing(0, [1]) == []
