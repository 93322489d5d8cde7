"""Measurements of slugs and stack images: what a push leaves in the registry, how soon a new image is everywhere."""

import io
import os
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from dynoform.cli import running, stack_images
from dynoform.cli.bench.deploys import application, until_up
from dynoform.cli.bench.load import load
from dynoform.cli.bench.measure import Bench, Taken
from dynoform.cli.bench.platform import SAMPLE, deploy
from dynoform.cli.commands import patch
from dynoform.cli.engine import Engine, connect
from dynoform.domain.dyno_container import SERVICE_LABEL
from dynoform.errors import DynoformError

MIB = 1 << 20
APPS, RATE, ASKED = 50, 50, 2
"""Apps that are relaid; requests a second, of each of so many of them."""
SECONDS = 600
SETTLE_SECONDS = 3
DATA = "/var/lib/registry"
UPDATE = """\
FROM {image}
USER root
RUN apt-get update && apt-get install -y --no-install-recommends hello && rm -rf /var/lib/apt/lists/*
RUN /opt/dynoform/sbom bench
USER dyno
"""
"""A stack image with one more package: what any update comes to for apps."""


def registry_growth(bench: Bench) -> Taken:
    """MiB that the registry has more after a second push of an app of which 1 MB has changed."""
    with application(bench) as (api, name), tempfile.TemporaryDirectory(prefix="dynoform-bench-") as folder:
        source = Path(folder) / "app"
        shutil.copytree(bench.context.places.root / SAMPLE, source)
        for _ in range(2):
            (source / "data.bin").write_bytes(os.urandom(MIB))
            before = _registry_bytes(bench)
            deploy(bench, api, name, source)
            time.sleep(SETTLE_SECONDS)
        slug = api.get(f"/apps/{name}/slugs/{_newest(api, name)['slug']['id']}")
        return Taken((_registry_bytes(bench) - before) / MIB, {"slug": slug["size"] / MIB})


def relay(bench: Bench) -> Taken:
    """Seconds from a new run image of the builder's until all apps' dynos run on it; a failed request is an error."""
    with _apps(bench) as (api, names), connect(bench.stack) as engine:
        if engine is None:
            raise DynoformError("Docker engine", "does not answer", "start it")
        outputs, before = bench.stack.outputs(), stack_images.deployed(engine, bench.stack.name)[stack_images.RUN]
        updated = _updated(engine, before.name)
        with ExitStack() as loads:
            asked = [f"{name}.{outputs['domain']}" for name in names[:ASKED]]
            found = [loads.enter_context(load(host, int(outputs["httpPort"]), RATE)) for host in asked]
            try:
                took = _exchange(bench, api, engine, updated)
            finally:
                _exchange(bench, api, engine, before.name)
    failures, sent = sum((one.failures for one in found), Counter[str]()), sum(one.sent for one in found)
    if failures:
        told = ", ".join(f"{kind}: {count}" for kind, count in failures.most_common())
        raise DynoformError("new stack image", f"of {sent} requests failed: {told}", "look at the router's log lines")
    return Taken(took, {"apps": len(names), "sent": sent})


@contextmanager
def _apps(bench: Bench) -> Iterator[tuple[running.Api, list[str]]]:
    """Apps that all have the slug of one, which a pipeline has promoted to the others."""
    with application(bench) as (api, source), ExitStack() as made:
        names = [f"{source}-{number}" for number in range(1, APPS)]
        pipeline = api.post("/pipelines", {"name": source})["id"]
        made.callback(api.delete, f"/pipelines/{pipeline}")
        _couple(api, pipeline, source, "staging")
        for name in names:
            api.post("/apps", {"name": name})
            made.callback(api.delete, f"/apps/{name}")
            _couple(api, pipeline, name, "production")
        targets = [{"app": {"id": _id(api, name)}} for name in names]
        promotion = {"pipeline": {"id": pipeline}, "source": {"app": {"id": _id(api, source)}}, "targets": targets}
        api.post("/pipeline-promotions", promotion)
        for name in names:
            until_up(api, name, 1)
        yield api, [source, *names]


def _exchange(bench: Bench, api: running.Api, engine: Engine, image: str) -> float:
    """Gives the builder another run image, as ``up`` does one with updates; seconds until all apps are on it."""
    service = next(one for one in engine.services() if one["Spec"]["Name"] == f"{bench.stack.name}_builder")
    spec = service["Spec"]
    container = spec["TaskTemplate"]["ContainerSpec"]
    name = stack_images.variable(stack_images.RUN)
    container["Env"] = [*(each for each in container["Env"] if not each.startswith(f"{name}=")), f"{name}={image}"]
    wanted, began = engine.client.images.get(image).id, time.monotonic()
    engine.client.api.update_service(
        service["ID"], service["Version"]["Index"], task_template=spec["TaskTemplate"], fetch_current_spec=True
    )
    while time.monotonic() < began + SECONDS:
        run: dict[str, Any] = next((one for one in api.every(patch.PATH) if one["kind"] == "run"), {})
        waits = run.get("waiting") or {}
        if run.get("id") == wanted and not waits["slugs"] and not waits["dynos"]:
            return time.monotonic() - began
        time.sleep(0.2)
    raise DynoformError("new stack image", f"is not under all apps after {SECONDS} s", "bin/dynoform patch --preview")


def _updated(engine: Engine, image: str) -> str:
    recipe = io.BytesIO(UPDATE.format(image=image).encode())
    engine.client.images.build(fileobj=recipe, tag="dynoform/bench-stack:updated", rm=True, forcerm=True, timeout=300)
    return "dynoform/bench-stack:updated"


def _couple(api: running.Api, pipeline: str, app: str, stage: str) -> None:
    api.post("/pipeline-couplings", {"app": _id(api, app), "pipeline": pipeline, "stage": stage})


def _id(api: running.Api, app: str) -> str:
    return str(api.get(f"/apps/{app}")["id"])


def _newest(api: running.Api, app: str) -> dict[str, Any]:
    found: list[dict[str, Any]] = api.get(f"/apps/{app}/releases", {"Range": "version ..; order=desc"})
    return found[0]


def _registry_bytes(bench: Bench) -> int:
    with connect(bench.stack) as engine:
        label = f"{SERVICE_LABEL}={bench.stack.name}_registry"
        found = engine.client.containers.list(filters={"label": label}) if engine else []
        if not found:
            raise DynoformError("registry", "does not run", f"bin/dynoform up --stack {bench.stack.name}")
        code, said = found[0].exec_run(["du", "-s", "--block-size=1", DATA])
    if code:
        raise DynoformError("registry", said.decode().strip(), "look at bin/dynoform doctor")
    return int(said.split()[0])
