"""Brings the Pulumi CLI: from PATH, from Pulumi's own releases, or built from its Go module."""

import json
import os
import platform
import shutil
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from dynoform.cli.console import Console
from dynoform.cli.places import Places
from dynoform.cli.process import Command, run, stream
from dynoform.cli.tools import download, go, probe
from dynoform.cli.tools.store import Store, recipe_digest
from dynoform.errors import DynoformError, UnavailableError

VERSION = "3.259.0"
MINIMUM = (3, 250)
PACKAGE = "github.com/pulumi/pulumi/pkg/v3/cmd/pulumi"
LDFLAGS = f"-s -w -X github.com/pulumi/pulumi/sdk/v3/go/common/version.Version=v{VERSION}"
RELEASES = (
    "https://get.pulumi.com/releases/sdk",
    f"https://github.com/pulumi/pulumi/releases/download/v{VERSION}",
)
BUILD_SECONDS = 1800
PROXY_ANSWERS = "check that the Go module proxy answers (go env GOPROXY)"
BUILD_BYTES = 5 << 30
RECORD = "pulumi.json"


@dataclass(frozen=True)
class Cli:
    """A Pulumi CLI: the program, its version, and where it came from: ``path``, ``official`` or ``built``."""

    program: str
    version: str
    source: str


def version_of(program: Path) -> str:
    """What ``pulumi version`` says, without the v; empty when it does not run."""
    env = {"PULUMI_SKIP_UPDATE_CHECK": "true"}
    try:
        done = run(Command([str(program), "version"], timeout=60, cwd=Path("/"), env=env))
    except DynoformError:
        return ""
    return done.stdout.strip().removeprefix("v") if done.code == 0 else ""


def on_path(path: str) -> Cli | None:
    """The first pulumi on `path` that is new enough. Those in virtualenvs are other checkouts' and do not count."""
    for directory in path.split(os.pathsep):
        program = shutil.which("pulumi", path=directory) if directory else None
        if not program or (Path(directory).parent / "pyvenv.cfg").exists():
            continue
        version = version_of(Path(program))
        if go.numbers(version) >= MINIMUM:
            return Cli(os.path.realpath(program), version, "path")
    return None


def official(store: Store, console: Console, releases: tuple[str, ...] = RELEASES) -> Cli | None:
    """Pulumi's own release, checked against its published checksums; None where it cannot be had."""
    machine = {"x86_64": "x64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
    name = f"pulumi-v{VERSION}-linux-{machine}.tar.gz"
    key = f"pulumi-{VERSION}-official-{machine}"
    found = store.get(key)
    base = None if found else next((url for url in releases if download.is_reachable(f"{url}/{name}")), None)
    if base:
        try:
            found = store.bring(key, lambda target: _fetch(base, name, target, console))
        except UnavailableError as error:
            console.line(str(error), "dim")
    return Cli(str(found / "pulumi"), VERSION, "official") if found else None


def _fetch(base: str, name: str, target: Path, console: Console) -> None:
    with console.step(f"fetching Pulumi {VERSION}"):
        sha256 = download.checksum(download.text(f"{base}/pulumi-{VERSION}-checksums.txt"), name)
        if not sha256:
            raise UnavailableError(f"{base}/{name}", "is not in its publisher's list of checksums")
        archive = target / name
        download.checked(f"{base}/{name}", sha256, archive)
        download.unpack(archive, target / "unpacked")
        archive.unlink()
        top = target / "unpacked" / "pulumi"
        # Older archives keep the programs in bin/.
        download.copy_tree(top / "bin" if (top / "bin").is_dir() else top, target)
        shutil.rmtree(target / "unpacked")
    if version_of(target / "pulumi") != VERSION:
        raise UnavailableError(f"{base}/{name}", f"does not run as version {VERSION} on this machine")


def built(store: Store, places: Places, path: str, console: Console) -> Cli:
    """Built from the Go module in tools/pulumi; minutes the first time.

    Raises `DynoformError` when there is no room or the build fails.
    """
    module = places.root / "tools" / "pulumi"
    parts = [(module / name).read_bytes() for name in ("go.mod", "go.sum")]
    key = f"pulumi-{VERSION}-built-{recipe_digest(*parts, LDFLAGS, platform.machine())}"
    entry = store.get(key) or store.bring(key, lambda target: _build(store, places, path, module, target, console))
    return Cli(str(entry / "pulumi"), VERSION, "built")


def _build(store: Store, places: Places, path: str, module: Path, target: Path, console: Console) -> None:
    free = shutil.disk_usage(target).free
    if free < BUILD_BYTES:
        why = f"building Pulumi needs {BUILD_BYTES >> 30} GiB, {free >> 30} GiB are free"
        raise DynoformError(str(places.cache), why, "free some space, or install Pulumi and put it on PATH")
    toolchain = go.bring(store, places.root, path, go.needed(module), console)
    own_caches = places.cache / "go-build"
    env = {"CGO_ENABLED": "0", "GOTOOLCHAIN": "local", "GOFLAGS": "-mod=readonly", "GOWORK": "off", **toolchain.env}
    if toolchain.env:
        env |= {"GOMODCACHE": str(own_caches / "mod"), "GOCACHE": str(own_caches / "objects")}
    argv = [str(toolchain.go), "build", "-trimpath", "-v", "-ldflags", LDFLAGS, "-o", str(target / "pulumi"), PACKAGE]
    packages = 0

    def note(line: str) -> None:
        nonlocal packages
        packages += not line.startswith("go: ")
        step.detail = line if line.startswith("go: ") else f"{packages} packages compiled"

    with console.step(f"building Pulumi {VERSION} from its Go module") as step:
        done = stream(Command(argv, timeout=BUILD_SECONDS, cwd=module, env=env, if_late=PROXY_ANSWERS), note)
    if done.code or version_of(target / "pulumi") != VERSION:
        why = f"did not build: {done.last_words}"
        raise DynoformError("tools/pulumi", why, done.next_step(PROXY_ANSWERS))
    if own_caches.exists():
        # Go makes its module cache read-only.
        run(Command([str(toolchain.go), "clean", "-modcache"], timeout=300, cwd=module, env=env))
        shutil.rmtree(own_caches, ignore_errors=True)


def bring(places: Places, environ: Mapping[str, str], console: Console) -> Cli:
    """The CLI, installed as ``.venv/bin/pulumi``. Takes no time when it is there already.

    `DYNOFORM_OFFICIAL=never` in `environ` leaves Pulumi's own downloads out.
    """
    known = installed(places)
    if known:
        return known
    store = Store(places.cache / "tools")
    path = environ.get("PATH", os.defpath)
    ways: list[Callable[[], Cli | None]] = [lambda: on_path(path)]
    if environ.get("DYNOFORM_OFFICIAL") != "never":
        ways.append(lambda: official(store, console))
    cli = next((found for found in (way() for way in ways) if found), None) or built(store, places, path, console)
    install(places, cli)
    return cli


def installed(places: Places) -> Cli | None:
    """What `install` left in the virtualenv, if it still is that very file."""
    try:
        record = json.loads((places.venv / RECORD).read_text(encoding="utf-8"))
        cli = Cli(**record["cli"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return cli if record["file"] == probe.identity(places.pulumi) else None


def install(places: Places, cli: Cli) -> None:
    """Puts `cli` into the virtualenv.

    Pulumi looks for its language hosts beside its own file: a link keeps the official ones found, if the one for Python
    works, a file of its own lets ours be found.
    """
    target = places.pulumi
    fresh = target.with_name(f".pulumi.{os.getpid()}")
    fresh.unlink(missing_ok=True)
    host = Path(cli.program).parent / "pulumi-language-python"
    if host.exists() and probe.version(host, probe.LANGUAGE_HOST) is not None:
        fresh.symlink_to(cli.program)
    else:
        try:
            os.link(cli.program, fresh)
        except OSError:
            shutil.copy2(cli.program, fresh)
    fresh.replace(target)
    record = {"cli": asdict(cli), "file": probe.identity(target)}
    (places.venv / RECORD).write_text(json.dumps(record), encoding="utf-8")
