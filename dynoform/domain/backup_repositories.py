"""Where the repositories of databases' backups are: on a volume beside each, in S3, or on another host by SFTP. Pure.

Settings are those of ``backupRepository`` in Pulumi.yaml. Options are pgBackRest's (https://pgbackrest.org/configuration.html).
"""

import re
from collections.abc import Mapping
from typing import Any
from uuid import UUID

from dynoform.errors import InvalidInputError

SETTING, KEY_SETTING = "backupRepository", "backupRepositoryKey"
S3, SFTP = "s3", "sftp"
FILES = "/tmp/repository"  # noqa: S108 - private to the container
"""Where ``images/postgres/opens`` puts what has to be a file."""
_KEYS = {
    S3: ({"bucket", "endpoint", "region"}, {"prefix", "port", "uriStyle", "authorities"}),
    SFTP: ({"host", "user", "knownHosts"}, {"path", "port"}),
}
"""Kind → settings that it needs, and that it may have."""
_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?")
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_WORD = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_PATH = re.compile(r"(/[A-Za-z0-9_.-]+)*")
_STYLES = ("host", "path")
_LONGEST = 32_768
"""Of one setting, in characters: they are told to programs in environment variables, which have an end."""
_CERTIFICATE, _PRIVATE = "-----BEGIN CERTIFICATE-----", "PRIVATE KEY-----"


def check(settings: Mapping[str, Any]) -> None:
    """Raise ``InvalidInputError`` naming the first setting that cannot be; none at all is a volume beside each."""
    if not settings:
        return
    kind = settings.get("type")
    if kind not in _KEYS:
        raise _wrong("type", f"is {kind!r}", f"use {S3} or {SFTP}")
    needed, possible = _KEYS[kind]
    unknown = sorted(set(settings) - needed - possible - {"type"})
    if unknown:
        raise _wrong(unknown[0], f"is not a setting of {kind}", f"there are {', '.join(sorted(needed | possible))}")
    missing = sorted(needed - {name for name, value in settings.items() if value})
    if missing:
        raise _wrong(missing[0], "is missing", f"{kind} needs {', '.join(sorted(needed))}")
    long = sorted(name for name, value in settings.items() if len(str(value)) > _LONGEST)
    if long:
        raise _wrong(long[0], f"is longer than {_LONGEST} characters", "give what this place needs alone")
    port = settings.get("port", 1)
    if isinstance(port, bool) or not isinstance(port, int) or not 0 < port < 65536:
        raise _wrong("port", f"is {port!r}", "use a number from 1 to 65535")
    _check_s3(settings) if kind == S3 else _check_sftp(settings)


def check_key(settings: Mapping[str, Any], key: str) -> None:
    """Raise ``InvalidInputError`` for a key that does not go with the settings."""
    if bool(settings) != bool(key):
        missing, other = (KEY_SETTING, SETTING) if settings else (SETTING, KEY_SETTING)
        raise InvalidInputError(missing, f"is missing, while {other} is set", "set both")
    if not key:
        return
    if settings["type"] == S3 and not re.fullmatch(r"[^\s:]+:\S+", key.strip()):
        raise InvalidInputError(KEY_SETTING, "is not ID:SECRET", "give the access key's id, a colon, and its secret")
    if settings["type"] == SFTP and _PRIVATE not in key:
        raise InvalidInputError(KEY_SETTING, "is no private key", "give what ssh-keygen has written")


def where(settings: Mapping[str, Any], stack: str, addon: UUID) -> str:
    """The place of one database's repository, for people and to tell places apart; empty for a volume beside it.

    A port is no part of it: what is there may be reached by another.
    """
    if not settings:
        return ""
    kind = settings["type"]
    server = f"{settings['endpoint']}/{settings['bucket']}" if kind == S3 else settings["host"]
    return f"{kind}://{server}{_path(settings, stack, addon)}"


def lines(settings: Mapping[str, Any], key: str, stack: str, addon: UUID) -> str:
    """pgBackRest's options for one database's repository; empty for a volume beside it.

    What has to be a file is in comments, which ``images/postgres/opens`` writes into ``FILES``.
    """
    if not settings:
        return ""
    kind = settings["type"]
    options = {"type": kind, "path": _path(settings, stack, addon)}
    options |= _s3(settings, key.strip()) if kind == S3 else _sftp(settings)
    files = {"authorities": settings.get("authorities") or "", "known_hosts": settings.get("knownHosts") or ""}
    if kind == SFTP:
        files["key"] = key
    told = [f"repo1-{name}={value}" for name, value in options.items()]
    told += [f"#{name} {line}" for name, text in files.items() for line in text.strip().splitlines()]
    return "\n".join(told) + "\n"


def _path(settings: Mapping[str, Any], stack: str, addon: UUID) -> str:
    folder = settings.get("prefix" if settings["type"] == S3 else "path") or ""
    return f"{folder}/{stack}/{addon}"


def _s3(settings: Mapping[str, Any], key: str) -> dict[str, Any]:
    identifier, _, secret = key.partition(":")
    found: dict[str, Any] = {
        "s3-bucket": settings["bucket"],
        "s3-endpoint": settings["endpoint"],
        "s3-region": settings["region"],
        "s3-uri-style": settings.get("uriStyle", "host"),
        "s3-key": identifier,
        "s3-key-secret": secret,
    }
    if settings.get("port"):
        found["storage-port"] = settings["port"]
    if settings.get("authorities"):
        found["storage-ca-file"] = f"{FILES}/authorities"
    return found


def _sftp(settings: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "sftp-host": settings["host"],
        "sftp-host-port": settings.get("port", 22),
        "sftp-host-user": settings["user"],
        "sftp-host-key-check-type": "strict",
        "sftp-host-key-hash-type": "sha256",
        "sftp-known-host": f"{FILES}/known_hosts",
        "sftp-private-key-file": f"{FILES}/key",
    }


def _check_s3(settings: Mapping[str, Any]) -> None:
    _match("bucket", settings, _BUCKET, "use a bucket's name")
    _match("endpoint", settings, _HOST, "use a host's name, without https:// and port")
    _match("region", settings, _WORD, "use a region's name, such as eu-central-1")
    _match("prefix", settings, _PATH, "use /letters/and/digits")
    if settings.get("uriStyle", "host") not in _STYLES:
        raise _wrong("uriStyle", f"is {settings['uriStyle']!r}", f"use {' or '.join(_STYLES)}")
    if settings.get("authorities") and _CERTIFICATE not in str(settings["authorities"]):
        raise _wrong("authorities", "is no certificate", "give PEM")


def _check_sftp(settings: Mapping[str, Any]) -> None:
    _match("host", settings, _HOST, "use a host's name or address")
    _match("user", settings, _WORD, "use a user's name")
    _match("path", settings, _PATH, "use /letters/and/digits")
    if len(str(settings["knownHosts"]).split()) < 3:
        raise _wrong("knownHosts", "has no host's key", "give what ssh-keyscan prints")


def _match(name: str, settings: Mapping[str, Any], pattern: "re.Pattern[str]", next_step: str) -> None:
    value = settings.get(name, "")
    if name in settings and not (isinstance(value, str) and pattern.fullmatch(value)):
        raise _wrong(name, f"is {value!r}"[:80], next_step)


def _wrong(name: str, why: str, next_step: str) -> InvalidInputError:
    return InvalidInputError(f"{SETTING}.{name}", why, next_step)
