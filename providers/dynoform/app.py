"""App: an app on the platform, built and released from a directory of source, through the Platform API only."""

import hashlib
import re
import time
from collections import deque
from itertools import islice
from pathlib import Path
from typing import Any, ClassVar

from .archive import compressed_archive, source_hash
from .engine import Operation
from .errors import InputError, PartialError, ProviderError
from .platform_api import BrokenOffError, NotFoundError, PlatformApi, SealedError, UnansweredError
from .resource import Resource, Values
from .values import UNKNOWN

NAME = re.compile(r"[a-z][a-z0-9-]{1,28}[a-z0-9]")
"""Heroku's rule for app names: 3 to 30 characters."""
BUILD_SECONDS = 25 * 60.0
"""The platform's own limit for a build, after which it fails it."""
PHASE_SECONDS = 3600.0
"""Heroku's limit for a release command, and the platform's."""
AROUND_SECONDS = 600.0
"""What a build or a release command may take besides: waiting for its turn, pulling and pushing images."""
DYNO_SECONDS = 120.0
"""Twice Heroku's limit for a web process to bind its port (60 s, R10): an image may have to be pulled first."""
READ_PATIENCE = 3.0
"""Seconds that a refresh waits for an API that does not answer."""
POLL_SECONDS = 0.5
LAST_LINES = 8
AGAIN = 3
"""How often the output of what has ended is read anew when it breaks off: the end is known, only lines are missing."""
RUNNING = frozenset({"up", "idle"})


class App(Resource):
    """Inputs ``api``, ``name``, ``source``, ``config``, ``formation``; outputs ``webUrl``, ``release``.

    An app of that name that is there already is adopted. ``sourceHash`` is filled in here; in the state it is the
    hash of the last source that was released, so a failed build is tried again by the next update.
    """

    required: ClassVar = {"api": dict, "name": str, "source": str}
    optional: ClassVar = {"config": {}, "formation": {}, "sourceHash": ""}
    computed: ClassVar = ("webUrl", "release")
    secret: ClassVar = frozenset({"api", "config"})
    replacing: ClassVar = frozenset({"name"})

    def check(self, inputs: Values) -> Values:
        """Refuses names that the platform would refuse, and sources that are not there."""
        checked = super().check(inputs)
        name, source = checked["name"], checked["source"]
        if isinstance(name, str) and not NAME.fullmatch(name):
            raise InputError(
                "name", f"is {name!r}", "use 3 to 30 lower-case letters, digits and dashes, a letter first"
            )
        _check_formation(checked["formation"])
        return {**checked, "sourceHash": source_hash(Path(source)) if isinstance(source, str) else UNKNOWN}

    def create(self, operation: Operation, inputs: Values) -> tuple[str, Values]:
        """Creates or adopts the app, then releases the source and waits for its web dynos."""
        with _api(operation, inputs) as api:
            app = _adopted_or_created(operation, api, inputs["name"])
            state = {**inputs, "sourceHash": "", "config": {}, "formation": {}}
            return app["id"], self._converge(operation, api, app["id"], state, inputs)

    def read(self, operation: Operation, identifier: str, state: Values) -> Values | None:
        """Config vars and formation as they are, of those that are declared; None when the app is gone.

        A platform that does not answer tells nothing about its apps: they are taken to be as they were, so that a
        refresh can go on to find out, and mend, why it does not answer. One that cannot read what it keeps of an app
        leaves it to be released anew, which says so: it can still be deleted.
        """
        if not state:
            raise ProviderError(identifier, "an app is not imported", "declare it: an app of that name is adopted")
        with _api(operation, state, READ_PATIENCE) as api:
            try:
                return self._read(api, identifier, state)
            except NotFoundError:
                return None
            except UnansweredError as error:
                operation.info(f"not read: {error}")
                return state
            except SealedError as error:
                operation.info(f"not read: {error}")
                return {**state, "sourceHash": ""}

    def _read(self, api: PlatformApi, identifier: str, state: Values) -> Values:
        app = api.get(f"/apps/{identifier}")
        config = api.get(f"/apps/{identifier}/config-vars")
        kept = {name: config[name] for name in state["config"] if name in config}
        return {**state, **_facts(api, app), "config": kept, "formation": _formation(api, identifier, state)}

    def update(self, operation: Operation, identifier: str, olds: Values, news: Values) -> Values:
        """Brings over what differs: config vars, source, formation."""
        with _api(operation, news) as api:
            return self._converge(operation, api, identifier, olds, news)

    def delete(self, operation: Operation, identifier: str, state: Values) -> None:
        """Deletes the app and all its releases."""
        with _api(operation, state) as api:
            api.delete(f"/apps/{identifier}")

    def _converge(self, operation: Operation, api: PlatformApi, app: str, olds: Values, news: Values) -> Values:
        """All properties. A failure half-way is a ``PartialError`` with what has been done so far."""
        done = {**olds, **{name: news[name] for name in ("api", "name", "source")}}
        try:
            _set_config(operation, api, app, olds["config"], news["config"])
            done["config"] = news["config"]
            if olds["sourceHash"] != news["sourceHash"]:
                _build(operation, api, app, Path(news["source"]), news["sourceHash"])
                done["sourceHash"] = news["sourceHash"]
            _scale(operation, api, app, news["formation"])
            done["formation"] = news["formation"]
            _wait_for_web(operation, api, app)
            return {**done, **_facts(api, api.get(f"/apps/{app}"))}
        except ProviderError as error:
            raise PartialError(error, app, done) from error


def _api(operation: Operation, values: Values, patience: float | None = None) -> PlatformApi:
    api = values["api"]
    return PlatformApi(operation, api["url"], api["caCertPem"], api["token"], patience)


def _check_formation(formation: Any) -> None:
    if formation is UNKNOWN:
        return
    for kind, wanted in formation.items():
        quantity = wanted.get("quantity") if isinstance(wanted, dict) else None
        if quantity is not UNKNOWN and (not isinstance(quantity, int) or isinstance(quantity, bool) or quantity < 0):
            raise InputError("formation", f"has {kind!r} without a quantity of 0 or more", "give {quantity: 1}")


def _adopted_or_created(operation: Operation, api: PlatformApi, name: str) -> Any:
    try:
        app = api.get(f"/apps/{name}")
    except NotFoundError:
        operation.status("creates the app")
        return api.post("/apps", {"name": name})
    operation.info(f"adopts the app {name}, which is there already")
    return app


def _facts(api: PlatformApi, app: Any) -> Values:
    """What the platform knows of the app."""
    releases = api.get(f"/apps/{app['id']}/releases", {"Range": "version ..; order=desc"})
    current = [release["version"] for release in releases if release.get("current")]
    return {
        "webUrl": app["web_url"],
        "release": max(current or [release["version"] for release in releases], default=0),
    }


def _formation(api: PlatformApi, app: str, state: Values) -> Values:
    """The declared process types as they are now."""
    actual = {process["type"]: process for process in api.get(f"/apps/{app}/formation")}
    return {
        kind: {
            **wanted,
            "quantity": actual[kind]["quantity"],
            **({"size": actual[kind]["size"]} if wanted.get("size") else {}),
        }
        for kind, wanted in state["formation"].items()
        if kind in actual
    }


def _set_config(operation: Operation, api: PlatformApi, app: str, olds: Values, news: Values) -> None:
    changes: Values = {name: value for name, value in news.items() if olds.get(name) != value}
    changes |= {name: None for name in olds if name not in news}
    if changes:
        operation.status("sets config vars")
        api.patch(f"/apps/{app}/config-vars", changes)


def _build(operation: Operation, api: PlatformApi, app: str, source: Path, version: str) -> None:
    """Uploads the source, builds it, shows the output. Raises ``ProviderError`` with its last lines when it fails."""
    deadline = operation.deadline(BUILD_SECONDS + AROUND_SECONDS)
    api.get(f"/apps/{app}/config-vars")  # no release is made where they cannot be read
    operation.status("uploads the source")
    archive = compressed_archive(source)
    blob = api.post("/sources", {})["source_blob"]
    api.put_source(blob["put_url"], archive)
    checksum = f"SHA256:{hashlib.sha256(archive).hexdigest()}"
    wanted = {"source_blob": {"url": blob["get_url"], "checksum": checksum, "version": version[:12]}}
    build = api.post(f"/apps/{app}/builds", wanted)
    operation.status("builds")
    build, last = _followed(operation, api, f"/apps/{app}/builds/{build['id']}", deadline)
    if build["status"] != "succeeded":
        raise ProviderError(
            f"build of {source}", " / ".join(last) or "failed without output", "mend the source, run 'up' again"
        )
    _wait_for_release(operation, api, f"/apps/{app}/releases/{build['release']['id']}")


def _wait_for_release(operation: Operation, api: PlatformApi, path: str) -> None:
    """Until the release's command has succeeded, if it has one; its output is shown. Raises when it fails."""
    release = api.get(path)
    if release["status"] != "pending":
        return
    operation.status("runs the release command")
    release, last = _followed(operation, api, path, operation.deadline(PHASE_SECONDS + AROUND_SECONDS))
    if release["status"] == "failed":
        reason = " / ".join(last) or "failed without output"
        raise ProviderError(f"release command of v{release['version']}", reason, "mend it, run 'up' again")


def _followed(operation: Operation, api: PlatformApi, path: str, deadline: float) -> tuple[Any, deque[str]]:
    """What is at ``path`` when it has ended, and the last lines of its output that say something; all are shown.

    Its status tells the end. The stream may break, or be given up as silent, before: it is then read anew, from its
    beginning as it is kept, and what was shown is left out.
    """
    last: deque[str] = deque(maxlen=LAST_LINES)
    shown, again = 0, AGAIN
    while True:
        found = api.get(path)
        try:
            for line in islice(api.lines(found["output_stream_url"]), shown, None):
                shown += 1
                operation.info(line)
                last.extend([line.strip()] if line.strip() else [])
            whole = True
        except BrokenOffError:
            whole = False
        if found["status"] != "pending":
            if whole or not again:
                return found, last
            again -= 1
        elif time.monotonic() > deadline:
            why = "has not ended in the time that it is given, and may still go on"
            raise ProviderError(path, why, "see 'bin/dynoform doctor', then run 'up' again")
        operation.pause(POLL_SECONDS)


def _scale(operation: Operation, api: PlatformApi, app: str, formation: Values) -> None:
    actual = {process["type"]: process for process in api.get(f"/apps/{app}/formation")}
    missing = [kind for kind in formation if kind not in actual]
    if missing:
        known = ", ".join(sorted(actual)) or "none"
        raise ProviderError(
            "formation", f"{missing[0]!r} is not a process type of this app, which has {known}", "see its Procfile"
        )
    updates = [
        {"type": kind, "quantity": wanted["quantity"], **({"size": wanted["size"]} if wanted.get("size") else {})}
        for kind, wanted in formation.items()
        if actual[kind]["quantity"] != wanted["quantity"] or wanted.get("size") not in (None, "", actual[kind]["size"])
    ]
    if updates:
        operation.status("scales")
        api.patch(f"/apps/{app}/formation", {"updates": updates})


def _wait_for_web(operation: Operation, api: PlatformApi, app: str) -> None:
    """Until as many web dynos of the current release are up as the formation says."""
    deadline = time.monotonic() + DYNO_SECONDS
    while True:
        quantity = sum(each["quantity"] for each in api.get(f"/apps/{app}/formation") if each["type"] == "web")
        dynos = [dyno for dyno in api.get(f"/apps/{app}/dynos") if dyno["type"] == "web"]
        newest = max((dyno["release"]["version"] for dyno in dynos), default=0)
        states = {dyno["name"]: dyno["state"] for dyno in dynos if dyno["release"]["version"] == newest}
        if sum(state in RUNNING for state in states.values()) >= quantity:
            return
        shown = ", ".join(f"{name} is {state}" for name, state in sorted(states.items())) or "no web dyno yet"
        operation.status(f"waits for web dynos: {shown}")
        if time.monotonic() > deadline:
            raise ProviderError("web dynos", f"are not up after {DYNO_SECONDS:.0f} s: {shown}", "see 'heroku logs'")
        operation.pause(POLL_SECONDS)
