"""What compile wants to know of the app's package files: ``facts.py WHAT``, in the app's folder.

``python``: the version that Pipfile.lock, else uv.lock's project, asks for, as "FILE VERSION"; nothing when none does.
``reproducible``: fails when what gets installed does not follow from the lock file alone (folders, repositories).
"""

import json
import sys
import tomllib
from pathlib import Path
from typing import Any


def toml(name: str) -> dict[str, Any]:
    """A TOML file's contents; nothing when it is missing."""
    path = Path(name)
    return tomllib.loads(path.read_text()) if path.is_file() else {}


def pipfile_lock() -> dict[str, Any]:
    """Pipenv's lock; nothing when it is missing."""
    path = Path("Pipfile.lock")
    return json.loads(path.read_text()) if path.is_file() else {}  # type: ignore[no-any-return]


def wanted() -> str:
    """The version of Python that the app's package manager wrote down."""
    requires = pipfile_lock().get("_meta", {}).get("requires", {})
    version = requires.get("python_full_version") or requires.get("python_version")
    if version:
        return f"Pipfile.lock {version}"
    if Path("Pipfile").is_file():
        return ""
    range_ = toml("pyproject.toml").get("project", {}).get("requires-python", "")
    return f"pyproject.toml {range_.replace(' ', '')}" if range_ else ""


def is_reproducible(manager: str) -> bool:
    """Does the lock name everything by version and hash? The app's own package, where it is one, is only linked."""
    match manager:
        case "pipenv":
            packages = pipfile_lock().get("default", {}).values()
            own = {"path", "editable", "git", "file"}
            return bool(packages) and not any(package.keys() & own for package in packages)
        case "poetry":
            build = toml("pyproject.toml").get("tool", {}).get("poetry", {}).get("build")
            return not build and not any("source" in package for package in toml("poetry.lock").get("package", []))
        case "uv":
            sources = [package.get("source", {}) for package in toml("uv.lock").get("package", [])]
            own = {"git", "path", "directory", "url"}
            return not any(source.keys() & own or source.get("editable", ".") != "." for source in sources)
    return False


def main() -> int:
    """Print or tell what the first argument asks for."""
    try:
        if sys.argv[1] == "python":
            print(wanted())
            return 0
        return 0 if is_reproducible(sys.argv[2]) else 1
    except (ValueError, AttributeError, TypeError) as error:
        print(error, file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
