"""The stack image under running apps gets an update: no build, no release, no failed request, whatever is killed."""

import io
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.e2e.conftest import ROOT, STACK, Platform, dynoform, eventually

pytestmark = [pytest.mark.engine, pytest.mark.timeout(1500)]
APP = "python"
ADDED = "hello"
"""A small package of Debian's that the stack does not have."""
RECIPE = """\
FROM {image}
USER root
RUN apt-get update && apt-get install -y --no-install-recommends {package} && rm -rf /var/lib/apt/lists/*
RUN /opt/dynoform/sbom dynoform-13-run
USER dyno
"""
OLDER = """\
FROM {image}
USER root
RUN apt-get update && apt-get install -y --allow-downgrades {package} && rm -rf /var/lib/apt/lists/*
RUN /opt/dynoform/sbom {name}
USER dyno
"""


def variable(platform: Platform, name: str) -> str:
    """What the builder is told."""
    (service,) = platform.engine.services.list(filters={"name": f"{STACK}_builder"})
    variables = service.attrs["Spec"]["TaskTemplate"]["ContainerSpec"]["Env"]
    return str(dict(each.split("=", 1) for each in variables)[name])


def tell_builder(platform: Platform, **variables: str) -> None:
    """Exchange the builder for one that is told something else, as an update of its service does."""
    (service,) = platform.engine.services.list(filters={"name": f"{STACK}_builder"})
    template = service.attrs["Spec"]["TaskTemplate"]
    had = dict(each.split("=", 1) for each in template["ContainerSpec"]["Env"])
    template["ContainerSpec"]["Env"] = [f"{name}={value}" for name, value in (had | variables).items()]
    version = service.attrs["Version"]["Index"]
    platform.engine.api.update_service(service.id, version, task_template=template, fetch_current_spec=True)


def made(platform: Platform, name: str, recipe: str) -> str:
    """Build an image from a recipe; returns its name."""
    platform.engine.images.build(fileobj=io.BytesIO(recipe.encode()), tag=name, rm=True, forcerm=True, timeout=300)
    return name


def run_image(platform: Platform) -> dict[str, Any]:
    images = platform.api.get("/dynoform/stack-images").raise_for_status().json()
    return next((one for one in images if one["kind"] == "run"), {})


def is_everywhere(platform: Platform, image: str) -> bool:
    """Whether every slug and every dyno is on the image."""
    found, wanted = run_image(platform), platform.engine.images.get(image).id
    return found.get("id") == wanted and not any(found["waiting"][what] for what in ("apps", "slugs", "dynos"))


def slug_layer(platform: Platform) -> str:
    """The top layer of the image that the app's dyno runs."""
    dyno = eventually(lambda: platform.only_dyno(APP), 30, f"{APP} has one dyno")
    return str(platform.engine.images.get(dyno.attrs["Image"]).attrs["RootFS"]["Layers"][-1])


def has(platform: Platform, package: str) -> bool:
    """Whether the app's dyno has a package."""
    dyno = eventually(lambda: platform.only_dyno(APP), 30, f"{APP} has one dyno")
    code, _ = dyno.exec_run(["dpkg-query", "--status", package])
    return code == 0


def made_of(platform: Platform, what: str) -> list[str]:
    """Ids of the app's releases, or of its builds."""
    return [each["id"] for each in platform.api.get(f"/apps/{APP}/{what}").json()]


def builder(platform: Platform) -> Any:
    label = f"com.docker.swarm.service.name={STACK}_builder"
    found = platform.engine.containers.list(filters={"label": label, "status": "running"}, ignore_removed=True)
    return found[0] if found else None


@contextmanager
def asked(platform: Platform) -> Iterator[list[int]]:
    """Statuses of requests to the app, ten a second, each on a connection of its own."""
    statuses: list[int] = []
    ended = threading.Event()

    def ask() -> None:
        while not ended.wait(0.1):
            statuses.append(platform.app(APP).status_code)

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        yield statuses
    finally:
        ended.set()
        asking.join(20)


def test_an_updated_stack_image_takes_over_under_load_and_a_builder_that_is_killed_goes_on(platform: Platform) -> None:
    former = variable(platform, "DYNOFORM_RUN_IMAGE")
    eventually(lambda: is_everywhere(platform, former), 180, "all is on the declared image")
    updated = made(platform, f"dynoform-test/stack-13:{ADDED}", RECIPE.format(image=former, package=ADDED))
    releases, builds = made_of(platform, "releases"), made_of(platform, "builds")
    layer, began_as = slug_layer(platform), run_image(platform)["version"]
    assert not has(platform, ADDED)
    try:
        with asked(platform) as statuses:
            tell_builder(platform, DYNOFORM_RUN_IMAGE=updated)
            wanted = platform.engine.images.get(updated).id
            eventually(lambda: run_image(platform).get("id") == wanted, 180, "a builder that uses the new image")
            using = eventually(lambda: builder(platform), 60, "the builder runs")
            using.kill("SIGKILL")  # somewhere between slugs and dynos
            eventually(lambda: is_everywhere(platform, updated), 300, "all apps on the new image")
            eventually(lambda: has(platform, ADDED), 60, "the dyno has the new package")
        assert set(statuses) == {200}
        assert len(statuses) > 10
        assert slug_layer(platform) == layer
        assert made_of(platform, "releases") == releases
        assert made_of(platform, "builds") == builds
        assert run_image(platform)["version"] != began_as
        bill = platform.api.get("/dynoform/stack-images/run/sbom").json()
        assert [each["name"] for each in bill["components"] if each["name"] == ADDED] == [ADDED]
        # Made anew, of the same: another image for the engine, and none for apps.
        dyno = platform.only_dyno(APP).id
        again = made(
            platform, "dynoform-test/stack-13:again", f"FROM {updated}\nUSER root\nRUN touch /made-anew\nUSER dyno\n"
        )
        tell_builder(platform, DYNOFORM_RUN_IMAGE=again)
        eventually(lambda: is_everywhere(platform, again), 180, "the same made anew")
        assert platform.only_dyno(APP).id == dyno
        shown = dynoform("patch", "--stack", STACK, "--preview", "--json")
        assert shown.code == 0, shown.err
        found = json.loads(shown.out)
        assert (found["stack_image"], found["waiting"]["dynos"]) == (run_image(platform)["version"], 0)
    finally:
        tell_builder(platform, DYNOFORM_RUN_IMAGE=former)
        eventually(lambda: is_everywhere(platform, former), 300, "all apps on the former image")
        settled = dynoform("up", "--stack", STACK, "--yes")  # other tests find what is declared, and nothing to mend
        assert settled.code == 0, settled.err
    assert not has(platform, ADDED)


@pytest.mark.chaos
@pytest.mark.timeout(1800)
def test_patch_updates_what_debian_has_updates_for_and_changes_nothing_again(platform: Platform) -> None:
    settings = ROOT / f"Pulumi.{STACK}.yaml"
    declared, former = settings.read_text(), variable(platform, "DYNOFORM_RUN_IMAGE")
    package, older = downgradable(platform, former)
    image = made(
        platform, "dynoform-test/stack-13:older", OLDER.format(image=former, package=f"{package}={older}", name="x")
    )
    build_former = variable(platform, "DYNOFORM_BUILD_IMAGE")
    try:
        tell_builder(platform, DYNOFORM_RUN_IMAGE=image)
        eventually(lambda: is_everywhere(platform, image), 300, "all apps on an image with an older package")
        layer = slug_layer(platform)
        shown = dynoform("patch", "--stack", STACK, "--preview")
        assert f"{package}" in shown.out, shown.out + shown.err
        assert "would get them: dynos are replaced, nothing is built, no new release" in shown.out
        with asked(platform) as statuses:
            done = dynoform("patch", "--stack", STACK, "--json")
            assert done.code == 0, done.out + done.err
        found = json.loads(done.out)
        assert found["changed"] is True
        assert package in {update["package"] for update in found["updates"]}
        assert set(statuses) == {200}
        assert slug_layer(platform) == layer
        assert installed(platform, package) != older
        again = dynoform("patch", "--stack", STACK)
        assert (again.code, again.out.startswith("no updates: ")) == (0, True), again.out + again.err
        unchanged = dynoform("up", "--stack", STACK, "--yes", "--preview")
        assert "no changes" in unchanged.out, unchanged.out + unchanged.err
    finally:
        settings.write_text(declared)
        assert dynoform("up", "--stack", STACK, "--yes", "--refresh").code == 0
    assert variable(platform, "DYNOFORM_BUILD_IMAGE") == build_former


def downgradable(platform: Platform, image: str) -> tuple[str, str]:
    """A package of the image of which the mirror has an older version too, with that; skips where there is none."""
    script = """
        apt-get update -q >&2
        for name in $(dpkg-query -Wf '${Package} '); do
          have=$(dpkg-query -Wf '${Version}' $name)
          for other in $(apt-cache madison $name | awk '{ print $3 }'); do
            [ $other != $have ] || continue
            apt-get install -sy --allow-downgrades --no-remove $name=$other >/dev/null 2>&1 || continue
            echo $name $other
            exit
          done
        done"""
    said = platform.engine.containers.run(image, entrypoint=["sh", "-c", script], user="0", remove=True).decode()
    if not said.strip():
        pytest.skip("a second version of any package is missing in the package mirror")
    package, version = said.split()
    return package, version


def installed(platform: Platform, package: str) -> str:
    dyno = eventually(lambda: platform.only_dyno(APP), 30, f"{APP} has one dyno")
    return str(dyno.exec_run(["dpkg-query", "-Wf", "${Version}", package]).output.decode())
