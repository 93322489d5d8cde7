"""What users have uploaded: on the platform's host on its disk, from any other host by the API."""

import uuid
from pathlib import Path

from dynoform.attempts import attempts
from dynoform.configuration import Configuration
from dynoform.domain import builds, uploads
from dynoform.errors import InvalidInputError, UnavailableError
from dynoform.store.secrets import Vault

_RETRY_SECONDS = 30
_PIECE = 1024 * 1024


class Uploads:
    """Tarballs of sources and slugs, by their ids."""

    def __init__(self, configuration: Configuration, vault: Vault) -> None:
        """Links are signed with the ``vault``'s key, which the API has too."""
        self._configuration = configuration
        self._vault = vault

    def path(self, identifier: uuid.UUID, folder: Path) -> Path:
        """A file with it, in ``folder`` if it is not on this host.

        Raises ``InvalidInputError`` when nobody has it any more, ``UnavailableError`` when the API does not answer.
        """
        own = self._configuration.sources / str(identifier)
        if own.is_file():
            return own
        place = folder / str(identifier)
        token = self._vault.sign(uploads.PURPOSE, {"upload": str(identifier)}, uploads.SECONDS)
        failure = ""
        for _ in attempts(_RETRY_SECONDS):
            try:
                self._fetch(f"{self._configuration.internal_api_url}{uploads.path(identifier)}", token, place)
                return place
            except OSError as error:
                failure = str(error)
        raise UnavailableError("upload", f"cannot be fetched from the API ({failure})", "look at bin/dynoform status")

    def _fetch(self, url: str, token: str, place: Path) -> None:
        import httpx  # takes time, and the host with the uploads does without

        try:
            with httpx.stream("GET", url, params={"token": token}, timeout=30, trust_env=False) as answer:
                if answer.status_code == httpx.codes.NOT_FOUND:
                    raise InvalidInputError("source", "is gone", "upload it again")
                if answer.status_code != httpx.codes.OK:
                    raise OSError(f"it answers {answer.status_code}")  # httpx would tell the link
                with place.open("wb") as file:
                    for piece in answer.iter_raw(_PIECE):
                        file.write(piece)
                        if file.tell() > builds.SOURCE_BYTES:
                            raise InvalidInputError(
                                "source", f"is larger than {builds.megabytes(builds.SOURCE_BYTES)}", "leave some out"
                            )
        except httpx.HTTPError as error:
            raise OSError(str(error) or type(error).__name__) from error
