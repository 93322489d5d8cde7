"""Services on every host are waited for on the real engine, and one that cannot run is named."""

import io
from collections.abc import Iterator

import pytest

from dynoform.cli import convergence
from dynoform.cli.console import Console
from dynoform.cli.engine import Engine, local
from dynoform.errors import DynoformError

pytestmark = [pytest.mark.engine, pytest.mark.timeout(120)]
STACK = "testwait"


@pytest.fixture
def engine() -> Iterator[Engine]:
    with local(STACK) as found:
        assert found
        remove(found)
        yield found
        remove(found)


def remove(engine: Engine) -> None:
    for service in engine.services():
        engine.client.api.remove_service(service["ID"])


def create(engine: Engine, image: str, command: list[str]) -> None:
    labels = {"dynoform.stack": STACK}
    engine.client.services.create(image, command, name=f"{STACK}_router", labels=labels, mode="global")


def test_service_whose_task_fails_is_named_with_its_error(
    engine: Engine, base_image: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(convergence, "SECONDS", 10.0)
    create(engine, base_image, ["sh", "-c", "exit 64"])
    with pytest.raises(DynoformError, match=r"service testwait_router: 0 of 1 tasks run: task: non-zero exit \(64\) —"):
        convergence.wait(engine, Console({}, io.StringIO()), changed=True)


def test_service_that_runs_is_waited_for(engine: Engine, base_image: str) -> None:
    create(engine, base_image, ["sleep", "600"])
    convergence.wait(engine, Console({}, io.StringIO()), changed=True)
    assert [one["ServiceStatus"]["RunningTasks"] for one in engine.services()] == [1]
