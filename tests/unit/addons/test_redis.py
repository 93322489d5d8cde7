"""What the provider of Redis has the server do, word by word; the server itself is in the end-to-end tests."""

import hashlib
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest

from dynoform.addons.databases import Place
from dynoform.addons.provider import RefusedError, Resource
from dynoform.addons.redis import RedisProvider
from dynoform.configuration import Configuration
from dynoform.domain import data_services
from dynoform.store import accounts, databases
from dynoform.store.addon_services import find_plan, register_own
from dynoform.store.addons import create
from dynoform.store.apps import create_app
from dynoform.store.secrets import Vault
from dynoform.store.session import Store
from dynoform.store.tables import DatabaseCredential, now
from tests.local_databases import Made
from tests.store_fixtures import configuration, migrated, store

__all__ = ["configuration", "migrated", "store"]


class Scripted:
    """Keeps what is asked of containers."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def network_id(self, name: str) -> str:
        return name

    def published_ports(self) -> set[int]:
        return set()

    def wait(self, service: str, argv: Sequence[str], user: str) -> None:
        return

    def kill(self, service: str) -> None:
        raise AssertionError("Valkey is not killed")

    def image(self, service: str) -> str:
        return ""

    def run(self, service: str, argv: Sequence[str], stdin: str, user: str) -> str:
        assert (list(argv), user) == (["/opt/dynoform/valkey-admin"], "valkey")
        self.asked.append(stdin)
        if stdin == "INFO\n":
            return "# Server\r\nvalkey_version:8.1.1\r\nused_memory:1048576\r\nconnected_clients:2\r\nmaxmemory:1\r\n"
        if stdin.startswith("CONFIG GET"):
            return "maxmemory-policy\nnoeviction\ntimeout\n300\nnotify-keyspace-events\n\n"
        return "OK\n"


@pytest.fixture
def scripted() -> Scripted:
    return Scripted()


@pytest.fixture
def provider(configuration: Configuration, store: Store, scripted: Scripted) -> RedisProvider:
    for name in ("ca.crt", "ca.key"):
        (configuration.secrets / name).write_text("of the tests")
    vault = Vault(configuration.secret("encryption_key"))
    return RedisProvider(Place(configuration, store, vault, scripted, Made()))


@pytest.fixture
def wanted(configuration: Configuration, store: Store) -> Resource:
    """An add-on as the worker has it."""
    vault = Vault(configuration.secret("encryption_key"))
    with store.transaction() as session:
        register_own(session, vault)
        account = accounts.ensure_operator(session, "ann@example.com", "key")
        app, _ = create_app(session, vault, account, "myapp", "dynoform-13")
        plan = find_plan(session, "heroku-redis:mini")
        assert plan is not None
        addon, change = create(session, vault, app, plan, account)
        return Resource(
            addon.id, addon.name, "heroku-redis", "mini", "dynoform::local", "", app.id, change_id=change.id
        )


def digest(password: str) -> str:
    return f"#{hashlib.sha256(password.encode()).hexdigest()}"


def ask(provider: RedisProvider, wanted: Resource, operation: str, **details: Any) -> Any:
    return provider.operate(wanted, operation, details)


def test_users_are_made_by_digests_and_settings_written_down(
    provider: RedisProvider, wanted: Resource, scripted: Scripted
) -> None:
    url = (provider.provision(wanted).config or {})["REDIS_URL"]
    password = url.split(":")[2].partition("@")[0]
    assert scripted.asked == [f"ACL SETUSER default reset on {digest(password)} ~* &* +@all -@admin\nACL SAVE\n"]
    assert ask(provider, wanted, data_services.CONFIGURE, timeout="120").result["timeout"] == "300"
    assert scripted.asked[1] == 'CONFIG SET timeout "120"\nCONFIG REWRITE\n'


def test_a_rotation_has_two_passwords_until_the_old_one_ends(
    provider: RedisProvider, wanted: Resource, scripted: Scripted, store: Store
) -> None:
    old, new = (
        str((answer.config or {})["REDIS_URL"]).split(":")[2].partition("@")[0]
        for answer in (provider.provision(wanted), ask(provider, wanted, data_services.ROTATE))
    )
    assert new != old
    assert scripted.asked[-1].startswith(f"ACL SETUSER default reset on {digest(old)} {digest(new)} ~*")
    with store.transaction() as session:
        for each in databases.all_credentials(session, wanted.uuid):
            if each.ends_at is not None:
                each.ends_at = now() - timedelta(seconds=1)
    ask(provider, wanted, data_services.MAINTAIN)
    assert scripted.asked[-1].startswith(f"ACL SETUSER default reset on {digest(new)} ~*")
    with store.transaction() as session:
        assert session.query(DatabaseCredential).count() == 1


def test_what_is_found_out_is_what_it_says_of_itself(
    provider: RedisProvider, wanted: Resource, scripted: Scripted
) -> None:
    provider.provision(wanted)
    assert ask(provider, wanted, data_services.INSPECT).result == {
        "valkey_version": "8.1.1", "used_memory": "1048576", "connected_clients": "1", "maxmemory": "1",
        "maxmemory-policy": "noeviction", "timeout": "300", "notify-keyspace-events": "",
    }  # fmt: skip


def test_what_only_postgres_can_do_is_refused(provider: RedisProvider, wanted: Resource) -> None:
    with pytest.raises(RefusedError, match="heroku-redis cannot do reset"):
        ask(provider, wanted, data_services.RESET)
