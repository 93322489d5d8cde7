"""What is installed beside a program: its distributions, and the Pulumi plugins they need.

Also a script (``python packages.py plugins|distributions``), so that another virtualenv's interpreter can answer for
itself. A package tells its plugin in ``pulumi-plugin.json`` beside its modules, as Pulumi's generated SDKs do.
"""

import importlib.metadata
import json
import sys
from pathlib import Path
from typing import TypedDict

MANIFEST = "pulumi-plugin.json"


class Plugin(TypedDict):
    """A resource plugin: name (docker), version (5.2.0, empty when unpinned), server (download address or empty)."""

    name: str
    version: str
    server: str


def plugins(search: list[str] | None = None) -> list[Plugin]:
    """Resource plugins asked for by the packages on `search` (default `sys.path`), by name."""
    found: dict[str, Plugin] = {}
    for entry in search if search is not None else sys.path:
        for manifest in sorted(Path(entry or ".").glob(f"*/{MANIFEST}")):
            content = json.loads(manifest.read_text(encoding="utf-8"))
            # `resource: false` marks packages that only call other plugins.
            if content.get("resource") and content.get("name"):
                name = content["name"]
                server = content.get("server") or ""
                found.setdefault(name, Plugin(name=name, version=content.get("version") or "", server=server))
    return [found[name] for name in sorted(found)]


def distributions() -> list[dict[str, str]]:
    """Installed distributions as ``{"name", "version"}``, by name."""
    seen = {dist.metadata["Name"]: dist.version for dist in importlib.metadata.distributions()}
    return [{"name": name, "version": seen[name]} for name in sorted(seen, key=str.lower)]


def answer(question: str) -> list[dict[str, str]]:
    """`question` is ``plugins`` or ``distributions``."""
    if question == "plugins":
        return [{"name": item["name"], "version": item["version"], "server": item["server"]} for item in plugins()]
    return distributions()


if __name__ == "__main__":
    json.dump(answer(sys.argv[1]), sys.stdout)
