"""A log plane whose drains may lead to this machine, and receivers for them."""

import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dynoform.domain.log_drains import Reach
from dynoform.logplex.places import Connector
from dynoform.logplex_tls import Identity
from tests.contract.receiver import Receiver, receiver
from tests.integration.certificates import Authority
from tests.log_plane import LOCAL, Plane


@pytest.fixture(scope="session")
def authority() -> Authority:
    """Signs the log plane's certificate, and receivers' ones."""
    return Authority()


@pytest.fixture
def app() -> str:
    """An app's id."""
    return str(uuid.uuid4())


@pytest.fixture
def identity(authority: Authority, tmp_path: Path) -> Identity:
    """The log plane's certificate, in files."""
    certificate, key = authority.issue("logplex", LOCAL, "logplex")
    made = Identity(tmp_path / "logplex.crt", tmp_path / "logplex.key", tmp_path / "ca.crt")
    for path, text in ((made.certificate, certificate), (made.key, key), (made.authority, authority.pem)):
        path.write_bytes(text)
    return made


@pytest.fixture
def plane(authority: Authority, tmp_path: Path) -> Iterator[Plane]:
    """A log plane without TLS that keeps its lines in a folder."""
    (tmp_path / "authorities.pem").write_bytes(authority.pem)
    (tmp_path / "lines").mkdir()
    reach = Reach(networks=("127.0.0.0/8",))
    made = Plane(folder=tmp_path / "lines", connector=Connector(reach, tmp_path / "authorities.pem"))
    yield made
    made.stop()


@pytest.fixture
def https(authority: Authority, tmp_path: Path) -> Iterator[Receiver]:
    """A receiver of HTTPS."""
    with receiver(authority, tmp_path) as made:
        yield made


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Sets how long drains wait after a failure."""
    from dynoform.domain import log_drains

    return lambda seconds: monkeypatch.setattr(log_drains, "pause", lambda failures: seconds)
