"""Apps' certificates on a router: on disk for the next HAProxy, in memory of the one that runs, without a reload.

A certificate's file is named by what is in it and whom it is for (``served_certificates.Entry``). So another content is
another file, put beside the old one before that is taken away: there is no moment without.
"""

import hashlib
import os
import ssl
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

from dynoform.domain.served_certificates import Entry
from dynoform.journal import Journal
from dynoform.router import rows
from dynoform.router.files import CONFIGURATION, Identity, identity, put
from dynoform.router.haproxy import Master, NotRunningError
from dynoform.router.rendering import ANSWERS, APPS_CERTIFICATE, CERTIFICATES, GENERATION_KEY, MOUNT, OWN_CERTIFICATE
from dynoform.store.certificate_keys import APPS
from dynoform.store.driver import SmallStore

FOLDER = "certificates"
_AT_ONCE = 50
"""Keys in memory at the same time."""
_WRITERS = 16
"""Threads that write them."""
_MANY = 100
"""More than this are not loaded one by one: each takes ten milliseconds, in which no route changes."""
_OWNER_ALONE = 0o700
_FOLDER_SEEN = str(MOUNT / FOLDER)
_DEFAULT = f"{OWN_CERTIFICATE} *\n"


class Certificates:
    """What the store wants served, brought to the disk and into HAProxy; remembers what was written and refused."""

    def __init__(self, store: SmallStore, directory: Path, master: Master, journal: Journal) -> None:
        """``directory`` is the volume shared with HAProxy."""
        self.store, self.directory, self.master, self.journal = store, directory, master, journal
        self.apps: str | None = None
        """PEM, with its key, of the certificate for all apps' own names, if there is one."""
        self._written: dict[str, Identity] = {}
        self._refused: set[str] = set()
        self._state: tuple[object, ...] = ()

    def step(self, *, woken: bool = False) -> bool:
        """Bring the present state of the store everywhere; True if that changed anything.

        ``woken`` is whether there is news, which mostly is of routes: then nothing else is looked for. Raises
        ``DynoformError`` or ``OSError`` when it cannot; the next pass tries again.
        """
        with self.store.transaction() as connection:
            state = rows.certificates(connection)
            if woken and state == self._state:
                return False
            entries = rows.served(connection)
            answers = rows.answers(connection)
            self.apps = rows.platform_pem(connection, self.store.configuration, APPS)
        there = _identities(self.directory / FOLDER)
        new = [entry for entry in self._served(entries) if there.get(entry.file, 0) != self._written.get(entry.file)]
        for first in range(0, len(new), _AT_ONCE):
            self._write(new[first : first + _AT_ONCE])
        text = _map(answers)
        changed = [self._put_list(entries), self._put(ANSWERS, text), self._put_apps(), bool(new)]
        with suppress(NotRunningError):  # it reads the files when it starts
            changed.append(self._load(entries, text))
        self._tidy(entries)
        self._state = state
        return any(changed)

    def prepare(self) -> None:
        """Have what every configuration names, if only empty."""
        for name in (CERTIFICATES, ANSWERS):
            if not (self.directory / name).exists():
                put(self.directory / name, _DEFAULT if name == CERTIFICATES else "", secret=False)

    def _write(self, entries: Sequence[Entry]) -> None:
        """Put the files of certificates on the disk; those of no use are refused here, as they would keep all others
        from being loaded."""
        with self.store.transaction() as connection:
            found = rows.pems(connection, self.store.configuration, {entry.source for entry in entries})
        folder = self.directory / FOLDER
        if not folder.exists():
            folder.mkdir(_OWNER_ALONE)
            owner = self.directory.stat()
            os.chown(folder, owner.st_uid, owner.st_gid)
        pems = {folder / entry.file: found[entry.source] for entry in entries if entry.source in found}
        # The disk takes them together: one after the other, each would be waited for.
        with ThreadPoolExecutor(_WRITERS) as writers:
            for _ in writers.map(lambda path: put(path, pems[path], secret=True), pems):
                pass
        for entry in entries:
            path = folder / entry.file
            if path not in pems:
                self._refuse(entry, "it cannot be decrypted")
                continue
            try:
                ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(path)
            except (ssl.SSLError, ValueError) as error:
                self._refuse(entry, str(error))
                continue
            self._written[entry.file] = identity(path.stat())

    def _refuse(self, entry: Entry, why: str) -> None:
        self._refused.add(entry.file)
        self.journal.warning("certificate left out", endpoint=entry.source, names=",".join(entry.names[:5]), why=why)

    def _put_list(self, entries: Iterable[Entry]) -> bool:
        lines = (f"{_seen(entry.file)} {' '.join(entry.names)}\n" for entry in self._served(entries))
        return self._put(CERTIFICATES, _DEFAULT + "".join(lines))

    def _served(self, entries: Iterable[Entry]) -> list[Entry]:
        return [entry for entry in entries if entry.file not in self._refused]

    def _put_apps(self) -> bool:
        if self.apps is not None:
            return self._put(APPS_CERTIFICATE, self.apps, secret=True)
        configuration, path = self.directory / CONFIGURATION, self.directory / APPS_CERTIFICATE
        if not path.exists() or (configuration.exists() and str(MOUNT / APPS_CERTIFICATE) in configuration.read_text()):
            return False  # until the next pass, when no configuration names it any more
        path.unlink()
        return True

    def _put(self, name: str, text: str, *, secret: bool = False) -> bool:
        path = self.directory / name
        if path.exists() and path.read_text() == text:
            return False
        put(path, text, secret=secret)
        return True

    def _load(self, entries: Sequence[Entry], answers: str) -> bool:
        """Bring the running HAProxy to the same. One whose configuration names none of it reads it when it reloads."""
        crt_list = MOUNT / CERTIFICATES
        listed = self.master.listed(crt_list)
        if listed is None:
            return False
        changed = self._load_certificates(crt_list, listed, self._served(entries))
        generation = _generation(answers)
        if self.master.value(MOUNT / ANSWERS, GENERATION_KEY) != generation:
            self.master.replace(MOUNT / ANSWERS, answers.splitlines())
            changed = True
        if self.apps is not None and self._shows_other_apps(self.apps):
            self.master.exchange_certificate(MOUNT / APPS_CERTIFICATE, self.apps)
            changed = True
        return changed

    def _shows_other_apps(self, pem: str) -> bool:
        shown = self.master.fingerprint(MOUNT / APPS_CERTIFICATE)
        return shown not in ("", fingerprint(pem))

    def _load_certificates(self, crt_list: Path, listed: Sequence[str], wanted: Sequence[Entry]) -> bool:
        kept = {OWN_CERTIFICATE, *(_seen(entry.file) for entry in wanted)}
        missing, extra = _missing(wanted, listed), [file for file in listed if file not in kept]
        if len(missing) + len(extra) > _MANY:
            # A router that is new or was long without its agent: together they are loaded in a fraction of the time.
            self.master.reload()
            listed = self.master.listed(crt_list) or []
            missing, extra = _missing(wanted, listed), [file for file in listed if file not in kept]
        said = {entry.file: self._add(crt_list, entry) for entry in missing}
        for file in extra:
            self.master.remove_certificate(crt_list, file)
        if missing:
            for entry in _missing(missing, self.master.listed(crt_list) or ()):
                self._refuse(entry, said[entry.file][-300:])
            self._put_list(wanted)
            self.journal.info("certificates loaded", added=len(missing), removed=len(extra))
        return bool(missing or extra)

    def _add(self, crt_list: Path, entry: Entry) -> str:
        pem = (self.directory / FOLDER / entry.file).read_text()
        return self.master.add_certificate(crt_list, Path(_seen(entry.file)), entry.names, pem)

    def _tidy(self, entries: Iterable[Entry]) -> None:
        """Remove the files of certificates that nobody serves any more."""
        wanted = {entry.file for entry in entries}
        self._refused &= wanted
        folder = self.directory / FOLDER
        kept = wanted - self._refused
        for path in folder.iterdir() if folder.exists() else ():
            if path.name not in kept:
                path.unlink()
                self._written.pop(path.name, None)


def fingerprint(pem: str) -> str:
    """SHA-1, in upper-case hex, of the first certificate."""
    end = "-----END CERTIFICATE-----"
    first = pem[pem.index("-----BEGIN CERTIFICATE-----") : pem.index(end) + len(end)]
    return hashlib.sha1(ssl.PEM_cert_to_DER_cert(first), usedforsecurity=False).hexdigest().upper()


def _missing(wanted: Iterable[Entry], listed: Iterable[str]) -> list[Entry]:
    there = set(listed)
    return [entry for entry in wanted if _seen(entry.file) not in there]


def _seen(file: str) -> str:
    """The file as HAProxy sees it."""
    return f"{_FOLDER_SEEN}/{file}"


def _map(answers: Mapping[str, str]) -> str:
    lines = "".join(f"{key} {value}\n" for key, value in sorted(answers.items()))
    return f"{GENERATION_KEY} {_digest(lines)}\n{lines}"


def _generation(text: str) -> str:
    return text.partition("\n")[0].split()[1]


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _identities(folder: Path) -> dict[str, Identity]:
    """What another content of a file changes, as files are replaced."""
    if not folder.exists():
        return {}
    return {file.name: identity(file.stat()) for file in os.scandir(folder)}
