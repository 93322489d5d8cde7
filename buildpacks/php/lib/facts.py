"""What compile wants to know of composer.json: lines of NAME=VALUE. Run in the app's folder."""

import json
from pathlib import Path
from typing import Any

_INCLUDED = """
bcmath calendar core ctype curl date dom exif ffi fileinfo filter ftp gettext hash iconv intl json libxml mbstring
mysqli mysqlnd opcache openssl pcntl pcre pdo pdo_mysql pdo_pgsql pdo_sqlite pgsql phar posix random readline
reflection session shmop simplexml sockets sodium spl sqlite3 standard sysvmsg sysvsem sysvshm tokenizer xml
xmlreader xmlwriter xsl zend-opcache zip zlib
"""
INCLUDED = frozenset(_INCLUDED.split())
"""Extensions that every app gets."""


def read(name: str) -> dict[str, Any]:
    """A JSON file's object; nothing when it is missing."""
    path = Path(name)
    return json.loads(path.read_text()) if path.is_file() else {}  # type: ignore[no-any-return]


def main() -> None:
    """Print the constraint on PHP, the extensions to add, and whether there is anything to install or compile."""
    manifest, lock = read("composer.json"), read("composer.lock")
    wanted = [
        manifest.get("require", {}),
        lock.get("platform") or {},
        *(one.get("require", {}) for one in lock.get("packages", [])),
    ]
    names = {name.removeprefix("ext-").lower() for required in wanted for name in required if name.startswith("ext-")}
    print(f"php={manifest.get('require', {}).get('php', '')}")
    print(f"extensions={' '.join(sorted(names - INCLUDED))}")
    print(f"composer={bool(manifest)}")
    print(f"locked={bool(lock)}")
    print(f"compile={'compile' in manifest.get('scripts', {})}")


if __name__ == "__main__":
    main()
