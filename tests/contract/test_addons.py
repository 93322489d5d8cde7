"""Add-ons: provisioned by a real provider over HTTP, whatever it and the worker go through."""

import os
import subprocess
import sys
import threading
import time
from datetime import timedelta

import httpx
import pytest
from sqlalchemy import func, select, update

from dynoform.addons import queue
from dynoform.addons.partner import PartnerProvider
from dynoform.addons.provider import Answer
from dynoform.addons.worker import Worker
from dynoform.api import addons as api_addons
from dynoform.api.services import Services
from dynoform.configuration import Configuration
from dynoform.domain import addons
from dynoform.store.session import Store
from dynoform.store.tables import Addon, AddonChange, AddonConfig, now
from tests.contract.addon_fixtures import make_due, patch, provider, worker, working
from tests.contract.addon_provider import ID, ProviderServer
from tests.contract.conftest import versions

__all__ = ["patch", "provider", "worker", "working"]
Patch = pytest.MonkeyPatch
PLAN = {"plan": {"name": "heroku-redis:mini"}, "attachment": {}, "config": {}}
FIELDS = {
    "actions", "addon_service", "app", "billed_price", "billing_entity", "config_vars", "created_at", "id", "name",
    "plan", "provider_id", "provision_message", "state", "updated_at", "web_url",
}  # fmt: skip


pytestmark = pytest.mark.usefixtures("patch")


def create(client: httpx.Client, app: str, **more: object) -> dict[str, object]:
    found: dict[str, object] = client.post(f"/apps/{app}/addons", json=PLAN | more).raise_for_status().json()
    return found


def later(client: httpx.Client, app: str, patch: Patch, **more: object) -> dict[str, object]:
    """Create an add-on without waiting: no worker is there."""
    patch.setattr(api_addons, "_WAIT_SECONDS", 0.0)
    return create(client, app, **more)


def descriptions(client: httpx.Client, app: str) -> list[str]:
    return [release["description"] for release in client.get(f"/apps/{app}/releases").json()]


def test_an_option_whose_name_nobody_could_say_again_is_refused(
    client: httpx.Client, app: str, provider: ProviderServer
) -> None:
    refused = client.post(f"/apps/{app}/addons", json=PLAN | {"config": {"a\0b": "1"}})
    assert (refused.status_code, refused.json()["message"]) == (
        422,
        r"Option 'a\x00b' cannot be: its name has characters that are not printable",
    )
    assert client.get(f"/apps/{app}/addons").json() == []


def test_an_addon_is_provisioned_attached_and_released(
    client: httpx.Client, app: str, provider: ProviderServer, working: Worker, services: Services
) -> None:
    addon = create(client, app, config={"maxmemory_policy": "allkeys-lru", "follow": None, "fast": True})
    assert set(addon) == FIELDS
    assert addon["state"] == "provisioned"
    assert addon["config_vars"] == ["REDIS_TLS_URL", "REDIS_URL"]
    assert addon["provision_message"] == "Your mini is ready"
    assert addon["provider_id"] == addon["id"]
    assert str(addon["name"]).startswith("redis-")
    assert addon["plan"]["name"] == "heroku-redis:mini"  # type: ignore[index]
    assert addon["plan"]["price"] == {"cents": 300, "contract": False, "metered": False, "unit": "month"}  # type: ignore[index]
    assert addon["billing_entity"] == {**addon["app"], "type": "app"}  # type: ignore[dict-item]
    ((method, path, body),) = provider.requests
    assert (method, path) == ("POST", "")
    assert body["uuid"] == addon["id"]
    assert body["name"] == addon["name"]
    assert (body["plan"], body["region"]) == ("mini", "dynoform::local")
    assert body["callback_url"] == f"https://localhost:8443/addons/{addon['id']}"
    assert body["options"] == {"maxmemory_policy": "allkeys-lru", "fast": "true"}
    assert body["oauth_grant"]["type"] == "authorization_code"
    assert body["log_drain_token"].startswith("d.")
    assert provider.accepts == ["application/vnd.heroku-addons+json; version=3"]
    config = client.get(f"/apps/{app}/config-vars").json()
    assert config == {"REDIS_URL": f"redis://{addon['id']}/mini", "REDIS_TLS_URL": f"rediss://{addon['id']}"}
    assert descriptions(client, app)[-1] == f"Attach REDIS (@ref:{addon['name']})"
    said = f"app[api]: Attach REDIS (@ref:{addon['name']}) by user ann@example.com"
    wait_until(lambda: said in services.logs.lines)  # type: ignore[attr-defined] # told once it is done
    for path in (f"/addons/{addon['id']}", f"/addons/{addon['name']}", f"/apps/{app}/addons/{addon['name']}"):
        assert client.get(path).json() == addon
    assert client.get(f"/apps/{app}/addons").json() == client.get("/addons").json() == [addon]
    names = ["REDIS_TLS_URL", "REDIS_URL"]
    assert [each["name"] for each in client.get(f"/addons/{addon['id']}/config").json()] == names
    assert client.get(f"/addons/{addon['id']}/config/credential:none").json() == []


def test_what_a_provider_and_a_user_say_is_encrypted(
    client: httpx.Client, app: str, working: Worker, store: Store, patch: Patch
) -> None:
    addon = create(client, app)
    with store.transaction() as session:
        assert b"redis" not in b"".join(session.scalars(select(AddonConfig.ciphertext)))
        assert session.get_one(Addon, api_addons.uuid.UUID(str(addon["id"]))).options is None


def test_the_second_addon_of_a_service_has_a_color(client: httpx.Client, app: str, working: Worker) -> None:
    create(client, app)
    second = create(client, app)
    third = create(client, app, attachment={"name": "CACHE"}, name="my-cache")
    names = [each["name"] for each in client.get(f"/apps/{app}/addon-attachments").json()]
    assert "REDIS" in names
    assert any(name.startswith("HEROKU_REDIS_") for name in names)
    assert [name.startswith("HEROKU_REDIS_") for name in second["config_vars"]] == [True, True]  # type: ignore[attr-defined]
    assert (third["name"], third["config_vars"]) == ("my-cache", ["CACHE_TLS_URL", "CACHE_URL"])


def test_without_a_worker_the_answer_is_provisioning(
    client: httpx.Client, app: str, worker: Worker, patch: Patch
) -> None:
    addon = later(client, app, patch)
    assert (addon["state"], addon["config_vars"]) == ("provisioning", [])
    assert worker.step() is True
    assert worker.step() is False
    assert client.get(f"/apps/{app}/addons/{addon['name']}").json()["state"] == "provisioned"


@pytest.mark.parametrize(
    ("reply", "message"),
    [
        ((422, {"message": "No more room for you"}), "No more room for you"),
        ((422, b"not json"), "heroku-redis refused the request with status 422"),
        ((302, {}), "heroku-redis refused the request with status 302"),
        (
            (200, {"config": {"PATH": "/evil"}}),
            "Config var PATH is not one of the manifest's: REDIS_URL, REDIS_TLS_URL",
        ),
        ((200, {"log_drain_url": "http://x"}), "Url is invalid: it must start with https://, syslog://, syslog+tls://"),
        (
            (200, {"config": {"REDIS_URL": "x" * 60_000, "REDIS_TLS_URL": "x" * 5_000}}),
            "Config vars are limited to 65536 bytes in total, these would be 65559. Remove or shorten some",
        ),
    ],
)
def test_a_refusal_leaves_nothing_but_its_reason(
    client: httpx.Client, app: str, provider: ProviderServer, working: Worker, reply: object, message: str
) -> None:
    client.patch(f"/apps/{app}/config-vars", json={"A": "x" * 536}).raise_for_status()
    provider.replies.append(reply)  # type: ignore[arg-type]
    answer = client.post(f"/apps/{app}/addons", json=PLAN)
    assert (answer.status_code, answer.json()) == (422, {"id": "invalid_params", "message": message})
    assert client.get("/addons").json() == []
    assert client.get("/addon-attachments").json() == []
    assert not any("Attach" in each for each in descriptions(client, app))
    wait_until(lambda: provider.methods()[-1] == "DELETE")  # in case it made something after all


def wait_until(condition: object, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_who_waits_for_a_failed_one_learns_that_it_is_deprovisioned(
    client: httpx.Client,
    app: str,
    provider: ProviderServer,
    worker: Worker,
    patch: Patch,
    store: Store,
) -> None:
    addon = later(client, app, patch, name="doomed")
    provider.replies.append((422, {"message": "no"}))
    assert worker.step()
    assert worker.step()
    assert client.get(f"/addons/{addon['name']}").json()["state"] == "deprovisioned"
    assert client.patch(f"/apps/{app}/addons/doomed", json={"name": "x1"}).status_code == 404
    again = later(client, app, patch, name="doomed")
    assert client.get("/addons/doomed").json()["id"] == again["id"]
    with store.transaction() as session:
        session.execute(update(Addon).values(state_changed_at=now() - timedelta(days=2)))
    worker.step()
    queue.tidy(store)
    assert client.get(f"/addons/{addon['id']}").status_code == 404


@pytest.mark.parametrize(
    "bad", [(500, {}), (503, b""), (429, {}), (200, b"["), (200, b"[]"), (200, {"config": {"A": 1}})]
)
def test_a_provider_that_fails_is_asked_again_with_the_same_uuid(
    client: httpx.Client, app: str, provider: ProviderServer, worker: Worker, store: Store, bad: object, patch: Patch
) -> None:
    patch.setattr(addons, "_DELAYS", (60,))
    addon = later(client, app, patch)
    provider.replies += [bad, bad]  # type: ignore[list-item]
    assert worker.step()
    assert worker.step() is False, "only after a pause"
    make_due(store)
    assert worker.step()
    make_due(store)
    assert worker.step()
    assert client.get(f"/addons/{addon['id']}").json()["state"] == "provisioned"
    assert {body["uuid"] for _, _, body in provider.requests} == {addon["id"]}
    assert len({body["oauth_grant"]["code"] for _, _, body in provider.requests}) == 3


def test_a_provider_that_never_answers_fails_the_addon_in_the_end(
    client: httpx.Client,
    app: str,
    provider: ProviderServer,
    worker: Worker,
    store: Store,
    patch: Patch,
) -> None:
    addon = later(client, app, patch)
    provider.replies += [(500, {})] * 6
    for _ in range(6):
        make_due(store)
        assert worker.step()
    assert client.get(f"/addons/{addon['id']}").json()["state"] == "deprovisioned"
    with store.transaction() as session:
        failure = session.scalar(select(AddonChange.failure).where(AddonChange.status == "failed"))
    assert failure == "The add-on's provider does not answer. Try again later"
    provider.replies += [(500, {})] * 8
    for _ in range(9):
        make_due(store)
        assert worker.step(), "what may cost money is taken away, however long that takes"
    assert worker.step() is False


def test_a_slow_provider_does_not_hold_the_call_up_for_ever(
    client: httpx.Client,
    app: str,
    provider: ProviderServer,
    worker: Worker,
    store: Store,
    patch: Patch,
) -> None:
    addon = later(client, app, patch)
    released = threading.Event()

    def slowly() -> tuple[int, object]:
        released.wait(60)
        return 200, {}

    provider.replies.append(slowly)  # type: ignore[arg-type]
    impatient = PartnerProvider(seconds=1.0)
    with patch.context() as patched:
        patched.setitem(worker.providers, addons.PARTNER, impatient)  # type: ignore[arg-type]
        started = time.monotonic()
        assert worker.step()
        assert time.monotonic() - started < 30
    released.set()
    impatient.close()
    make_due(store)
    assert worker.step()
    assert client.get(f"/addons/{addon['id']}").json()["state"] == "provisioned"


class KilledError(BaseException):
    """As if the process were gone: nothing of ours catches it."""


@pytest.mark.parametrize("action", ["provision", "change", "deprovision"])
def test_a_worker_killed_after_the_providers_answer_does_it_once(
    client: httpx.Client, app: str, provider: ProviderServer, worker: Worker, store: Store, action: str, patch: Patch
) -> None:
    addon = later(client, app, patch)
    url = f"/apps/{app}/addons/{addon['id']}"
    if action != "provision":
        assert worker.step()
        changed = (
            client.patch(url, json={"plan": "heroku-redis:premium-0"}) if action == "change" else client.delete(url)
        )
        assert changed.status_code == 200

    def killed(*arguments: object) -> None:
        raise KilledError

    with patch.context() as patched:
        patched.setattr(worker, "finish", killed)
        with pytest.raises(KilledError):
            worker.step()
    assert worker.step() is False, "its lease holds"
    make_due(store)
    assert worker.step()
    assert worker.step() is False
    if action == "deprovision":
        assert (client.get(url).status_code, provider.resources) == (404, {})
        return
    found = client.get(url).json()
    plan = "premium-0" if action == "change" else "mini"
    assert (found["state"], found["plan"]["name"]) == ("provisioned", f"heroku-redis:{plan}")
    assert provider.resources == {addon["id"]: plan}
    assert client.get(f"/apps/{app}/config-vars").json()["REDIS_URL"] == f"redis://{addon['id']}/{plan}"
    assert len(versions(store)) == (4 if action == "change" else 3)


def start_worker(configuration: Configuration) -> "subprocess.Popen[bytes]":
    """The worker in a process of its own, as the API's process runs it in a thread."""
    program = (
        "from dynoform.addons.worker import run; from dynoform.configuration import Configuration; "
        "run(Configuration.from_environment())"
    )
    settings = {
        "DYNOFORM_DATABASE": configuration.database,
        "DYNOFORM_SECRETS": str(configuration.secrets),
        "DYNOFORM_PLATFORM_ADDRESS": "127.0.0.1",
    }
    return subprocess.Popen([sys.executable, "-c", program], env={**os.environ, **settings})


def test_a_worker_that_is_killed_while_its_provider_works_is_replaced(
    client: httpx.Client,
    app: str,
    provider: ProviderServer,
    store: Store,
    configuration: Configuration,
    patch: Patch,
) -> None:
    addon = later(client, app, patch)
    asked, answered = threading.Event(), threading.Event()

    def slowly() -> tuple[int, object]:
        asked.set()
        answered.wait(60)
        return provider.work("POST", "", {"uuid": addon["id"], "plan": "mini"})

    provider.replies.append(slowly)  # type: ignore[arg-type]
    process = start_worker(configuration)
    try:
        assert asked.wait(60)
        process.kill()
        process.wait(10)
        answered.set()
        wait_until(lambda: provider.resources)
        assert client.get(f"/addons/{addon['id']}").json()["state"] == "provisioning"
        make_due(store)
        process = start_worker(configuration)
        url = f"/addons/{addon['id']}"
        wait_until(lambda: client.get(url).json()["state"] == "provisioned")
    finally:
        process.kill()
        process.wait(10)
    assert {body["uuid"] for _, _, body in provider.requests} == {addon["id"]}
    assert provider.resources == {addon["id"]: "mini"}
    assert versions(store) == [1, 2, 3]


def test_a_worker_killed_within_its_transaction_leaves_no_half(
    client: httpx.Client, app: str, worker: Worker, store: Store, patch: Patch
) -> None:
    addon = later(client, app, patch)

    def killed(*arguments: object) -> None:
        raise KilledError

    with patch.context() as patched:
        patched.setattr(queue, "close", killed)
        with pytest.raises(KilledError):
            worker.step()
    assert client.get(f"/addons/{addon['id']}").json()["state"] == "provisioning"
    assert versions(store) == [1, 2]
    make_due(store)
    assert worker.step()
    assert versions(store) == [1, 2, 3]


def test_a_worker_that_lost_its_lease_changes_nothing(
    client: httpx.Client, app: str, worker: Worker, store: Store, services: Services, patch: Patch
) -> None:
    later(client, app, patch)
    first = queue.take(store, services.vault, worker.around)
    make_due(store)
    second = queue.take(store, services.vault, worker.around)
    assert first is not None
    assert second is not None
    with pytest.raises(queue.LeaseLostError):
        worker.finish(first, Answer(config={"REDIS_URL": "late"}))
    worker.finish(second, worker.ask(second))
    with pytest.raises(queue.LeaseLostError):
        worker.finish(second, Answer(config={"REDIS_URL": "again"}))
    assert versions(store) == [1, 2, 3]


def test_a_lease_is_renewed_while_a_provider_works(
    client: httpx.Client, app: str, worker: Worker, store: Store, services: Services, patch: Patch
) -> None:
    later(client, app, patch)
    patch.setattr(queue, "RENEW_SECONDS", 0.05)
    claim = queue.take(store, services.vault, worker.around)
    assert claim is not None
    make_due(store)
    with queue.Keeper(store, claim):
        wait_until(lambda: renewed(store))
        assert queue.take(store, services.vault, worker.around) is None


def renewed(store: Store) -> bool:
    with store.transaction() as session:
        return bool(session.scalar(select(AddonChange.lease_expires_at > func.now())))


def test_several_workers_share_the_work_and_do_each_once(
    client: httpx.Client,
    app: str,
    provider: ProviderServer,
    worker: Worker,
    store: Store,
    patch: Patch,
) -> None:
    for _ in range(8):
        later(client, app, patch)

    def work() -> None:
        while worker.step():
            pass

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    while worker.step():
        pass
    assert len(provider.resources) == 8
    assert len(provider.requests) == 8
    assert versions(store) == list(range(1, 11))
    assert len(client.get(f"/apps/{app}/config-vars").json()) == 16


def test_a_plan_is_changed_and_its_config_released(
    client: httpx.Client, app: str, provider: ProviderServer, working: Worker
) -> None:
    addon = create(client, app)
    url = f"/apps/{app}/addons/{addon['name']}"
    changed = client.patch(url, json={"plan": {"name": "heroku-redis:premium-0"}}).raise_for_status().json()
    assert (changed["plan"]["name"], changed["provision_message"]) == (
        "heroku-redis:premium-0",
        "Your premium-0 is ready",
    )
    assert client.get(f"/apps/{app}/config-vars").json()["REDIS_URL"].endswith("/premium-0")
    assert descriptions(client, app)[-1] == f"Change @ref:{addon['name']} to heroku-redis:premium-0"
    assert client.patch(url, json={"plan": "heroku-redis:premium-0"}).json() == changed
    assert provider.methods() == ["POST", "PUT"]
    provider.replies.append((422, {"message": "Too much data for mini"}))
    answer = client.patch(url, json={"plan": "heroku-redis:mini"})
    assert (answer.status_code, answer.json()["message"]) == (422, "Too much data for mini")
    assert client.get(url).json()["plan"]["name"] == "heroku-redis:premium-0"


def test_changes_of_one_addon_come_one_by_one(client: httpx.Client, app: str, worker: Worker, patch: Patch) -> None:
    addon = later(client, app, patch)
    url = f"/apps/{app}/addons/{addon['name']}"
    change = {"plan": "heroku-redis:premium-0"}
    answer = client.patch(url, json=change)
    message = f"{addon['name']} is being changed — try again when that is done"
    assert (answer.status_code, answer.json()) == (409, {"id": "conflict", "message": message})
    assert worker.step()
    assert client.patch(url, json=change).json()["plan"]["name"] == "heroku-redis:mini", "not yet"
    assert client.patch(url, json=change).status_code == 409
    assert client.delete(url).json()["state"] == "deprovisioning"
    assert client.delete(url).status_code == 409
    assert worker.step()
    assert worker.step() is False, "the change was dropped"
    assert client.get(url).status_code == 404


def test_an_addon_is_renamed(client: httpx.Client, app: str, working: Worker) -> None:
    addon = create(client, app)
    create(client, app, name="taken")
    url = f"/apps/{app}/addons/{addon['id']}"
    assert client.patch(url, json={"name": "foo"}).json()["name"] == "foo"
    assert client.get("/addons/foo").json()["id"] == addon["id"]
    answer = client.patch(url, json={"name": "taken"})
    assert (answer.status_code, answer.json()["message"]) == (422, "Name taken is already taken")
    assert client.patch(url, json={"name": "1x"}).status_code == 422


@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        (
            {"plan": "none:mini"},
            404,
            'Couldn\'t find either the add-on service or the add-on plan of "none:mini".',
        ),
        ({"plan": "heroku-redis:huge"}, 404, "Couldn't find either the add-on service or the add-on plan of"),
        ({"plan": {}}, 404, "Couldn't find either the add-on service or the add-on plan of"),
        ({"name": "-x"}, 422, "Name must start with a letter, end with a letter or digit"),
        ({"attachment": {"name": "lower"}}, 422, "Attachment name must start with an uppercase letter"),
        ({"attachment": {"name": "A" * 101}}, 422, "Attachment name must start with an uppercase letter"),
        ({"config": {"a": "x" * 5000}}, 422, "Invalid request. config.a must have at most 4000 characters."),
        ({"plan": 1}, 422, "Invalid request. plan must be a string or an object."),
    ],
)
def test_a_wrong_addon_is_refused(
    client: httpx.Client, app: str, provider: ProviderServer, body: dict[str, object], status: int, message: str
) -> None:
    answer = client.post(f"/apps/{app}/addons", json=PLAN | body)
    assert (answer.status_code, answer.json()["message"][: len(message)]) == (status, message)
    assert client.get("/addons").json() == []


def test_the_default_plan_is_taken_for_a_service(client: httpx.Client, app: str, working: Worker) -> None:
    assert create(client, app, plan="heroku-redis")["plan"]["name"] == "heroku-redis:mini"  # type: ignore[index]


def test_a_service_may_allow_one_addon_per_app(
    client: httpx.Client, app: str, provider: ProviderServer, working: Worker
) -> None:
    manifest = provider.manifest | {"supports_multiple_installations": False}
    client.put(f"/dynoform/addon-services/{ID}", json=manifest).raise_for_status()
    create(client, app)
    answer = client.post(f"/apps/{app}/addons", json=PLAN)
    assert (answer.status_code, answer.json()["message"]) == (422, "heroku-redis may be installed only once per app")


def test_a_destroyed_addon_takes_its_config_vars_along(
    client: httpx.Client, app: str, provider: ProviderServer, working: Worker, services: Services
) -> None:
    addon = create(client, app)
    client.patch(f"/apps/{app}/config-vars", json={"MINE": "1"}).raise_for_status()
    gone = (
        client.request("DELETE", f"/apps/{app}/addons/{addon['name']}", json={"force": False}).raise_for_status().json()
    )
    assert gone["state"] == "deprovisioned"
    assert client.get(f"/apps/{app}/config-vars").json() == {"MINE": "1"}
    assert descriptions(client, app)[-1] == f"Detach REDIS (@ref:{addon['name']})"
    assert provider.requests[-1][:2] == ("DELETE", f"/{addon['id']}")
    assert provider.resources == {}
    answer = client.get(f"/addons/{addon['id']}")
    assert answer.json() == {"id": "not_found", "resource": "add_on", "message": "Couldn't find that add on."}


def test_a_provider_that_has_lost_it_has_destroyed_it(
    client: httpx.Client, app: str, provider: ProviderServer, working: Worker
) -> None:
    addon = create(client, app)
    provider.resources.clear()
    assert client.delete(f"/apps/{app}/addons/{addon['id']}").json()["state"] == "deprovisioned"


def test_destroying_while_it_is_made_makes_and_destroys_it(
    client: httpx.Client,
    app: str,
    provider: ProviderServer,
    worker: Worker,
    store: Store,
    services: Services,
    patch: Patch,
) -> None:
    addon = later(client, app, patch)
    claim = queue.take(store, services.vault, worker.around)
    assert claim is not None
    assert client.delete(f"/apps/{app}/addons/{addon['id']}").json()["state"] == "deprovisioning"
    assert worker.step() is False, "in order"
    worker.finish(claim, worker.ask(claim))
    assert provider.resources
    assert worker.step()
    assert provider.resources == {}
    assert client.get(f"/apps/{app}/config-vars").json() == {}


def test_what_was_never_begun_is_not_begun(
    client: httpx.Client, app: str, provider: ProviderServer, worker: Worker, patch: Patch
) -> None:
    addon = later(client, app, patch)
    client.delete(f"/apps/{app}/addons/{addon['id']}").raise_for_status()
    assert worker.step()
    assert worker.step() is False
    assert provider.methods() == ["DELETE"]


def test_a_deleted_app_has_its_addons_destroyed(
    client: httpx.Client,
    app: str,
    provider: ProviderServer,
    worker: Worker,
    store: Store,
    patch: Patch,
) -> None:
    addon = later(client, app, patch)
    worker.step()
    other = client.post("/apps", json={"name": "other"}).json()["name"]
    client.post("/addon-attachments", json={"addon": addon["name"], "app": other, "name": "SHARED"}).raise_for_status()
    client.delete(f"/apps/{app}").raise_for_status()
    assert client.get("/addons").json() == []
    assert client.get(f"/apps/{other}/config-vars").json() == {}
    assert descriptions(client, other)[-1] == f"Detach SHARED (@ref:{addon['name']})"
    assert worker.step()
    assert provider.resources == {}
    with store.transaction() as session:
        assert session.scalars(select(Addon.id)).all() == []


def test_an_addon_that_lost_its_app_in_a_race_is_destroyed(
    client: httpx.Client,
    app: str,
    provider: ProviderServer,
    worker: Worker,
    store: Store,
    patch: Patch,
) -> None:
    later(client, app, patch)
    worker.step()
    with store.transaction() as session:
        session.execute(update(Addon).values(app_id=None))
    queue.tidy(store)
    assert worker.step()
    assert provider.resources == {}


def test_two_creations_at_once_come_in_order(client: httpx.Client, app: str, working: Worker, store: Store) -> None:
    answers: list[int] = []

    def write() -> None:
        answers.append(client.post(f"/apps/{app}/addons", json=PLAN).status_code)

    threads = [threading.Thread(target=write) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [201] * 4
    assert len({each["name"] for each in client.get(f"/apps/{app}/addon-attachments").json()}) == 4
    assert versions(store) == list(range(1, 7))


def test_strangers_see_and_change_nothing(
    client: httpx.Client, stranger: httpx.Client, app: str, working: Worker
) -> None:
    addon = create(client, app)
    mine = stranger.post("/apps", json={"name": "bobs"}).json()["name"]
    assert stranger.get("/addons").json() == stranger.get("/addon-attachments").json() == []
    for method, path, body in [
        ("GET", f"/addons/{addon['id']}", None),
        ("GET", f"/addons/{addon['name']}/config", None),
        ("GET", f"/addons/{addon['name']}/addon-attachments", None),
        ("GET", f"/apps/{app}/addons", None),
        ("POST", f"/apps/{app}/addons", PLAN),
        ("PATCH", f"/apps/{mine}/addons/{addon['name']}", {"name": "stolen"}),
        ("DELETE", f"/apps/{mine}/addons/{addon['name']}", None),
        ("POST", "/addon-attachments", {"addon": addon["name"], "app": mine}),
        ("POST", "/actions/addons/resolve", {"addon": addon["name"]}),
        ("POST", "/actions/addons/resolve", {"addon": "REDIS", "app": app}),
        ("POST", "/actions/addon-attachments/resolve", {"addon_attachment": "REDIS", "app": app}),
    ]:
        answer = stranger.request(method, path, json=body)
        assert (answer.status_code, answer.json()["id"]) == (404, "not_found"), (method, path)
    assert stranger.post(f"/apps/{mine}/addons", json=PLAN | {"name": addon["name"]}).status_code == 422


def test_config_vars_of_an_addon_are_not_set_by_hand(client: httpx.Client, app: str, working: Worker) -> None:
    create(client, app)
    answer = client.patch(f"/apps/{app}/config-vars", json={"REDIS_URL": None})
    assert answer.status_code == 422
    assert answer.json()["message"] == (
        "Cannot overwrite attachment values REDIS_URL. They come with REDIS: detach or attach add-ons"
    )


def test_the_list_of_a_thousand_addons_takes_a_few_queries(
    client: httpx.Client, app: str, provider: ProviderServer, store: Store, services: Services
) -> None:
    app_id = client.get(f"/apps/{app}").json()["id"]
    account_id = client.get("/account").json()["id"]
    plan_id = client.get("/plans/heroku-redis:mini").json()["id"]
    with store.transaction() as session:
        session.add_all(
            Addon(app_id=app_id, account_id=account_id, plan_id=plan_id, name=f"redis-{number}", state="provisioned")
            for number in range(1000)
        )
    counted = []
    from sqlalchemy import event

    def count(*arguments: object) -> None:
        # The API's own looks at deliveries and drains may come in between.
        if not any(name in str(arguments[2]) for name in ("webhook_deliveries", "_drains", "SELECT now()")):
            counted.append(arguments[2])

    event.listen(store.engine, "before_cursor_execute", count)
    try:
        assert len(client.get("/addons", headers={"Range": "id ..; max=1000"}).json()) == 1000
    finally:
        event.remove(store.engine, "before_cursor_execute", count)
    assert len(counted) < 8
