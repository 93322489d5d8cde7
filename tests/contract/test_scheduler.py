"""The add-on scheduler: its jobs by the API, and their runs when they are due; the run agent is not there."""

import re
import threading
import time
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from sqlalchemy import select, update

from dynoform.addons.queue import Surroundings
from dynoform.addons.scheduler import SchedulerProvider
from dynoform.addons.worker import Worker
from dynoform.api.services import Services
from dynoform.domain import one_off, own_services, schedules
from dynoform.domain.placement import Host
from dynoform.reconcile.scheduler import LOOK_SECONDS, Scheduler
from dynoform.store import addon_services, hosts
from dynoform.store.session import Store
from dynoform.store.tables import Account, App, Collaborator, OneOffDyno, SchedulerJob
from tests.contract.addon_fixtures import at_work

pytestmark = pytest.mark.usefixtures("slug")
JOB = {"command": "rake tidy", "frequency": "every_ten_minutes", "dyno_size": "eco"}


@pytest.fixture(autouse=True)
def worker(services: Services, client: httpx.Client) -> Iterator[threading.Lock]:
    """The platform's own services, and the worker that makes add-ons of them; its turn."""
    with services.store.transaction() as session:
        addon_services.register_own(session, services.vault)
    around = Surroundings(services.configuration.api_url, "local")
    providers = {own_services.SCHEDULER: SchedulerProvider()}
    worker = Worker(services.store, services.vault, providers, around, services.logs, services.journal)
    with at_work(worker) as turn:
        yield turn


@pytest.fixture
def addon(client: httpx.Client, app: str, worker: threading.Lock) -> dict[str, object]:
    made: dict[str, object] = client.post(f"/apps/{app}/addons", json={"plan": "scheduler"}).raise_for_status().json()
    with worker:  # the app's log has been told
        return made


@pytest.fixture
def scheduler(services: Services) -> Scheduler:
    return Scheduler(services.store, services.vault, services.logs, services.journal)


def create(client: httpx.Client, app: str, **body: object) -> dict[str, object]:
    made: dict[str, object] = client.post(f"/apps/{app}/scheduler-jobs", json=JOB | body).raise_for_status().json()
    return made


def move(store: Store, **since: float) -> datetime:
    """As if all jobs had been due so long ago; returns when, a whole ten minutes."""
    frequency = schedules.parse("every_ten_minutes")
    # What is due next is not due before the test's end.
    while (left := (frequency.next(datetime.now(UTC)) - datetime.now(UTC)).total_seconds()) < 15:
        time.sleep(max(0.05, left))
    with store.transaction() as session:
        wanted = frequency.latest(datetime.now(UTC) - timedelta(**since))
        session.execute(update(SchedulerJob).values(next_due_at=wanted))
    return wanted


def due_since(asked: datetime, frequency: str) -> set[str]:
    """When a job is due next that was made between then and now: one time, unless that was one."""
    return {f"{schedules.parse(frequency).next(moment):%Y-%m-%dT%H:%M:%SZ}" for moment in (asked, datetime.now(UTC))}


def runs(store: Store) -> list[OneOffDyno]:
    with store.transaction() as session:
        return list(session.scalars(select(OneOffDyno).order_by(OneOffDyno.created_at)))


def said(services: Services) -> list[str]:
    lines: list[str] = services.logs.lines  # type: ignore[attr-defined]
    return lines


def test_the_service_is_there_with_its_plan_and_belongs_to_the_platform(
    client: httpx.Client, app: str, addon: dict[str, object], services: Services
) -> None:
    assert addon["plan"]["name"] == "scheduler:standard"  # type: ignore[index]
    assert addon["state"] == "provisioned"
    assert (addon["config_vars"], addon["plan"]["price"]["cents"]) == ([], 0)  # type: ignore[index]
    answer = client.post(f"/apps/{app}/addons", json={"plan": "scheduler:standard"})
    assert (answer.status_code, answer.json()["message"]) == (422, "scheduler may be installed only once per app")
    password = {"config_vars": [], "password": "long enough", "production": {"base_url": "https://x.example.com"}}
    manifest = {"id": "scheduler", "api": password, "plans": [{"name": "mine"}]}
    for answer in (
        client.put("/dynoform/addon-services/scheduler", json=manifest),
        client.delete("/dynoform/addon-services/scheduler"),
    ):
        assert (answer.status_code, answer.json()["message"]) == (
            422,
            "scheduler is provided by the platform itself: no other provider can have this name",
        )
    with services.store.transaction() as session:  # as at each start
        addon_services.register_own(session, services.vault)
    assert [plan["name"] for plan in client.get("/addon-services/scheduler/plans").json()] == ["scheduler:standard"]


def test_a_job_is_made_seen_changed_and_deleted(
    client: httpx.Client, app: str, addon: dict[str, object], services: Services
) -> None:
    asked = datetime.now(UTC)
    made = create(client, app)
    assert made["next_due_at"] in due_since(asked, "every_ten_minutes")
    assert (made["command"], made["frequency"], made["last_due_at"]) == ("rake tidy", "every_ten_minutes", None)
    assert made["dyno_size"]["name"] == "Eco"  # type: ignore[index]
    assert said(services)[-1] == "app[api]: Schedule `rake tidy` every_ten_minutes by user ann@example.com"
    path = f"/apps/{app}/scheduler-jobs/{made['id']}"
    assert client.get(path).json() == made
    assert client.get(f"/apps/{app}/scheduler-jobs").json() == [made]
    asked = datetime.now(UTC)
    changed = client.patch(path, json={"frequency": "every_day_at_5:30"}).raise_for_status().json()
    assert changed["next_due_at"] in due_since(asked, "every_day_at_5:30")
    assert (changed["command"], changed["dyno_size"]) == (made["command"], made["dyno_size"])
    changed = client.patch(path, json={"command": "rake all", "dyno_size": "Standard-2X"}).raise_for_status().json()
    assert (changed["command"], changed["dyno_size"]["name"]) == ("rake all", "Standard-2X")
    assert client.delete(path).raise_for_status().json() == changed
    assert said(services)[-1] == "app[api]: Unschedule `rake all` by user ann@example.com"
    assert client.get(f"/apps/{app}/scheduler-jobs").json() == []
    for answer in (client.get(path), client.patch(path, json={}), client.delete(path)):
        assert answer.json() == {
            "id": "not_found",
            "resource": "scheduler_job",
            "message": "Couldn't find that scheduler job.",
        }


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"command": " "}, "Command can't be blank."),
        (
            {"frequency": "hourly"},
            "Frequency 'hourly' is none of every_ten_minutes, every_hour_at_MM and every_day_at_HH:MM (in UTC)",
        ),
        ({"dyno_size": "huge"}, "Couldn't find that dyno size (huge)."),
        ({"dyno_size": "Performance-L"}, "Cannot use dyno size Performance-L: it needs 14 GB of memory"),
    ],
)
def test_what_cannot_be_is_refused(
    client: httpx.Client, app: str, addon: dict[str, object], store: Store, change: dict[str, str], message: str
) -> None:
    with store.transaction() as session:
        hosts.replace(session, [Host("a", "a", 8 * 1024**3)])
    made = create(client, app)
    for answer in (
        client.post(f"/apps/{app}/scheduler-jobs", json=JOB | change),
        client.patch(f"/apps/{app}/scheduler-jobs/{made['id']}", json=change),
    ):
        assert answer.status_code == 422
        assert answer.json()["message"].startswith(message)
    assert client.get(f"/apps/{app}/scheduler-jobs").json() == [made]


def test_without_the_addon_there_are_no_jobs(client: httpx.Client, app: str) -> None:
    answer = client.post(f"/apps/{app}/scheduler-jobs", json=JOB)
    expected = f"App {app} has no scheduler. Add it first: heroku addons:create scheduler:standard -a {app}"
    assert (answer.status_code, answer.json()["message"]) == (422, expected)
    assert client.get(f"/apps/{app}/scheduler-jobs").json() == []


def test_who_may_see_the_app_sees_its_jobs_and_who_may_operate_changes_them(
    client: httpx.Client, app: str, addon: dict[str, object], stranger: httpx.Client, store: Store
) -> None:
    made = create(client, app)
    path = f"/apps/{app}/scheduler-jobs"
    assert stranger.get(path).status_code == 404
    with store.transaction() as session:
        app_id = session.scalars(select(App.id)).one()
        account_id = session.scalars(select(Account.id).where(Account.email == "bob@example.com")).one()
        session.add(Collaborator(app_id=app_id, account_id=account_id, permissions=["view", "deploy"]))
    assert stranger.get(path).json() == [made]
    calls = (("POST", path, JOB), ("PATCH", f"{path}/{made['id']}", JOB), ("DELETE", f"{path}/{made['id']}", None))
    for method, url, body in calls:
        assert stranger.request(method, url, json=body).status_code == 403
    with store.transaction() as session:
        session.execute(update(Collaborator).values(permissions=["view", "operate"]))
    for method, url, body in calls:
        stranger.request(method, url, json=body).raise_for_status()


def test_a_job_that_is_due_gets_its_dyno_once(
    client: httpx.Client, app: str, addon: dict[str, object], scheduler: Scheduler, services: Services, store: Store
) -> None:
    made = create(client, app)
    move(store, minutes=-60)
    assert 0 < scheduler.step() <= LOOK_SECONDS
    assert runs(store) == []
    due = move(store, minutes=0)
    scheduler.step()
    (run,) = runs(store)
    assert (run.type, run.command, run.size, run.tty, run.attach_digest) == (
        "scheduler",
        "rake tidy",
        "Eco",
        False,
        None,
    )
    assert run.time_to_live == 600, "it does not run into the next one"
    assert (
        said(services)[-1] == "app[api]: Starting process with command `rake tidy` by user scheduler@addons.heroku.com"
    )
    scheduler.step()
    assert len(runs(store)) == 1
    shown = client.get(f"/apps/{app}/scheduler-jobs/{made['id']}").json()
    assert shown["last_due_at"] == f"{due:%Y-%m-%dT%H:%M:%SZ}"
    assert shown["next_due_at"] == f"{due + timedelta(minutes=10):%Y-%m-%dT%H:%M:%SZ}"
    assert client.get(f"/apps/{app}/dynos").json()[0]["name"].startswith("scheduler.")


def test_of_missed_runs_the_newest_is_made_up_for(
    app: str, client: httpx.Client, addon: dict[str, object], scheduler: Scheduler, services: Services, store: Store
) -> None:
    create(client, app)
    first = move(store, minutes=30)
    scheduler.step()
    assert len(runs(store)) == 1
    told = [line for line in said(services) if line.startswith("heroku[scheduler]")]
    assert re.search(f"Missed [34] runs of `rake tidy`, due {first:%Y-%m-%dT%H:%M:%SZ} to .*: the platform", told[0])


def test_many_schedulers_at_once_run_each_job_once(
    client: httpx.Client, app: str, addon: dict[str, object], services: Services, store: Store
) -> None:
    for number in range(20):
        create(client, app, command=f"work {number}")
    move(store, minutes=0)
    start = threading.Barrier(4)

    def work() -> None:
        own = Scheduler(services.store, services.vault, services.logs, services.journal)
        start.wait()
        while own.step() < 1:
            pass

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sorted(run.command for run in runs(store)) == sorted(f"work {number}" for number in range(20))


def test_a_run_that_cannot_be_is_told_and_not_tried_again(
    client: httpx.Client,
    app: str,
    addon: dict[str, object],
    scheduler: Scheduler,
    services: Services,
    store: Store,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    create(client, app)
    monkeypatch.setattr(one_off, "MOST", 0)
    due = move(store, minutes=0)
    scheduler.step()
    assert runs(store) == []
    assert said(services)[-1] == (
        f"heroku[scheduler]: Skipped the run of `rake tidy` due {due:%Y-%m-%dT%H:%M:%SZ}: "
        "Cannot run more than 0 Eco size dynos."
    )
    lines = len(said(services))
    scheduler.step()
    assert len(said(services)) == lines


def test_a_clock_that_was_set_back_runs_nothing_until_it_has_caught_up(
    client: httpx.Client, app: str, addon: dict[str, object], scheduler: Scheduler, store: Store
) -> None:
    made = create(client, app)
    with store.transaction() as session:
        far = datetime(2090, 1, 1, tzinfo=UTC)
        session.execute(update(SchedulerJob).values(next_due_at=far, last_due_at=far - timedelta(minutes=10)))
    scheduler.step()
    assert runs(store) == []
    path = f"/apps/{app}/scheduler-jobs/{made['id']}"
    asked = datetime.now(UTC)
    helped = client.patch(path, json={"frequency": "every_ten_minutes"}).raise_for_status().json()
    assert helped["next_due_at"] in due_since(asked, "every_ten_minutes")


def test_the_jobs_go_with_the_addon_and_with_the_app(
    client: httpx.Client, app: str, addon: dict[str, object], scheduler: Scheduler, store: Store
) -> None:
    create(client, app)
    client.request("DELETE", f"/apps/{app}/addons/{addon['name']}").raise_for_status()
    assert client.get(f"/apps/{app}/scheduler-jobs").json() == []
    with store.transaction() as session:
        assert session.scalars(select(SchedulerJob)).all() == []
    client.post(f"/apps/{app}/addons", json={"plan": "scheduler"}).raise_for_status()
    create(client, app)
    client.delete(f"/apps/{app}").raise_for_status()
    move(store, minutes=0)
    scheduler.step()
    assert runs(store) == []


def test_a_job_is_left_alone_by_its_own_change(
    client: httpx.Client, app: str, addon: dict[str, object], store: Store
) -> None:
    made = create(client, app)
    due = move(store, minutes=0)
    path = f"/apps/{app}/scheduler-jobs/{made['id']}"
    changed = client.patch(path, json={"frequency": "every_ten_minutes", "command": "other"}).raise_for_status().json()
    assert changed["next_due_at"] == f"{due:%Y-%m-%dT%H:%M:%SZ}", "it is due, and still is"
    assert uuid.UUID(changed["id"])
