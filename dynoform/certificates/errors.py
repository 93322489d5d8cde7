"""What keeps a certificate from being had, by who can do something about it."""

from dynoform.errors import DynoformError


class RefusedError(DynoformError):
    """The authority does not believe the name, or does not issue for it: its owner has to act."""


class LimitedError(DynoformError):
    """The authority wants to be asked later."""


class AwayError(DynoformError):
    """The authority does not answer, or not as it should: it is asked again."""


class ProofError(AwayError):
    """The platform could not put its proof where the authority looks for it."""


class OrderGoneError(AwayError):
    """The authority does not know the order, or takes it no further: another one is begun."""


class AccountGoneError(AwayError):
    """The authority does not know the account: another one is made."""
