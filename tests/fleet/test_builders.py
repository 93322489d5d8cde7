"""Builders on several hosts: builds are spread over them, an app's next build is where its cache is, a lost host's is
done by another one. Sources come by the API, as on any host but the platform's.
"""

import os
import subprocess
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import docker
import httpx
import pytest

from dynoform.store.session import Store
from dynoform.store.tables import Build
from tests.fleet.hosts import LABEL, NETWORK, Fleet, FleetHost
from tests.fleet.platform import REGISTRY, STACK, TRUST, FleetPlatform, wait_for
from tests.integration.build_api import client_of, push
from tests.integration.build_platform import build_image, tarball
from tests.store_fixtures import OPERATOR_KEY

pytestmark = [pytest.mark.fleet, pytest.mark.engine, pytest.mark.timeout(1800)]
HOSTS = ("host1", "host2")
API_PORT = 8000
IMAGES = ("stack-13", "stack-13-build", "control-plane")
SECRETS = ("database_password", "encryption_key", "ca.crt", "registry.crt", "registry.key")
PLAIN: dict[str, str | Path] = {"requirements.txt": "", "Procfile": "web: true\n"}


@dataclass
class Site:
    """Two hosts with a builder each, and the API."""

    platform: FleetPlatform
    store: Store
    client: httpx.Client

    def app(self) -> str:
        """A new app's id."""
        return str(self.client.post("/apps").raise_for_status().json()["id"])

    def push(self, app: str, **more: str) -> uuid.UUID:
        """Have something small built, without anything to fetch."""
        return uuid.UUID(push(self.client, app, tarball({**PLAIN, **more})))

    def build(self, build_id: uuid.UUID) -> Build:
        with self.store.transaction() as session:
            return session.get_one(Build, build_id)

    def ended(self, build_id: uuid.UUID, seconds: float = 180) -> Build:
        """The build, once it has succeeded."""
        self.until(lambda: self.build(build_id).status != "pending", seconds)
        build = self.build(build_id)
        assert build.status == "succeeded", f"{build.failure} {self.explain()}"
        return build

    def until(self, condition: object, seconds: float) -> None:
        assert callable(condition)
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, self.explain()
            time.sleep(0.1)

    def explain(self) -> str:
        """The builders' last words."""
        first = self.platform.fleet["host1"]
        return first.docker("service", "logs", "--tail", "40", f"{STACK}_builder", check=False, seconds=10)


@pytest.fixture(scope="module")
def site(fleet: Fleet, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    base = os.environ.get("DYNOFORM_TEST_BASE_IMAGE") or request.getfixturevalue("base_image")
    folder = tmp_path_factory.mktemp("fleet")
    for path in (folder, *folder.parents[:2]):
        path.chmod(0o755)
    engine = docker.from_env(timeout=900)
    built = {noun: build_image(engine, noun, base) for noun in ("postgres", "registry", "control-plane", "stack-13")}
    built["stack-13-build"] = build_image(engine, "stack-13-build", built["stack-13"])
    platform = FleetPlatform(fleet, folder, built)
    try:
        store = platform.start_store(*IMAGES)
        hosts = list(fleet.hosts.values())
        for host, role in zip(hosts, ("manager", "worker"), strict=True):
            platform.make(host, role, hosts, host_builder="true")
        serve(platform)
        start_builders(platform, hosts[0])
        with client_of(f"http://{REGISTRY}:{API_PORT}") as client:
            client.headers["Authorization"] = f"Bearer {OPERATOR_KEY}"
            yield Site(platform, store, client)
        store.close()
    finally:
        subprocess.run(["rm", "-rf", str(TRUST)], check=False)
        engine.close()


def environment(platform: FleetPlatform) -> dict[str, str]:
    """As the platform's own: registry and API are at its address."""
    return platform.environment() | {"DYNOFORM_PLATFORM_ADDRESS": REGISTRY}


def serve(platform: FleetPlatform) -> None:
    """The API, at the registry's address; the uploads are on its disk."""
    (uploads := platform.folder / "uploads").mkdir()
    uploads.chmod(0o777)
    platform.engine.containers.run(
        platform.built["control-plane"],
        ["api"],
        name=f"{NETWORK}-api",
        labels={LABEL: ""},
        detach=True,
        network_mode=f"container:{NETWORK}-registry",
        environment=environment(platform),
        volumes={
            str(platform.folder): {"bind": "/run/secrets", "mode": "ro"},
            str(uploads): {"bind": "/var/lib/dynoform/sources"},
        },
    )
    wait_for(REGISTRY, API_PORT)


def start_builders(platform: FleetPlatform, through: FleetHost) -> None:
    """The service as a stack with hosts marked ``builder`` has it."""
    certificate, key = platform.authority.issue("builder", REGISTRY, client=True)
    values = {"ca.crt": platform.authority.pem, "registry.crt": certificate, "registry.key": key}
    own = {name: (platform.folder / name).read_text() for name in ("database_password", "encryption_key")}
    for name, value in ({name: data.decode() for name, data in values.items()} | own).items():
        platform._secret(through, name, value)
    told = environment(platform) | {
        "DYNOFORM_HOST": "{{.Node.Hostname}}",
        "DYNOFORM_RUN_IMAGE": platform.images["stack-13"],
        "DYNOFORM_BUILD_IMAGE": platform.images["stack-13-build"],
        "TMPDIR": "/var/lib/dynoform/builds",
    }
    words = ["--name", f"{STACK}_builder", "--mode", "global", "--endpoint-mode", "dnsrr", "--no-resolve-image"]
    words += ["--constraint", f"node.labels.dynoform.{STACK}.builder==true", "--network", f"{STACK}_platform"]
    words += ["--detach", "--quiet", "--user", "0", "--cap-drop", "ALL"]
    words += ["--mount", "type=bind,source=/var/run/docker.sock,target=/var/run/docker.sock"]
    for noun in ("builds", "sources"):
        words += ["--mount", f"type=volume,source={STACK}_{noun},target=/var/lib/dynoform/{noun}"]
    words += [word for name, value in told.items() for word in ("--env", f"{name}={value}")]
    words += [word for name in SECRETS for word in ("--secret", f"source={STACK}_{name},target={name},mode=0400")]
    through.docker("service", "create", *words, platform.images["control-plane"], "builder")


def test_builds_are_spread_over_the_hosts(site: Site) -> None:
    first = site.push(site.app())
    site.ended(first, 600)  # the hosts fetch the stack's images first
    for _ in range(10):
        builds = [site.push(site.app()) for _ in range(6)]
        found = {site.ended(build, 600).host for build in builds}
        if found == set(HOSTS):
            return
    raise AssertionError(f"only {found} had builds: {site.explain()}")


def test_the_next_build_is_where_the_apps_cache_is(site: Site) -> None:
    apps = [site.app() for _ in range(4)]
    first = [site.ended(build).host for build in [site.push(app) for app in apps]]
    for app, host in zip(apps, first, strict=True):
        assert site.ended(site.push(app)).host == host
        assert cached(site, app) == [host]


def test_a_purged_cache_is_purged_wherever_it_is(site: Site) -> None:
    app = site.app()
    host = site.ended(site.push(app)).host
    assert host
    fleet = site.platform.fleet
    mark = f"{STACK}_cache_{app}:/cache"
    shell = ("run", "--rm", "--volume", mark, "--user", "0", site.platform.images["stack-13-build"], "sh", "-c")
    fleet[host].docker(*shell, "touch /cache/mark")
    site.client.delete(f"/apps/{app}/build-cache").raise_for_status()
    site.ended(site.push(app))
    for name in cached(site, app):
        assert fleet[name].docker(*shell, "ls /cache").split().count("mark") == 0


def test_a_build_of_a_host_that_is_lost_is_done_by_another(site: Site) -> None:
    app = site.app()
    # Of whichever host has it: that of the manager is needed for the services' sake.
    while True:
        build = site.push(app, **{"bin/pre_compile": "sleep 15\n"})
        site.until(lambda at=build: site.build(at).host, 60)
        if site.build(build).host == "host2":
            break
        site.ended(build)
        app = site.app()
    site.platform.fleet["host2"].kill()
    ended = site.ended(build, 240)
    assert ended.host == "host1"
    releases = site.client.get(f"/apps/{app}/releases").raise_for_status().json()
    assert [one["description"] for one in releases].count("Deploy") == 1


def cached(site: Site, app: str) -> list[str]:
    """The hosts with a cache of the app."""
    volume = ("volume", "ls", "--quiet", "--filter", f"label=dynoform.app={app}")
    return [name for name, host in site.platform.fleet.hosts.items() if host.docker(*volume)]
