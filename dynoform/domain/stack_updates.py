"""Which packages of a stack image have a newer version in Debian's archive, as the host's own mirror has it.

The archive's indices are asked, which every host that can build images can reach; they say what is fixed where, and
not which CVE it was.
"""

import hashlib
import re
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from dynoform.domain.sbom import Package
from dynoform.errors import UnavailableError

SECONDS = 180
"""How long asking may take."""
_MARK = "== policy =="
_NAME = re.compile(r"^(\S+?)(?::[a-z0-9]+)?:$")
_VERSION = re.compile(r"^ (?:\*\*\*|   ) (\S+) -?\d+$")
_ORIGIN = re.compile(r"^\s+-?\d+ \S+ (\S+)/\S+ \S+ Packages$")
_CANDIDATE = re.compile(r"^  Candidate: (\S+)$")
_DIGITS = 12


@dataclass(frozen=True)
class Update:
    """A package with a newer version: ``candidate`` is in ``suite`` (``trixie-security``).

    ``security``: that version, or one between, came by Debian's security archive.
    """

    package: str
    source: str
    version: str
    candidate: str
    suite: str
    security: bool

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


@dataclass(frozen=True)
class _Offer:
    version: str
    suites: tuple[str, ...]


def command(packages: Iterable[Package]) -> list[str]:
    """What to run in a container of the build image, as root, to ask the mirror about these packages."""
    names = shlex.join(sorted({package.name for package in packages}))
    # Without Error-Mode apt calls a mirror that does not answer a success, with the lists of before: none.
    script = f"apt-get update -q -o APT::Update::Error-Mode=any >&2 && echo '{_MARK}' && apt-cache policy {names}"
    return ["sh", "-c", script]


def find(packages: Iterable[Package], output: str) -> list[Update]:
    """The updates that the output of ``command`` tells of, by name.

    Raises ``UnavailableError`` with apt's last line when the mirror did not answer.
    """
    complaint, mark, text = output.partition(f"{_MARK}\n")
    if not mark:
        lines = [line.strip() for line in complaint.splitlines() if line.strip()]
        why = f"cannot be asked for updates: {lines[-1] if lines else 'apt-get said nothing'}"
        raise UnavailableError(
            "Debian's package mirror", why[:300], "check the host's /etc/apt sources and its network"
        )
    offers = _offers(text)
    found = [_update(package, offers[package.name]) for package in packages if package.name in offers]
    return sorted((update for update in found if update), key=lambda update: update.package)


def fingerprint(updates: Iterable[Update]) -> str:
    """Of what they bring; empty for none. Another one has the engine ask the mirror again (``images/stack-13``)."""
    lines = sorted(f"{update.package} {update.candidate}\n" for update in updates)
    return hashlib.sha256("".join(lines).encode()).hexdigest()[:_DIGITS] if lines else ""


def counted(updates: Iterable[Update]) -> str:
    """For people: ``3 packages, 2 of them by Debian's security archive``."""
    found = list(updates)
    security = sum(update.security for update in found)
    noun = "package" if len(found) == 1 else "packages"
    return f"{len(found)} {noun}" + (f", {security} of them from Debian's security archive" if security else "")


def _offers(text: str) -> Mapping[str, tuple[str, tuple[_Offer, ...]]]:
    """Package → its candidate, and the versions that there are, newest first."""
    candidates: dict[str, str] = {}
    versions: dict[str, list[_Offer]] = {}
    name = ""
    for line in text.splitlines():
        if match := _NAME.match(line):
            name = match[1]
            versions[name] = []
        elif match := _CANDIDATE.match(line):
            candidates[name] = match[1]
        elif match := _VERSION.match(line):
            versions[name].append(_Offer(match[1], ()))
        elif (match := _ORIGIN.match(line)) and versions.get(name):
            last = versions[name].pop()
            versions[name].append(_Offer(last.version, (*last.suites, match[1])))
    return {name: (candidate, tuple(versions[name])) for name, candidate in candidates.items()}


def _update(package: Package, offered: tuple[str, tuple[_Offer, ...]]) -> Update | None:
    candidate, offers = offered
    if candidate in ("(none)", package.version):
        return None
    known = [offer.version for offer in offers]
    here = known.index(package.version) if package.version in known else len(known)
    first = known.index(candidate) if candidate in known else 0
    if here < first:
        return None  # what the image has is newer than what the mirror would install
    newer = [suite for offer in offers[first:here] for suite in offer.suites]
    suite = next(iter(offers[first].suites), "") if offers else ""
    security = any(each.endswith("-security") for each in newer)
    return Update(package.name, package.source, package.version, candidate, suite, security)
