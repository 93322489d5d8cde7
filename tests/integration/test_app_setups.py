"""App setups on a real engine: from a source with an app.json to an app that serves, its postdeploy script run once."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from docker.models.containers import Container

from tests.integration.build_api import client_of, serving, upload
from tests.integration.build_platform import STACK, BuildPlatform, images, let_go, platform, tarball

__all__ = ["images", "platform"]
pytestmark = [pytest.mark.engine, pytest.mark.timeout(600)]

WAITS = 'echo "begun for $NAME"; until [ -e go ]; do sleep 0.1; done; echo done'
DOCKERFILE = """
FROM dynoform-13
LABEL dynoform.test.build=""
COPY words /srv/words
CMD ["sleep", "60"]
"""


@dataclass
class Site:
    """The platform, with the API on it."""

    platform: BuildPlatform
    client: httpx.Client

    def set_up(self, manifest: dict[str, Any] | None, files: dict[str, str], **body: Any) -> dict[str, Any]:
        """Ask for an app of a source."""
        own = {} if manifest is None else {"app.json": json.dumps(manifest)}
        blob = {"url": upload(self.client, tarball({**files, **own})), "version": "v7"}
        answer = self.client.post("/app-setups", json={"source_blob": blob, **body})
        return dict(answer.raise_for_status().json())

    def info(self, setup: dict[str, Any]) -> dict[str, Any]:
        return dict(self.client.get(f"/app-setups/{setup['id']}").raise_for_status().json())

    def ended(self, setup: dict[str, Any]) -> dict[str, Any]:
        """The setup when it has ended."""
        self.platform.until(lambda: self.info(setup)["status"] != "pending", 180)
        return self.info(setup)

    def script(self, setup: dict[str, Any]) -> Container:
        """The dyno in which the postdeploy script runs, once it runs."""
        labels = [f"dynoform.stack={STACK}", f"dynoform.release-phase={setup['id']}"]
        found: list[Container] = []
        containers = self.platform.engine.containers
        self.platform.until(
            lambda: found.extend(containers.list(ignore_removed=True, filters={"label": labels})) or found, 180
        )
        return found[0]


@pytest.fixture(scope="module")
def site(platform: BuildPlatform) -> Iterator[Site]:
    with serving(platform) as url, client_of(url) as client:
        yield Site(platform, client)


PYTHON = {"requirements.txt": "", "Procfile": "web: true\nworker: true\n", "seed.txt": "three pictures\n"}


def test_a_source_becomes_an_app_with_its_script_run(site: Site) -> None:
    manifest = {
        "env": {"SECRET": {"generator": "secret"}, "NAME": "Ann"},
        "formation": {"worker": {"quantity": 1, "size": "standard-2x"}},
        "scripts": {"postdeploy": 'echo "$NAME has $(cat seed.txt) in $DYNO, ${#SECRET}"; echo warned >&2'},
        "success_url": "/welcome",
    }
    setup = site.set_up(manifest, PYTHON, overrides={"env": {"NAME": "Bob"}})
    done = site.ended(setup)
    assert (done["status"], done["failure_message"], done["build"]["status"]) == ("succeeded", None, "succeeded")
    assert done["postdeploy"]["exit_code"] == 0
    said = sorted(done["postdeploy"]["output"].splitlines())
    assert said[0].startswith("Bob has three pictures in run.") and said[0].endswith(", 64") and said[1:] == ["warned"]
    assert done["resolved_success_url"].endswith("/welcome")
    app = setup["app"]["name"]
    releases = [one["description"] for one in site.client.get(f"/apps/{app}/releases").json()]
    assert releases == ["Initial release", "Enable Logplex", "Set SECRET, NAME config vars", "Deploy v7"]
    rows = site.client.get(f"/apps/{app}/formation").json()
    formation = {row["type"]: (row["quantity"], row["size"]) for row in rows}
    assert formation == {"web": (1, "Standard-1X"), "worker": (1, "Standard-2X")}


def test_a_heroku_yml_alone_sets_an_app_of_images_up(site: Site) -> None:
    yml = "setup: {config: {GREETING: Hej}}\nbuild: {docker: {web: Dockerfile}}\n"
    scripts = {"scripts": {"postdeploy": "cat /srv/words; echo $GREETING"}}
    setup = site.set_up(scripts, {"heroku.yml": yml, "Dockerfile": DOCKERFILE, "words": "from an image\n"})
    done = site.ended(setup)
    assert (done["status"], done["postdeploy"]) == ("succeeded", {"exit_code": 0, "output": "from an image\nHej\n"})
    app = site.client.get(f"/apps/{setup['app']['name']}").json()
    assert app["stack"]["name"] == "container"


def test_a_script_that_fails_takes_the_app_with_it_and_its_output_stays(site: Site) -> None:
    done = site.ended(site.set_up({"scripts": {"postdeploy": "echo no database; exit 3"}}, PYTHON))
    assert (done["status"], done["failure_message"]) == ("failed", "the postdeploy script exited with status 3")
    assert done["postdeploy"] == {"exit_code": 3, "output": "no database\n"}
    assert done["build"]["status"] == "succeeded"
    assert site.client.get(f"/apps/{done['app']['name']}").status_code == 404


def test_a_build_that_fails_takes_the_app_with_it(site: Site) -> None:
    done = site.ended(site.set_up({}, {"settings.yml": "a: b"}))
    assert (done["status"], done["failure_message"]) == ("failed", "build failed: no buildpack detects the app")
    assert site.client.get(f"/apps/{done['app']['name']}").status_code == 404


@pytest.mark.parametrize("signal", ["SIGTERM", "SIGKILL"])
def test_a_builder_that_goes_leaves_its_script_to_the_next(site: Site, signal: str) -> None:
    setup = site.set_up({"env": {"NAME": "Ann"}, "scripts": {"postdeploy": WAITS}}, PYTHON)
    dyno = site.script(setup)
    site.platform.until(lambda: "begun" in (site.info(setup)["postdeploy"]["output"] or ""))
    site.platform.stop_builder(signal)
    site.platform.start_builder()
    let_go(dyno)
    done = site.ended(setup)
    assert (done["status"], done["postdeploy"]) == ("succeeded", {"exit_code": 0, "output": "begun for Ann\ndone\n"})
