"""``python providers/python_language ENGINE_ADDRESS``: started by path, so no installed package is needed."""

import sys
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parents[2])

from providers.python_language.server import main  # noqa: E402 the path comes first

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
