"""Pulumi's engine events, read as they are written: what is under way, what was done, what went wrong."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

DONE = {
    "create": "created",
    "update": "updated",
    "delete": "deleted",
    "replace": "replaced",
    "create-replacement": "replaced",
    "delete-replaced": "deleted (replaced)",
    "import": "imported",
    "discard": "forgotten",
    "refresh": "refreshed",
    "same": "checked",
    "read": "read",
}
DOING = {
    "create": "creating",
    "update": "updating",
    "delete": "deleting",
    "create-replacement": "creating again",
    "delete-replaced": "deleting the old",
    "import": "importing",
    "refresh": "reading",
}
QUIET = {"same", "refresh", "read", "replace", "discard"}
COLOUR = re.compile(r"\x1b\[[0-9;]*m|<\{%.*?%\}>")
WRAPPED = "1 error occurred: * "
"""What Pulumi puts before an error after which it keeps what was made of a resource."""
OUR_OWN = "pulumi:pulumi:Stack"


def short(urn: str) -> str:
    """``docker:Service local-router`` for ``urn:pulumi:…::docker:index/service:Service::local-router``."""
    parts = urn.split("::")
    if len(parts) < 4:
        return urn
    package, _, kind = parts[2].rpartition("$")[2].partition(":")
    return f"{package}:{kind.rpartition(':')[2]} {parts[3]}"


@dataclass
class Progress:
    """One line worth showing: `text`, and `tone` as `Console.line` takes it."""

    text: str
    tone: str = ""


@dataclass
class Operation:
    """A resource being worked on: `doing` says what, `since` is the event's time in seconds, `detail` the last news."""

    doing: str
    since: float
    detail: str = ""


@dataclass
class Run:
    """What a run has come to so far.

    `running` are operations under way by URN; `changes` counts results by kind; `errors` are complaints by URN in the
    order they came; `outputs` are the stack's, secrets left out.
    """

    running: dict[str, Operation] = field(default_factory=dict)
    changes: dict[str, int] = field(default_factory=dict)
    errors: list[tuple[str, str]] = field(default_factory=list)
    outputs: dict[str, Any] = field(default_factory=dict)
    seconds: int = 0

    def take(self, event: Mapping[str, Any]) -> Iterator[Progress]:
        """Takes one engine event in; yields what an operator should see of it."""
        at = float(event.get("timestamp", 0))
        if pre := event.get("resourcePreEvent"):
            self._begin(pre["metadata"], at)
        elif out := event.get("resOutputsEvent"):
            yield from self._finish(out["metadata"], at)
        elif failed := event.get("resOpFailedEvent"):
            self.running.pop(failed["metadata"]["urn"], None)
            yield Progress(f"✗ {short(failed['metadata']['urn'])} failed", "bad")
        elif said := event.get("diagnosticEvent"):
            yield from self._hear(said)
        elif violation := event.get("policyEvent"):
            yield from self._hear_policy(violation)
        elif summary := event.get("summaryEvent"):
            self.changes = dict(summary.get("resourceChanges") or {})
            self.seconds = int(summary.get("durationSeconds", 0))

    @property
    def changed(self) -> dict[str, int]:
        """The counts of what was not left as it was."""
        return {
            kind: count for kind, count in self.changes.items() if count and kind not in ("same", "read", "refresh")
        }

    def _begin(self, metadata: Mapping[str, Any], at: float) -> None:
        if metadata["op"] in DOING and metadata["type"] != OUR_OWN:
            self.running[metadata["urn"]] = Operation(DOING[metadata["op"]], at)

    def _finish(self, metadata: Mapping[str, Any], at: float) -> Iterator[Progress]:
        urn, kind = metadata["urn"], metadata["op"]
        begun = self.running.pop(urn, None)
        if metadata["type"] == OUR_OWN:
            found = ((metadata.get("new") or {}).get("outputs")) or {}
            self.outputs = {name: value for name, value in found.items() if not _is_secret(value)}
        elif (kind not in QUIET and not metadata.get("logical", False)) or (begun and at - begun.since > 2):
            took = f" ({at - begun.since:.0f} s)" if begun and at - begun.since >= 1 else ""
            yield Progress(f"✓ {short(urn)} {DONE.get(kind, kind)}{took}", "good")

    def _hear(self, said: Mapping[str, Any]) -> Iterator[Progress]:
        severity, urn = said.get("severity", ""), said.get("urn", "")
        message = COLOUR.sub("", said.get("message", "")).strip()
        if not message or severity == "debug":
            return
        if said.get("ephemeral"):
            if urn in self.running:
                self.running[urn].detail = message.splitlines()[-1]
        elif severity == "error":
            self.errors.append((urn, message))
        elif severity == "warning":
            yield Progress(f"! {short(urn) + ': ' if urn else ''}{one_line(message)}")
        elif severity.startswith("info") and urn:
            for line in message.splitlines():
                yield Progress(f"  {short(urn).partition(' ')[2]} | {line}", "dim")

    def _hear_policy(self, violation: Mapping[str, Any]) -> Iterator[Progress]:
        message = f"policy {violation['policyName']}: {one_line(COLOUR.sub('', violation['message']))}"
        if violation["enforcementLevel"] == "mandatory":
            self.errors.append(("", message))
        else:
            yield Progress(f"! {message}")


def _is_secret(value: object) -> bool:
    return isinstance(value, dict) and "4dabf18193072939515e22adb298388d" in value


def one_line(message: str) -> str:
    """A message on one line; of a traceback its last line and where in our files it came from."""
    lines = [line.strip() for line in message.splitlines() if line.strip()]
    if any(line.startswith("Traceback (most recent call last)") for line in lines):
        places = [line for line in lines if line.startswith("File ")]
        return f"{lines[-1]} ({places[-1]})" if places else lines[-1]
    return " ".join(lines).removeprefix(WRAPPED)


def reasons(run: Run) -> list[str]:
    """Why a run failed, one line each, the engine's own "update failed" and repetitions left out."""
    found = []
    for urn, message in run.errors:
        text = one_line(message)
        if text in ("update failed", "preview failed", "destroy failed", "refresh failed"):
            continue
        where = short(urn)
        line = text if not urn or OUR_OWN in urn else f"{where}: {text}"
        if line not in found:
            found.append(line)
    return found


class Tail:
    """Reads a growing file of JSON lines, whole lines only."""

    def __init__(self, file: Path) -> None:
        """`file` need not be there yet."""
        self._file = file
        self._offset = 0

    def fresh(self) -> Iterator[dict[str, Any]]:
        """The events written since the last call."""
        try:
            with self._file.open("rb") as stream:
                stream.seek(self._offset)
                content = stream.read()
        except FileNotFoundError:
            return
        end = content.rfind(b"\n") + 1
        self._offset += end
        for line in content[:end].splitlines():
            if line.strip():
                yield json.loads(line)
