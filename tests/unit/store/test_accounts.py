"""Passwords, the operator, and who sees which app, on a real PostgreSQL."""

import itertools
import threading
import time
import uuid
from datetime import timedelta

import pytest
from sqlalchemy import select, text, update

from dynoform.domain import permissions
from dynoform.errors import ConfigurationError, ConflictError, InvalidInputError
from dynoform.store import accounts, apps, authorizations
from dynoform.store.passwords import hash_password, verify_password
from dynoform.store.session import Store
from dynoform.store.tables import Account, App, Authorization, Collaborator, Team, TeamMember, now

PASSWORD = "correct horse battery"


def test_a_password_is_stored_as_a_hash_with_its_parameters() -> None:
    stored = hash_password(PASSWORD)
    assert stored.startswith("scrypt$16384$8$5$")
    assert PASSWORD not in stored
    assert stored != hash_password(PASSWORD)
    assert verify_password(PASSWORD, stored)
    assert not verify_password(PASSWORD + "!", stored)
    cheaper = "scrypt$16$8$1$c2FsdA==$" + "A" * 43 + "="
    assert not verify_password(PASSWORD, cheaper)


def test_an_account_without_a_password_takes_as_long_as_one_with_it() -> None:
    stored = hash_password(PASSWORD)
    took = []
    for given in (stored, None):
        started = time.process_time()
        assert not verify_password("wrong password", given)
        took.append(time.process_time() - started)
    assert took[1] > took[0] / 4


@pytest.mark.parametrize("password", ["short", "x" * 257])
def test_a_password_of_a_wrong_length_is_refused(password: str) -> None:
    with pytest.raises(InvalidInputError, match="Password must have 8 to 256 characters"):
        hash_password(password)
    assert not verify_password(password, hash_password(PASSWORD))


def test_the_operators_address_cannot_be_somebody_elses(store: Store) -> None:
    with store.transaction() as session:
        accounts.ensure_operator(session, "Ann@example.com", "token")
        accounts.find_or_make(session, "bob@example.com")
    with (
        pytest.raises(ConfigurationError, match=r"email bob@example\.com: belongs to another account"),
        store.transaction() as session,
    ):
        accounts.ensure_operator(session, "bob@example.com", "token")


def test_an_authorization_that_is_called_like_the_operators_is_not_it(store: Store) -> None:
    with store.transaction() as session:
        bob = accounts.find_or_make(session, "bob@example.com")
        authorizations.create(session, bob, description=accounts.OPERATOR, scope=None, lifetime=None)
    with store.transaction() as session:
        operator = accounts.ensure_operator(session, "ann@example.com", "token")
        assert operator.email == "ann@example.com"
        assert not session.get_one(Account, bob.id).operator


def test_a_one_time_password_works_once_even_for_two_at_once(store: Store) -> None:
    with store.transaction() as session:
        password = accounts.give_one_time_password(session, accounts.find_or_make(session, "bob@example.com"))
    opened = []

    def sign_in() -> None:
        with store.transaction() as session:
            opened.append(accounts.sign_in(session, "bob@example.com", password))

    threads = [threading.Thread(target=sign_in) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len([account for account in opened if account]) == 1


def test_a_one_time_password_ends(store: Store) -> None:
    with store.transaction() as session:
        password = accounts.give_one_time_password(session, accounts.find_or_make(session, "bob@example.com"))
        session.execute(update(Account).values(one_time_expires_at=now() - timedelta(seconds=1)))
    with store.transaction() as session:
        assert accounts.sign_in(session, "bob@example.com", password) is None


def test_tokens_that_ended_are_forgotten_after_a_month(store: Store) -> None:
    ages = {"kept": None, "ended yesterday": timedelta(days=1), "ended long ago": timedelta(days=31)}
    with store.transaction() as session:
        account = accounts.find_or_make(session, "bob@example.com")
        for name, age in ages.items():
            made, _ = authorizations.create(session, account, description=name, scope=None, lifetime=None)
            made.expires_at = now() - age if age else None
            made, _ = authorizations.create(session, account, description=name, scope=None, lifetime=None)
            made.revoked_at = now() - age if age else None
    assert authorizations.sweep(store) == 2
    with store.transaction() as session:
        left = session.scalars(select(Authorization.description).order_by(Authorization.description)).all()
    assert left == ["ended yesterday"] * 2 + ["kept"] * 2


def test_two_who_make_the_same_account_at_once_make_one(store: Store) -> None:
    with store.transaction() as first:
        accounts.find_or_make(first, "bob@example.com")
        first.flush()
        outcome: list[str] = []

        def second() -> None:
            try:
                with store.transaction() as session:
                    accounts.find_or_make(session, "bob@example.com")
            except ConflictError as error:
                outcome.append(str(error))

        def waits() -> bool:
            with store.transaction() as session:
                return bool(session.scalar(text("SELECT count(*) FROM pg_locks WHERE NOT granted")))

        waiting = threading.Thread(target=second)
        waiting.start()
        while not waits():
            assert waiting.is_alive()
            time.sleep(0.02)
        assert outcome == []
    waiting.join()
    assert outcome == ["account: was made by another call just now — try again"]


def test_the_query_for_visible_apps_says_what_the_rule_says(store: Store) -> None:
    """Every way in which somebody can stand to an app: in SQL, for lists, and in the rule, for one app."""
    roles = (None, "admin", "member", "viewer", "collaborator")
    shares = (None, ["view"], ["deploy", "view"], ["deploy", "manage", "operate", "view"])
    expected: dict[str, frozenset[permissions.Permission]] = {}
    with store.transaction() as session:
        me, other = (accounts.find_or_make(session, f"{name}@example.com") for name in ("me", "other"))
        ways = itertools.product((False, True), (False, True), roles, shares, (False, True))
        for number, (mine, of_team, role, granted, locked) in enumerate(ways):
            app = App(id=uuid.uuid4(), name=f"app-{number}", owner=me if mine else other, stack="s", locked=locked)
            session.add(app)
            if of_team:
                app.team = Team(id=uuid.uuid4(), name=f"team-{number}")
                session.flush()
                if role:
                    session.add(TeamMember(team_id=app.team.id, account_id=me.id, role=role))
            session.flush()
            if granted:
                session.add(Collaborator(app_id=app.id, account_id=me.id, permissions=granted))
            held = permissions.effective(
                owner=mine and not of_team, role=role if of_team else None, granted=granted or (), locked=locked
            )
            if held:
                expected[app.name] = held
    with store.transaction() as session:
        listed = {row[0].name for row in session.execute(apps.visible_to(me))}
        rows = [apps.as_row(me, *row) for row in session.execute(apps.with_permissions(me))]
        names = session.scalars(select(App.name)).all()
        found = {name for name in names if apps.by_reference(session, me, name)}
    assert {row.app.name: row.permissions for row in rows} == expected
    assert len(rows) == len(expected) < len(names) == 160
    assert listed == found == set(expected)
