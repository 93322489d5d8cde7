"""Programs that tests need, built from Go modules; each ``go.sum`` pins every module by its hash."""

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

from dynoform.cli.console import Console
from dynoform.cli.places import CHECKOUT, Places
from dynoform.cli.tools import go
from dynoform.cli.tools.store import Store, recipe_digest

BUILD_SECONDS = 900


def bring(module: Path, packages: Sequence[str]) -> Path:
    """The folder with the programs of these packages, from the cache or built in ``module`` (with its go.mod)."""
    places = Places.from_environment()
    store = Store(places.cache / "tools")
    recipe = recipe_digest(*((module / name).read_bytes() for name in ("go.mod", "go.sum")))

    def make(target: Path) -> None:
        path = os.environ.get("PATH", os.defpath)
        toolchain = go.bring(store, CHECKOUT, path, go.needed(module), Console(os.environ))
        settings = {"CGO_ENABLED": "0", "GOTOOLCHAIN": "local", "GOFLAGS": "-mod=readonly", "GOWORK": "off"}
        if toolchain.env:
            caches = places.cache / "go-build"
            settings |= {"GOMODCACHE": str(caches / "mod"), "GOCACHE": str(caches / "objects")}
        command = [toolchain.go, "build", "-trimpath", "-buildvcs=false", "-o", f"{target}/", *packages]
        environment = {**os.environ, **settings, **toolchain.env}
        done = subprocess.run(
            command, cwd=module, env=environment, capture_output=True, text=True, timeout=BUILD_SECONDS
        )
        assert done.returncode == 0, done.stderr

    return store.bring(f"{module.name}-{recipe}", make)
