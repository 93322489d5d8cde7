"""Apps' certificates in real HAProxy: by name, without a reload, from files after a restart; which TLS it speaks."""

import http.client
import os
import socket
import ssl
import subprocess
import tempfile
import threading
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy.orm import Session

from components.router import USER
from dynoform.configuration import Configuration
from dynoform.domain import features
from dynoform.errors import DynoformError
from dynoform.journal import Journal
from dynoform.router.agent import Agent
from dynoform.router.rendering import CIPHER_SUITES, CIPHERS
from dynoform.store import acme, certificate_keys, platform_certificates
from dynoform.store import features as store_features
from dynoform.store.driver import SmallStore
from dynoform.store.session import Store
from dynoform.store.tables import Account, AcmeChallenge, App, AppFeature, Domain, SniEndpoint, now
from tests import acme_platform, pebble
from tests.figures import best
from tests.integration.certificates import Authority
from tests.integration.engine_parts import EngineParts, parts
from tests.integration.router.container import make_folder, start_router
from tests.postgres import free_port
from tests.store_fixtures import configuration, migrated, small_store, store

__all__ = ["configuration", "migrated", "parts", "small_store", "store"]
pytestmark = [
    pytest.mark.engine,
    pytest.mark.timeout(300),
    # Old versions are offered to see them refused.
    pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning"),
]
LOCAL = "127.0.0.1"
DOMAIN = "apps.example"
PLATFORM = "127.72.1.1"
LEGACY = (ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1)
MANY = 1000


class Router:
    """HAProxy in its container, and its agent here."""

    def __init__(self, parts: EngineParts, folder: Path) -> None:
        self.folder, self.stack = make_folder(folder)
        os.chown(self.folder, int(USER), int(USER))  # as the volume is: only its owner may read a key
        self.http, self.https = free_port(), free_port()
        self.container = start_router(parts, self.folder, PLATFORM, LOCAL, self.http, self.https)
        self.authority = Authority()

    def agent(self, store: SmallStore) -> Agent:
        """An agent that remembers nothing."""
        return Agent(store, self.folder, DOMAIN, Journal("test"))

    def wait(self) -> None:
        """Until it listens."""
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            with suppress(OSError):
                self.shown(None)
                return
            time.sleep(0.02)
        raise AssertionError("the router does not listen")

    def shown(self, name: str | None, **versions: ssl.TLSVersion) -> str:
        """The certificate (PEM) that a client is shown that asks for this name."""
        context = untrusting(**versions)
        with (
            socket.create_connection((LOCAL, self.https), 5) as plain,
            context.wrap_socket(plain, server_hostname=name) as secured,
        ):
            return ssl.DER_cert_to_PEM_cert(secured.getpeercert(binary_form=True) or b"")

    def get(self, host: str, path: str = "/", *, tls: bool = False) -> http.client.HTTPResponse:
        """The answer to a request; its body has been read."""
        connection: http.client.HTTPConnection
        if tls:
            connection = http.client.HTTPSConnection(LOCAL, self.https, timeout=60, context=untrusting())
        else:
            connection = http.client.HTTPConnection(LOCAL, self.http, timeout=60)
        connection.request("GET", path, headers={"Host": host})
        answer = connection.getresponse()
        answer.body = answer.read().decode()  # type: ignore[attr-defined]
        connection.close()
        return answer


def untrusting(**versions: ssl.TLSVersion) -> ssl.SSLContext:
    """A client's context that takes any certificate, and speaks whatever version it is told to."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if versions:
        context.set_ciphers("ALL:@SECLEVEL=0")
        context.minimum_version = versions["least"]
        context.maximum_version = versions["most"]
    return context


@pytest.fixture(scope="module")
def router(parts: EngineParts, tmp_path_factory: pytest.TempPathFactory) -> Router:
    made = Router(parts, tmp_path_factory.mktemp("router"))
    made.wait()
    return made


@pytest.fixture
def agent(router: Router, small_store: SmallStore) -> Iterator[Agent]:
    made = router.agent(small_store)
    made.step()
    yield made


@pytest.fixture
def app(store: Store) -> uuid.UUID:
    with store.transaction() as session:
        account = Account(email="ann@example.com")
        session.add(account)
        session.flush()
        made = App(name="shop", owner_id=account.id, stack="stack-13")
        session.add(made)
        session.flush()
        return made.id


def add(store: Store, app: uuid.UUID, pair: tuple[bytes, bytes], *hostnames: str) -> uuid.UUID:
    """An SNI endpoint that these domains use, new ones of the app."""
    with store.transaction() as session:
        return add_in(session, store.configuration, app, pair, *hostnames)


def add_in(
    session: Session, configuration: Configuration, app: uuid.UUID, pair: tuple[bytes, bytes], *hostnames: str
) -> uuid.UUID:
    endpoint = SniEndpoint(id=uuid.uuid4(), app_id=app, name=f"endpoint-{uuid.uuid4().hex[:8]}")
    fill(configuration, endpoint, *(part.decode() for part in pair))
    session.add(endpoint)
    session.flush()
    for hostname in hostnames:
        session.add(Domain(app_id=app, hostname=hostname, cname="x", sni_endpoint_id=endpoint.id))
    return endpoint.id


def fill(configuration: Configuration, endpoint: SniEndpoint, chain: str, key: str) -> None:
    endpoint.certificate_chain = chain
    endpoint.private_key = certificate_keys.seal(configuration, endpoint.id, key)
    endpoint.cert_domains, endpoint.issuer, endpoint.subject = [], "i", "s"
    endpoint.starts_at = endpoint.expires_at = now()
    endpoint.self_signed = endpoint.ca_signed = False


def wanted(names: Sequence[str], agent: Agent) -> set[str]:
    """What the router has in memory of these names' certificates, by file."""
    listed = agent.master.listed(Path("/var/lib/dynoform/router/certificates.list"))
    assert listed is not None
    on_disk = (agent.directory.path / "certificates.list").read_text().splitlines()
    assert {line.split()[0] for line in on_disk} == set(listed)  # the file says the same as memory
    assert on_disk[0] == "/run/secrets/router.pem *"
    return {line.split()[0] for line in on_disk if set(names) & set(line.split()[1:])}


def test_each_domain_is_shown_its_certificate_without_a_reload(
    router: Router, agent: Agent, store: Store, app: uuid.UUID
) -> None:
    generation, reloaded = agent.master.generation(), agent.reloaded
    one, two = (router.authority.issue("x", name) for name in ("www.example.com", "*.example.org"))
    first = add(store, app, one, "www.example.com")
    add(store, app, two, "*.example.org", "a.example.net")
    assert agent.step() is True
    assert router.shown("www.example.com") == router.shown("WWW.Example.com") == one[0].decode()
    assert router.shown("b.example.org") == router.shown("a.example.net") == two[0].decode()
    default = router.shown("b.b.example.org")
    assert default not in (one[0].decode(), two[0].decode())
    assert router.shown(None) == router.shown(f"shop.{DOMAIN}") == default
    assert agent.step() is False
    renewed = router.authority.issue("x", "www.example.com")
    with store.transaction() as session:
        fill(store.configuration, session.get_one(SniEndpoint, first), *(part.decode() for part in renewed))
    assert agent.step() is True
    assert router.shown("www.example.com") == renewed[0].decode()
    with store.transaction() as session:
        session.delete(session.get_one(SniEndpoint, first))
    assert agent.step() is True
    assert router.shown("www.example.com") == default
    assert wanted(["www.example.com"], agent) == set()
    assert len(list((router.folder / "certificates").iterdir())) == 1
    assert (agent.master.generation(), agent.reloaded) == (generation, reloaded)


def test_keys_are_for_the_router_alone_and_damage_is_mended(
    router: Router, agent: Agent, store: Store, app: uuid.UUID
) -> None:
    pair = router.authority.issue("x", "www.example.com")
    add(store, app, pair, "www.example.com")
    agent.step()
    (file,) = (router.folder / "certificates").iterdir()
    assert (file.stat().st_mode & 0o777, file.stat().st_uid) == (0o600, int(USER))
    assert file.parent.stat().st_mode & 0o777 == 0o700
    assert file.read_bytes() == b"".join(pair)
    with store.transaction() as session:
        (row,) = session.query(SniEndpoint)
        assert b"PRIVATE" not in row.private_key
    file.write_text("damaged")
    (router.folder / "certificates.list").unlink()
    assert agent.step() is True
    assert file.read_bytes() == b"".join(pair)
    assert router.shown("www.example.com") == pair[0].decode()
    # An agent that remembers nothing finds all in order.
    assert agent.step() is False


def test_a_thousand_certificates_are_back_within_five_seconds_of_a_restart(
    router: Router, agent: Agent, store: Store, app: uuid.UUID
) -> None:
    names = [f"www{number}.example.com" for number in range(MANY)]
    pairs = {name: router.authority.issue("x", name) for name in (names[0], names[-1])}
    with store.transaction() as session:
        for name in names:
            add_in(session, store.configuration, app, pairs.get(name, pairs[names[0]]), name)
    agent.step()
    assert router.shown(names[-1]) == pairs[names[-1]][0].decode()

    def back() -> float:
        router.container.kill()
        router.container.start()
        began = time.monotonic()
        router.wait()
        assert router.shown(names[0]) == pairs[names[0]][0].decode()
        return time.monotonic() - began

    assert best(5, back) < 5
    assert agent.step() is False
    with store.transaction() as session:
        session.query(Domain).filter(Domain.hostname != names[0]).delete()
    agent.step()
    assert len(wanted(names, agent)) == 1


def test_a_certificate_that_is_of_no_use_keeps_no_other_from_being_served(
    router: Router, agent: Agent, store: Store, app: uuid.UUID, capsys: pytest.CaptureFixture[str]
) -> None:
    good = router.authority.issue("x", "good.example.com")
    chain, _ = router.authority.issue("x", "bad.example.com")
    add(store, app, (chain, good[1]), "bad.example.com")
    add(store, app, (b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", good[1]), "none.example.com")
    add(store, app, good, "good.example.com")
    agent.step()
    assert router.shown("good.example.com") == good[0].decode()
    assert wanted(["bad.example.com", "none.example.com"], agent) == set()
    said = capsys.readouterr().out
    assert said.count("certificate left out") == 2
    assert "names=bad.example.com" in said and "PRIVATE" not in said
    assert agent.step() is False
    # Others in this process may have something to say.
    assert [line for line in capsys.readouterr().out.splitlines() if line.split()[1:2] == ["test"]] == []
    router.container.restart(timeout=5)
    router.wait()
    assert router.shown("good.example.com") == good[0].decode()


def test_apps_names_are_served_under_a_wildcard_where_there_is_one(
    router: Router, agent: Agent, store: Store, app: uuid.UUID
) -> None:
    own = router.shown(None)

    def put() -> str:
        chain, key = (part.decode() for part in router.authority.issue("x", f"*.{DOMAIN}", DOMAIN))
        with store.transaction() as session:
            platform_certificates.put(session, store.configuration, platform_certificates.APPS, chain, key)
        assert agent.step() is True
        return chain

    first = put()
    assert router.shown(f"shop.{DOMAIN}") == router.shown(DOMAIN) == first
    assert router.shown(None) == router.shown("www.example.com") == own  # the stack's own stays the default
    reloaded = agent.reloaded
    second = put()
    assert router.shown(f"shop.{DOMAIN}") == second != first
    assert agent.reloaded == reloaded
    with store.transaction() as session:
        platform_certificates.remove(session, platform_certificates.APPS)
    agent.step()
    agent.step()
    assert router.shown(f"shop.{DOMAIN}") == own
    assert not (router.folder / "apps.pem").exists()
    assert agent.step() is False


def test_challenges_are_answered_and_nothing_else_is(
    router: Router, agent: Agent, store: Store, app: uuid.UUID
) -> None:
    path = "/.well-known/acme-challenge/"
    with store.transaction() as session:
        session.add(AcmeChallenge(token="t0ken_-", key_authorization="t0ken_-.thumb"))
        session.add(Domain(app_id=app, hostname="www.example.com", cname="x"))
    reloaded = agent.reloaded
    assert agent.step() is True
    assert agent.step() is False
    for host in ("www.example.com", "other.example.com", f"api.localhost.{DOMAIN}"):
        answer = router.get(host, f"{path}t0ken_-")
        assert (answer.status, answer.body) == (200, "t0ken_-.thumb")  # type: ignore[attr-defined]
    assert router.get("www.example.com", f"{path}other").status == 502  # the app's own affair, and it has no code
    assert router.get("other.example.com", f"{path}../generation").status == 404
    assert router.get("other.example.com", "/t0ken_-").status == 404
    with store.transaction() as session:
        session.query(AcmeChallenge).delete()
    assert agent.step() is True
    assert router.get("www.example.com", f"{path}t0ken_-").status == 502
    assert agent.reloaded == reloaded


def test_the_feature_sends_browsers_to_https_and_keeps_them_there(
    router: Router, agent: Agent, store: Store, app: uuid.UUID
) -> None:
    name = f"shop.{DOMAIN}"
    agent.step()
    assert router.get(name, tls=True).headers["strict-transport-security"] is None
    assert (router.get(name).status, router.get(name).headers["location"]) == (502, None)
    with store.transaction() as session:
        store_features.turn(session, AppFeature, app, features.STRICT_TRANSPORT_SECURITY, True)
    agent.step()
    assert router.get(name, tls=True).headers["strict-transport-security"] == "max-age=31536000"
    plain = router.get(name, "/a?b=c")
    assert (plain.status, plain.headers["location"]) == (308, f"https://{name}:{router.https}/a?b=c")
    assert plain.headers["strict-transport-security"] is None  # RFC 6797, 7.2
    assert router.get(f"other.{DOMAIN}", tls=True).headers["strict-transport-security"] is None


def test_a_domain_gets_its_certificate_through_the_router(
    router: Router,
    configuration: Configuration,
    small_store: SmallStore,
    app: uuid.UUID,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """All of it: the worker, pebble with half of all nonces refused, the agent, HAProxy; and a renewal, too."""
    with pebble.running(tmp_path_factory.mktemp("pebble"), router.http) as authority:
        secrets = tmp_path_factory.mktemp("secrets")
        own = Store(acme_platform.settings(configuration, authority, secrets), "test", pool=5)
        worker, done = acme_platform.make_worker(own, Journal("certificates")), threading.Event()
        agent = router.agent(small_store)

        def step() -> None:
            while not done.wait(0.05):
                with suppress(DynoformError, OSError):  # it looks again then, as in its own process
                    agent.step()

        thread = threading.Thread(target=step, daemon=True)
        with own.transaction() as session:
            session.get_one(App, app).acm = True
            session.add(Domain(app_id=app, hostname="www.example.com", cname="x"))
        default = router.shown("www.example.com")
        thread.start()
        acme_platform.work(worker)
        first = shown_but(router, default)
        with own.transaction() as session:
            domain = session.query(Domain).one()
            assert (domain.acm_status, domain.acm_status_reason) == ("cert issued", None)
            acme.change(session, domain.id, renew_at=now() - timedelta(days=1))
        reloaded = agent.reloaded
        acme_platform.work(worker)
        second = shown_but(router, first)
        assert second not in (first, default)
        assert agent.reloaded == reloaded
        done.set()
        thread.join(10)
        assert ssl.PEM_cert_to_DER_cert(second)
        own.close()


def shown_but(router: Router, before: str) -> str:
    """The certificate of www.example.com as soon as it is another one."""
    deadline = time.monotonic() + 60
    while (found := router.shown("www.example.com")) == before:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return found


@pytest.mark.parametrize("version", LEGACY, ids=lambda version: str(version.name))
def test_old_versions_of_tls_are_refused(router: Router, agent: Agent, version: ssl.TLSVersion) -> None:
    assert spoken(version) == version.name.replace("_", ".")  # this client can
    with pytest.raises((ssl.SSLError, OSError)):
        router.shown(None, least=version, most=version)


def spoken(version: ssl.TLSVersion) -> str | None:
    """What the same client speaks to a server that takes anything."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = version
    context.set_ciphers("ALL:@SECLEVEL=0")
    with tempfile.NamedTemporaryFile() as file:
        file.write(b"".join(Authority().issue("x", "x.example.com")))
        file.flush()
        context.load_cert_chain(file.name)
    here, there = socket.socketpair()
    server = threading.Thread(target=lambda: context.wrap_socket(there, server_side=True).close())
    server.start()
    with untrusting(least=version, most=version).wrap_socket(here) as secured:
        found = secured.version()
    server.join(10)
    return found


def test_only_forward_secret_authenticated_ciphers_are_taken(
    router: Router, agent: Agent, store: Store, app: uuid.UUID
) -> None:
    """Every cipher that this OpenSSL has is offered alone."""
    offered = {each["name"]: each["protocol"] for each in untrusting(least=LEGACY[0], most=LEGACY[0]).get_ciphers()}
    assert len(offered) > 40
    taken = {name for name in offered if offered[name] != "TLSv1.3" and negotiated(router, name)}
    assert taken == {name for name in CIPHERS if "ECDSA" in name}  # the router's own key is an EC key
    with socket.create_connection((LOCAL, router.https), 5) as plain, untrusting().wrap_socket(plain) as secured:
        assert (secured.version(), (secured.cipher() or ("",))[0] in CIPHER_SUITES) == ("TLSv1.3", True)


def negotiated(router: Router, cipher: str) -> bool:
    context = untrusting()
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(f"{cipher}:@SECLEVEL=0")
    try:
        with socket.create_connection((LOCAL, router.https), 5) as plain, context.wrap_socket(plain):
            return True
    except (ssl.SSLError, OSError):
        return False


def test_what_checkers_of_tls_look_for_is_not_there(router: Router, agent: Agent) -> None:
    """What testssl.sh and others report as weak, but for versions and ciphers, which have tests above."""
    said = s_client(router, "-tls1_2", "-status")
    for line in (
        "OCSP response: no response sent",
        "Secure Renegotiation IS supported",
        "Compression: NONE",
        "No ALPN negotiated",
    ):
        assert line in said, said
    assert "TLS session ticket:" not in said
    assert "Server Temp Key: X25519" in said
    assert "ALPN protocol: h2" in s_client(router, "-alpn", "h2,http/1.1")
    assert "inappropriate fallback" in s_client(router, "-no_tls1_3", "-fallback_scsv")
    for weak in (["-cipher", "ALL:@SECLEVEL=0", "-sigalgs", "RSA+SHA1:ECDSA+SHA1"], ["-groups", "ffdhe2048"]):
        assert "handshake failure" in s_client(router, "-tls1_2", *weak), weak
    again = s_client(router, "-tls1_2", said="R\n")
    assert "RENEGOTIATING" in again
    assert again.count("no renegotiation") + again.count("handshake failure") + again.count("unexpected eof") > 0, again


def s_client(router: Router, *options: str, said: str = "Q\n") -> str:
    """All that OpenSSL's client says of a connection; ``said`` is typed into it."""
    command = ["openssl", "s_client", "-connect", f"{LOCAL}:{router.https}", "-servername", "localhost", *options]
    done = subprocess.run(command, input=said, capture_output=True, text=True, timeout=60, check=False)
    return done.stdout + done.stderr


@pytest.mark.parametrize("version", [b"\x00\x02", b"\x03\x00"], ids=["SSL 2", "SSL 3"])
def test_versions_that_no_client_speaks_any_more_are_refused(router: Router, agent: Agent, version: bytes) -> None:
    assert greeted(router, hello(version, b"\x00"))[:1] in {b"", b"\x15"}, "an alert, or nothing"


def test_compression_is_not_taken_though_a_client_offers_it(router: Router, agent: Agent) -> None:
    answer = greeted(router, hello(b"\x03\x03", b"\x01\x00"))
    assert answer[:1] == b"\x16" and answer[5:6] == b"\x02", "the server's hello"
    session = answer[43]
    assert answer[44 + session + 2] == 0, "the method is none"


def hello(version: bytes, compressions: bytes) -> bytes:
    """A client's first words, as of TLS 1.2, with ECDHE ciphers that the router takes."""
    suites = b"\xc0\x2b\xc0\x2f\x00\xff"
    extensions = b"\x00\x0a\x00\x04\x00\x02\x00\x17" + b"\x00\x0d\x00\x06\x00\x04\x04\x03\x04\x01"
    body = version + bytes(32) + b"\x00" + _counted(suites, 2) + _counted(compressions, 1) + _counted(extensions, 2)
    handshake = b"\x01" + _counted(body, 3)
    return b"\x16\x03\x01" + _counted(handshake, 2)


def _counted(data: bytes, size: int) -> bytes:
    return len(data).to_bytes(size, "big") + data


def greeted(router: Router, first: bytes) -> bytes:
    """The beginning of what the router answers to a client's first words."""
    with socket.create_connection((LOCAL, router.https), 5) as connection:
        connection.settimeout(5)
        connection.sendall(first)
        answer = b""
        with suppress(OSError):
            while len(answer) < 100 and (more := connection.recv(4096)):
                answer += more
        return answer
