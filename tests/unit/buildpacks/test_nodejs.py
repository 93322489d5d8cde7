import base64
import gzip
import hashlib
import io
import json
import platform
import shutil
import subprocess
import sys
import tarfile
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.unit.buildpacks.conftest import Workshop

pytest.importorskip("yaml")
pytestmark = pytest.mark.skipif(
    shutil.which("node") is None or shutil.which("npm") is None, reason="no node and npm on PATH"
)


def manifest(**more: Any) -> str:
    return json.dumps({"name": "app", "version": "1.0.0", **more})


def version() -> str:
    return subprocess.run(["node", "-p", "process.versions.node"], stdout=subprocess.PIPE, text=True).stdout.strip()


def test_the_build_script_runs_with_the_config_vars(workshop: Workshop) -> None:
    workshop.write(package__json=manifest(scripts={"build": "echo building with $ASSET_HOST", "start": "true"}))
    workshop.config(ASSET_HOST="cdn", PATH="/nowhere", NODE_OPTIONS="--bad")
    answer = workshop.build()
    assert answer.code == 0, answer.output
    assert "-----> Running build\n" in answer.output and "       building with cdn\n" in answer.output
    assert answer.result == {"buildpacks": ["nodejs"], "process_types": {"web": "npm start"}, "procfile": ""}


def test_heroku_postbuild_takes_the_place_of_build(workshop: Workshop) -> None:
    scripts = {"build": "echo one", "heroku-postbuild": "echo two", "heroku-prebuild": "echo zero"}
    workshop.write(package__json=manifest(scripts=scripts))
    output = workshop.build().output
    assert "       zero\n" in output and "       two\n" in output and "       one\n" not in output


def test_a_failing_script_is_named(workshop: Workshop) -> None:
    workshop.write(package__json=manifest(scripts={"build": "exit 3"}))
    answer = workshop.build()
    assert answer.result == {"failure": "failed to compile Node.js app"}
    assert "package.json: the script 'build' failed, see above: mend it and push again" in answer.output


def test_engines_are_respected(workshop: Workshop) -> None:
    workshop.write(package__json=manifest(engines={"node": ">=4.0.0"}))
    assert f"-----> Using Node.js {version()}, as engines.node asks for >=4.0.0\n" in workshop.build().output
    workshop.write(package__json=manifest(engines={"node": "4.x"}))
    answer = workshop.build(npm_config_registry="http://127.0.0.1:9", npm_config_fetch_retries="0")
    assert answer.result == {"failure": "failed to compile Node.js app"}
    line = f"Node.js 4.x is not on dynoform-13, which has {version()}, and the npm registry does not answer: try again"
    assert f" !     engines.node: {line}\n" in answer.output


def test_a_package_that_is_not_json_is_refused_in_one_line(workshop: Workshop) -> None:
    workshop.write(package__json="{")
    answer = workshop.build()
    (line,) = [line for line in answer.output.splitlines() if line.startswith(" !")]
    assert line.startswith(" !     package.json or package-lock.json: cannot be read (SyntaxError")


def test_two_lock_files_are_refused_by_name(workshop: Workshop) -> None:
    workshop.write(package__json=manifest())
    (workshop.app / "package-lock.json").write_text("{}")
    (workshop.app / "yarn.lock").write_text("")
    line = "package-lock.json and yarn.lock: which of them counts? Keep the one of your package manager and push again"
    assert f" !     {line}\n" in workshop.build().output


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[dict[str, str]]:
    """A registry for the real npm, with programs that are scripts: Node.js, yarn, pnpm. npm's settings for it."""
    node = (
        '#!/bin/sh\nif [ "$1" = --version ]; then echo v99.1.0; else exec ' + str(shutil.which("node")) + ' "$@"; fi\n'
    )
    yarn = '#!/usr/bin/env node\nconsole.log("yarn " + process.argv.slice(2).join(" "))\n'
    arch = {"x86_64": "x64", "aarch64": "arm64"}[platform.machine()]
    packages = {
        f"node-linux-{arch}": (["98.0.0", "99.0.0", "99.1.0"], {"package/bin/node": node, "package/include/x.h": ""}),
        "yarn": (["1.22.22"], {"package/bin/yarn.js": yarn}),
        "pnpm": (["9.15.0", "10.1.0"], {"package/bin/pnpm.cjs": yarn.replace("yarn ", "pnpm ")}),
    }

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            _, name, *rest = self.path.split("/")
            if name not in packages:
                return self.send_error(404)
            body = archive(packages[name][1]) if rest else self.document(name).encode()
            self.send_response(200)
            self.end_headers()
            self.wfile.write(body)
            return None

        def document(self, name: str) -> str:
            versions, files = packages[name]
            integrity = "sha512-" + base64.b64encode(hashlib.sha512(archive(files)).digest()).decode()
            base = f"http://{self.headers['Host']}/{name}/-/{name}"
            shown = {
                one: {"name": name, "version": one, "dist": {"tarball": f"{base}-{one}.tgz", "integrity": integrity}}
                for one in versions
            }
            return json.dumps({"name": name, "dist-tags": {"latest": versions[-1]}, "versions": shown})

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield {"npm_config_registry": f"http://127.0.0.1:{server.server_port}", "npm_config_fetch_retries": "0"}
    server.shutdown()
    thread.join()
    server.server_close()


def archive(files: dict[str, str]) -> bytes:
    """A package's tarball, always the same for the same files."""
    buffer = io.BytesIO()
    with gzip.GzipFile(fileobj=buffer, mode="wb", mtime=0) as packed, tarfile.open(fileobj=packed, mode="w") as tar:
        for name, text in {**files, "package/package.json": '{"name": "x", "version": "1.0.0"}'}.items():
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(text), 0o755
            tar.addfile(member, io.BytesIO(text.encode()))
    return buffer.getvalue()


def test_another_node_comes_from_the_registry(workshop: Workshop, registry: dict[str, str]) -> None:
    workshop.write(package__json=manifest(engines={"node": "99.x"}))
    answer = workshop.build(**registry)
    assert answer.code == 0, answer.output
    assert "-----> Using Node.js 99.1.0, as engines.node asks for 99.x\n" in answer.output
    assert [path.name for path in (workshop.app / ".heroku/node/bin").iterdir()] == ["node"]
    assert not (workshop.app / ".heroku/node/include").exists()
    gone = {"npm_config_registry": "http://127.0.0.1:9", "npm_config_fetch_retries": "0"}
    shutil.rmtree(workshop.app / ".heroku")
    assert (
        "-----> Using Node.js 99.1.0" in workshop.build(**gone).output
    )  # the cache has it, for a day without a question


@pytest.mark.parametrize(("file", "text"), [(".nvmrc", "v97\n"), (".node-version", "97.1.0\n")])
def test_versions_to_be_had_are_named(workshop: Workshop, registry: dict[str, str], file: str, text: str) -> None:
    workshop.write(package__json=manifest())
    (workshop.app / file).write_text(text)
    line = f"{file}: Node.js {text.strip().lstrip('v')} cannot be had: ask for one of 99.1.0, 98.0.0, or the stack's"
    assert f" !     {line} {version()}\n" in workshop.build(**registry).output


def test_what_the_registry_sends_is_checked(workshop: Workshop, registry: dict[str, str], tmp_path: Path) -> None:
    workshop.write(package__json=manifest(engines={"node": "99.x"}))
    with pytest.MonkeyPatch.context() as patch:
        calls = iter(range(99))
        patch.setattr(
            sys.modules[__name__], "archive", lambda files, make=archive: make({**files, "n": str(next(calls))})
        )
        answer = workshop.build(**registry)
    assert " !     engines.node: Node.js 99.1.0 cannot be fetched from the npm registry: try again\n" in answer.output


@pytest.mark.parametrize(
    ("file", "text", "pinned", "used"),
    [
        ("yarn.lock", "# yarn lockfile v1\n", {}, "yarn 1.22.22"),
        ("pnpm-lock.yaml", "lockfileVersion: '9.0'\n", {}, "pnpm 10.1.0"),
        ("pnpm-lock.yaml", "lockfileVersion: '9.0'\n", {"packageManager": "pnpm@9.15.0+sha512.x"}, "pnpm 9.15.0"),
        ("pnpm-lock.yaml", "lockfileVersion: '9.0'\n", {"engines": {"pnpm": "9.x"}}, "pnpm 9.15.0"),
    ],
)
def test_a_lock_file_chooses_the_package_manager(
    workshop: Workshop, registry: dict[str, str], file: str, text: str, pinned: dict[str, Any], used: str
) -> None:
    workshop.write(package__json=manifest(scripts={"build": "unused"}, **pinned))
    (workshop.app / file).write_text(text)
    answer = workshop.build(**registry)
    assert answer.code == 0, answer.output
    name = used.partition(" ")[0]
    assert f"-----> Using {used}\n-----> Installing dependencies with {name} install\n" in answer.output
    assert f"       {name} install --frozen-lockfile" in answer.output
    assert f"-----> Running build\n       {name} run build\n" in answer.output


@pytest.mark.parametrize(("files", "types"), [({}, {}), ({"server__js": ""}, {"web": "npm start"})])
def test_what_cannot_be_started_gets_no_default_process_type(
    workshop: Workshop, files: dict[str, str], types: dict[str, str]
) -> None:
    workshop.write(package__json=manifest(), **files)
    assert workshop.build().result["process_types"] == types
