"""Measurements of builds: what they cost beside the languages' own tools, their cache, and many at once."""

import io
import re
import statistics
import tarfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from dynoform.cli import running
from dynoform.cli.bench.deploys import BUILDPACK_BEGINS, BUILDPACK_ENDS, SAMPLE
from dynoform.cli.bench.measure import Bench, Taken
from dynoform.cli.bench.platform import REST_SECONDS
from dynoform.errors import DynoformError

AT_ONCE = 10
SECONDS = 600
CACHE = """
set -e
. /opt/dynoform/buildpacks/lib/common.sh
mkdir tree
for folder in {1..40}; do
  mkdir tree/$folder
  for file in {1..100}; do head -c 51200 /dev/urandom >tree/$folder/$file; done
done
began=$EPOCHREALTIME
cache_save /cache/bench tree key
saved=$EPOCHREALTIME
rm -rf tree
again=$EPOCHREALTIME
cache_has /cache/bench key
cp -a -- /cache/bench/content tree
echo "cache $began $saved $again $EPOCHREALTIME"
rm -rf tree /cache/bench
"""
"""200 MB in 4,000 files, as a build keeps them and takes them back."""
_TIMES = re.compile(r"cache ([\d.]+) ([\d.]+) ([\d.]+) ([\d.]+)")


@dataclass(frozen=True)
class Build:
    """One that has ended well: all its seconds, those of its buildpacks, and what it said."""

    seconds: float
    buildpack: float
    output: str


def overhead(bench: Bench) -> Taken:
    """A build of the sample with one changed line and a warm cache, less the time that its buildpack takes.

    From the call that asks for it to its end. The platform is at rest before.
    """
    with _apps(bench, 1) as (api, (name,)):
        _ended(api, name, _ask(api, name, _sample(bench)))
        time.sleep(REST_SECONDS)
        source = _upload(api, _sample(bench))
        began = time.monotonic()
        build = _ended(api, name, _ask_for(api, name, source), began)
        rest = build.seconds - build.buildpack
        return Taken(rest, {"in all": build.seconds, "buildpack": build.buildpack, "the rest": rest})


def cache(bench: Bench) -> Taken:
    """Seconds to save 200 MB in an app's cache or to restore them, the longer of the two."""
    files = {"requirements.txt": "", "Procfile": "web: true\n", "bin/post_compile": CACHE}
    with _apps(bench, 1) as (api, (name,)):
        said = _ended(api, name, _ask(api, name, _tarball(files))).output
    match = _TIMES.search(said)
    if match is None:
        raise DynoformError("build of the cache's measurement", "said no times", f"it said: {said[-300:]}")
    began, saved, again, restored = map(float, match.groups())
    parts = {"save": saved - began, "restore": restored - again}
    return Taken(max(parts.values()), parts)


def at_once(bench: Bench) -> Taken:
    """Ten builds at once, in percent of the sum of ten one by one; all with a warm cache, all released."""
    with _apps(bench, AT_ONCE) as (api, names):
        source = _sample(bench)
        for name in names:
            _ended(api, name, _ask(api, name, source))
        single = [_ended(api, name, _ask(api, name, source)).seconds for name in names]
        sources = [_upload(api, source) for _ in names]
        began = time.monotonic()
        asked = [_ask_for(api, name, place) for name, place in zip(names, sources, strict=True)]
        for name, build in zip(names, asked, strict=True):
            _ended(api, name, build)
        together = time.monotonic() - began
        parts = {"at once [s]": together, "one by one [s]": sum(single), "median [s]": statistics.median(single)}
        return Taken(100 * together / sum(single), parts)


@contextmanager
def _apps(bench: Bench, count: int) -> Iterator[tuple[running.Api, list[str]]]:
    """Apps of their own, with nothing that runs, gone at the end."""
    api = bench.api()
    names = [f"bench-{uuid.uuid4().hex[:8]}" for _ in range(count)]
    made: list[str] = []
    try:
        for name in names:
            api.post("/apps", {"name": name})
            made.append(name)
        yield api, names
    finally:
        for name in made:
            api.delete(f"/apps/{name}")


def _sample(bench: Bench) -> bytes:
    """The sample's source without its web process, and with one line that no other has."""
    folder = bench.context.places.root / SAMPLE
    files = {str(path.relative_to(folder)): path for path in sorted(folder.rglob("*")) if path.is_file()}
    return _tarball(files | {"Procfile": "job: true\n", "CHANGED": uuid.uuid4().hex})


def _tarball(files: dict[str, str] | dict[str, str | Path]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, content in files.items():
            data = content.read_bytes() if isinstance(content, Path) else content.encode()
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return buffer.getvalue()


def _upload(api: running.Api, source: bytes) -> str:
    blob = api.post("/sources", {})["source_blob"]
    api.put_raw(blob["put_url"], source)
    return str(blob["get_url"])


def _ask_for(api: running.Api, name: str, place: str) -> dict[str, str]:
    asked: dict[str, str] = api.post(f"/apps/{name}/builds", {"source_blob": {"url": place}})
    return asked


def _ask(api: running.Api, name: str, source: bytes) -> dict[str, str]:
    return _ask_for(api, name, _upload(api, source))


def _ended(api: running.Api, name: str, build: dict[str, str], began: float | None = None) -> Build:
    """Follow a build's output to its end. Raises ``DynoformError`` when it fails."""
    started = time.monotonic() if began is None else began
    marks: dict[str, float] = {}
    said = []
    with api.client.stream("GET", build["output_stream_url"], timeout=SECONDS) as stream:
        for piece in stream.iter_text():
            said.append(piece)
            for mark in (BUILDPACK_BEGINS, BUILDPACK_ENDS):
                if mark in "".join(said[-2:]):
                    marks.setdefault(mark, time.monotonic())
    seconds = time.monotonic() - started
    output = "".join(said)
    if api.get(f"/apps/{name}/builds/{build['id']}")["status"] != "succeeded":
        raise DynoformError(f"build of {name}", "failed", f"it said: {output[-300:]}")
    begins = marks.get(BUILDPACK_BEGINS, 0.0)
    return Build(seconds, marks.get(BUILDPACK_ENDS, begins) - begins, output)
