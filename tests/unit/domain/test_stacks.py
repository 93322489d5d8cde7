"""Stacks that there are, and what apps on old ones are told."""

import pytest

from dynoform.domain import stacks
from dynoform.errors import InvalidInputError


def test_apps_on_an_old_stack_are_told_which_to_take() -> None:
    assert stacks.notice("dynoform-13", ()) == ""
    assert stacks.notice("dynoform-13", ("container",)) == ""
    assert stacks.notice("dynoform-13", ("dynoform-13",)) == (
        " !     This app is on the stack dynoform-13, which is old: it will be without security updates one day.\n"
        " !     Change it with heroku stack:set container, then push again.\n"
    )
    assert "Change it with heroku stack:set, when there is a newer one," in stacks.notice("dynoform-13", stacks.ALL)


def test_a_list_names_stacks_that_there_are() -> None:
    assert stacks.read("") == ()
    assert stacks.read("dynoform-13, container") == ("dynoform-13", "container")
    with pytest.raises(InvalidInputError) as refused:
        stacks.read("heroku-20")
    expected = "Couldn't find that stack (heroku-20). Available stacks are: container, dynoform-13."
    assert str(refused.value) == expected
