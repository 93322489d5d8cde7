"""``patch``: Debian's security updates for the stack's images, under all apps, without a rebuild.

What is wanted is that every slug lies on the newest stack image and every dyno runs on it. So a run that was killed is
gone on with by the next, and one that finds all as wanted changes nothing.
"""

import argparse
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dynoform.cli import recovery, running, settings, stack_images, trust
from dynoform.cli.commands import shared, up
from dynoform.cli.console import duration, table
from dynoform.cli.context import Context
from dynoform.cli.engine import connect
from dynoform.cli.settings import StackSettings
from dynoform.cli.stack import Stack
from dynoform.cli.stack_images import BUILD, RUN, Deployed
from dynoform.domain import stack_updates, stacks
from dynoform.domain.stack_updates import Update
from dynoform.errors import DynoformError

PATH = "/dynoform/stack-images"
POLL_SECONDS = 1.0
PATIENCE_SECONDS = 300.0
"""How long nothing may change while dynos are replaced: one that does not boot is tried again with growing pauses."""


@dataclass
class Found:
    """What a run found and did, as plain values for ``--json``."""

    stack: str
    images: Mapping[str, Deployed]
    updates: Mapping[str, Sequence[Update]]
    apps: int
    waiting: Mapping[str, Any]
    done: dict[str, Any] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """All of it."""
        return {
            "stack": self.stack,
            "stack_image": self.images[RUN].version,
            "updates": [update.as_json() for update in self.updates[RUN]],
            "build_updates": [update.as_json() for update in self.updates[BUILD]],
            "apps": self.apps,
            "waiting": dict(self.waiting),
            **self.done,
        }


def add_options(parser: argparse.ArgumentParser) -> None:
    """What `patch` can be told."""
    text = "the stack, described in Pulumi.S.yaml (local), whose apps get the updates"
    parser.add_argument("--stack", nargs="?", default="local", const="local", metavar="S", help=text)
    parser.add_argument(
        "--preview", action="store_true", help="show what has updates and how many apps, change nothing"
    )
    parser.add_argument("--config-file", type=Path, metavar="FILE", help="instead of Pulumi.S.yaml in the checkout")
    shared.add_json(parser)


def run(options: argparse.Namespace, context: Context) -> int:
    """Runs the command."""
    began = time.monotonic()
    stack = context.stack(options.stack)
    known = settings.load(context.places.root, stack.name, options.config_file)
    if stack.certainly_absent():
        raise stack.absent()
    shared.bring_tools(context)
    with recovery.claim(stack):
        api = _api(stack)
        found = _look(context, stack, api)
        if options.preview:
            return _report(options, context, found, preview(found))
        changed = any(found.updates.values())
        if changed:
            _tell(context, found)
            _build(context, stack, known, found)
        moved = _wait(context, stack, api, found)
    found.done = {"changed": changed or moved, "seconds": round(time.monotonic() - began, 1)}
    return _report(options, context, found, closing_words(found, changed=changed, moved=moved))


def _api(stack: Stack) -> running.Api:
    outputs = stack.outputs()
    if not outputs.get("apiUrl"):
        raise stack.absent()
    trust.write(stack, outputs)
    return running.Api(outputs["apiUrl"], str(outputs.get("apiKey", "")), trust.needed(stack, outputs))


def _look(context: Context, stack: Stack, api: running.Api) -> Found:
    with connect(stack) as engine, context.console.step("asking Debian's archive for updates"):
        if engine is None:
            raise DynoformError("Docker engine", "does not answer", f"bin/dynoform up --stack {stack.name}")
        images = stack_images.deployed(engine, stack.name)
        updates = stack_images.updates(engine, stack.name, images)
    image = _run_image(stack, api)
    return Found(stack.name, images, updates, int(image.get("apps", 0)), image.get("waiting") or {})


def _build(context: Context, stack: Stack, known: StackSettings, found: Found) -> None:
    """Declare the images with the updates, and have them made and used."""
    settings.put(known.file, stack_images.settings(found.updates))
    stack.write_config(settings.load(context.places.root, stack.name, known.file))
    up.apply(context, stack, False)
    with connect(stack) as engine:
        if engine is None:
            raise DynoformError("Docker engine", "does not answer", f"bin/dynoform patch --stack {stack.name}")
        found.images = stack_images.deployed(engine, stack.name)
    stack_images.check(found.updates, found.images)


def _wait(context: Context, stack: Stack, api: running.Api, found: Found) -> bool:
    """Returns when every slug lies on the image of `found` and every dyno runs on it; whether any had to change.

    Raises `DynoformError` when nothing has changed for long, naming the apps; the platform goes on by itself.
    """
    wanted, moved, before, last = found.images[RUN].id, False, "", time.monotonic()
    with context.console.step("laying slugs on the newest stack image, replacing dynos") as step:
        while True:
            try:
                image, step.detail = _run_image(stack, api), "the builder does not use the image yet"
            except DynoformError as error:  # it may be restarting
                image, step.detail = {}, str(error)
            found.waiting = waits = image.get("waiting") or {}
            if image.get("id") == wanted:
                found.apps = int(image["apps"])
                if not any(waits[what] for what in ("slugs", "dynos")):
                    return moved
                moved, step.detail = True, left(waits)
            if step.detail != before:
                before, last = step.detail, time.monotonic()
            if time.monotonic() - last > PATIENCE_SECONDS:
                why = f"{step.detail}, and nothing has changed for {duration(PATIENCE_SECONDS)}"
                next_step = f"{_hint(waits)}; the platform goes on by itself, the same command tells how far it is"
                raise DynoformError(f"stack {stack.name}", why, next_step)
            time.sleep(POLL_SECONDS)


def _run_image(stack: Stack, api: running.Api) -> Mapping[str, Any]:
    try:
        images = api.every(PATH)
    except OSError as error:
        raise DynoformError("API", str(error), f"bin/dynoform doctor --stack {stack.name}") from error
    return next((image for image in images if image["kind"] == "run"), {})


def left(waits: Mapping[str, Any]) -> str:
    """What is not on the newest image yet, for people."""
    counts = [(waits.get("slugs", 0), "slug"), (waits.get("dynos", 0), "dyno")]
    return " and ".join(_count(number, noun) for number, noun in counts if number) + " to go"


def _hint(waits: Mapping[str, Any]) -> str:
    names = list(waits.get("names") or ())
    return f"heroku logs -a {names[0]} says why (of {', '.join(names)})" if names else "bin/dynoform doctor"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _tell(context: Context, found: Found) -> None:
    for update in found.updates[RUN]:
        context.console.line(f"  {update.package} {update.version} → {update.candidate} ({update.suite})", "dim")


def preview(found: Found) -> str:
    """What would change."""
    name = f"{stacks.DEFAULT} (image {found.images[RUN].version})"
    parts = []
    if found.updates[RUN]:
        parts.append(f"{name}: {stack_updates.counted(found.updates[RUN])} would be updated")
        rows = [["PACKAGE", "VERSION", "UPDATE", "FROM"]]
        parts.append(table([*rows, *(_row(update) for update in found.updates[RUN])]))
    else:
        parts.append(f"{name}: no updates")
    if found.updates[BUILD]:
        parts.append(f"only for builds: {stack_updates.counted(found.updates[BUILD])} would be updated")
    if found.updates[RUN]:
        parts.append(
            f"{_count(found.apps, 'app')} would get them: dynos are replaced, nothing is built, no new release"
        )
    elif any(found.waiting.get(what) for what in ("slugs", "dynos")):
        parts.append(f"not on that image yet: {left(found.waiting)}")
    return "\n".join(parts)


def _row(update: Update) -> list[str]:
    return [update.package, update.version, update.candidate, update.suite]


def closing_words(found: Found, *, changed: bool, moved: bool) -> str:
    """What was done."""
    where = f"{_count(found.apps, 'app')} on {stacks.DEFAULT}, image {found.images[RUN].version}"
    if not changed and not moved:
        return f"no updates: {where}"
    had = stack_updates.counted([*found.updates[RUN], *found.updates[BUILD]]) if changed else "what was begun before"
    return f"updated ({had}): {where}"


def _report(options: argparse.Namespace, context: Context, found: Found, text: str) -> int:
    if options.json:
        shared.print_json(context.console, found.as_json())
    else:
        context.console.result(text)
    return 0
