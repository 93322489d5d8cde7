"""Everything that Dynoform raises on purpose, by what the caller can do about it.

::

    DynoformError
    ├── InvalidInputError         change the input (HTTP 422)
    ├── NotFoundError             name something that is there (HTTP 404)
    ├── ConflictError             let the other change finish, then try again (HTTP 409)
    ├── UnavailableError          try again later, nothing was changed (HTTP 503)
    └── ConfigurationError        the operator has to change a setting or a secret (HTTP 500)
        └── SealedError           the operator has to bring a key back

Errors that reach a user of the API say what Heroku says, so ``what`` may be the whole sentence. All others name the
thing that failed, why, and the next step.
"""


class DynoformError(Exception):
    """The root: catch it to report any expected failure in one line."""

    def __init__(self, what: str, why: str = "", next_step: str = "") -> None:
        """``what`` failed, ``why``, what to do next; the last two may be empty when ``what`` is a whole sentence."""
        super().__init__(what, why, next_step)
        self.what = what
        self.why = why
        self.next_step = next_step

    def __str__(self) -> str:
        """One line: ``what: why — next``."""
        reason = f"{self.what}: {self.why}" if self.why else self.what
        line = f"{reason} — {self.next_step}" if self.next_step else reason
        return " ".join(line.split())


class InvalidInputError(DynoformError):
    """The input breaks a rule; the caller can change it."""


class NotFoundError(DynoformError):
    """No such thing, or none that the caller may see."""

    def __init__(self, what: str, why: str = "", next_step: str = "", *, resource: str | None = None) -> None:
        """``resource`` is Heroku's word for the kind of thing, ``app`` for instance."""
        super().__init__(what, why, next_step)
        self.resource = resource


class ConflictError(DynoformError):
    """Another change is under way or has won; the same call may work later."""


class UnavailableError(DynoformError):
    """Something that we depend on does not answer; nothing was changed, trying again is safe."""


class ConfigurationError(DynoformError):
    """A setting or a secret is missing or wrong; only the operator can mend it."""


class SealedError(ConfigurationError):
    """Something is kept that was encrypted with another key than the stack has."""
