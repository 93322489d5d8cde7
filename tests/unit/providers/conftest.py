"""An operation that keeps what it was told to show."""

from dataclasses import dataclass, field

import pytest

from providers.dynoform.engine import Operation


@dataclass
class Lines:
    """A log that is read by the test."""

    status: list[str] = field(default_factory=list)
    info: list[str] = field(default_factory=list)

    def __call__(self, urn: str, message: str, *, ephemeral: bool) -> None:
        (self.status if ephemeral else self.info).append(message)


@pytest.fixture
def lines() -> Lines:
    return Lines()


@pytest.fixture
def operation(lines: Lines) -> Operation:
    return Operation("urn:pulumi:test::dynoform::dynoform:index:Password::secret", lines)
