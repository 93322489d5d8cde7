"""Programs that roles run on hosts, as modules: on a host they stand alone, so no package has them."""

import importlib.util
from pathlib import Path
from types import ModuleType

ROLES = Path(__file__).resolve().parents[1] / "roles"


def load(role: str, name: str) -> ModuleType:
    """``roles/<role>/files/<name>.py``."""
    spec = importlib.util.spec_from_file_location(name, ROLES / role / "files" / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
