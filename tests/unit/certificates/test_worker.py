"""The certificate worker against pebble, which refuses half of all nonces: what is got, refused and renewed."""

import base64
import io
import json
import ssl
import time
from collections.abc import Callable
from concurrent.futures import wait
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from sqlalchemy import select, update

from dynoform.certificates import dns_hook
from dynoform.certificates.authority import Authority
from dynoform.certificates.worker import Worker
from dynoform.configuration import Configuration
from dynoform.domain import acm
from dynoform.journal import Journal
from dynoform.router import rows
from dynoform.store import acme, certificate_keys
from dynoform.store.secrets import Vault
from dynoform.store.session import Store
from dynoform.store.tables import AcmeAccount, AcmeChallenge, AcmeSubject, App, Domain, PlatformCertificate, SniEndpoint
from tests import acme_platform, pebble
from tests.acme_platform import KEY, WRONG, Router, work
from tests.pebble import BLOCKED, Pebble
from tests.unit.certificates.conftest import Apps

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]


def leaf(chain: str) -> x509.Certificate:
    return x509.load_pem_x509_certificate(chain.encode())


def subject(store: Store, identifier: object) -> AcmeSubject | None:
    with store.transaction() as session:
        return session.get(AcmeSubject, identifier)


def test_each_domain_gets_a_certificate_that_routers_serve(
    worker: Worker, router: Router, apps: Apps, platform: Store, authority: Pebble, tmp_path: Path, said: io.StringIO
) -> None:
    names = ["www.example.com", "shop.example.com", "example.net"]
    apps.add(*names)
    router.look()
    work(worker)
    router.look()  # its own thread may not have got to it yet
    with platform.transaction() as session:
        endpoints = session.scalars(select(SniEndpoint)).unique().all()
        assert sorted(name for endpoint in endpoints for name in endpoint.cert_domains) == sorted(names)
        assert session.scalars(select(AcmeChallenge)).all() == []
        account = session.scalars(select(AcmeAccount)).one()
    with router.small_store.transaction() as connection:
        served = rows.served(connection)
        pems = rows.pems(connection, platform.configuration, [entry.source for entry in served])
    assert {name for entry in served for name in entry.names} == set(names)
    assert b"PRIVATE" not in account.private_key and b"PRIVATE" not in endpoints[0].private_key
    for pem in pems.values():
        (tmp_path / "served.pem").write_text(pem)
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(tmp_path / "served.pem")
        issuer = x509.load_pem_x509_certificates(pem.encode())[1]
        leaf(pem).verify_directly_issued_by(issuer)
    for name in names:
        row = apps.domain(name)
        assert (row.acm_status, row.acm_status_reason) == (acm.ISSUED, None)
        assert row.sni_endpoint is not None and row.sni_endpoint.acm and row.sni_endpoint.cert_domains == [name]
        states = [status for seen, status in router.seen if seen == name]
        assert states[0] is None and states[-1] in (acm.VERIFIED, acm.ISSUED)
        assert set(states) <= {None, acm.DNS_VERIFIED, acm.VERIFIED, acm.ISSUED}
        assert acm.DNS_VERIFIED in states
    before = said.getvalue()
    worker.step()
    assert worker.is_idle() and said.getvalue() == before
    assert "PRIVATE" not in before


def test_what_keeps_a_certificate_from_being_had_is_said_and_holds_up_no_other(
    make: Callable[..., Worker], router: Router, apps: Apps, platform: Store, authority: Pebble
) -> None:
    authority.ask("set-servfail", host="broken.example.com")
    identifiers = apps.add(
        "gone.example.com", WRONG, "broken.example.com", f"www.{BLOCKED}", "*.example.com", "good.example.com"
    )
    began = datetime.now(UTC)
    work(make("gone.example.com"))
    assert apps.state("good.example.com") == (acm.ISSUED, None)
    assert {name: apps.state(name)[1] for name in ("gone.example.com", WRONG, f"www.{BLOCKED}", "*.example.com")} == {
        "gone.example.com": "No DNS record of gone.example.com leads anywhere: point it to target-of-gone.example.com",
        WRONG: "CDN not returning HTTP challenge",
        f"www.{BLOCKED}": f"The certificate authority issues no certificates for www.{BLOCKED}",
        "*.example.com": "Wildcard certificates need a DNS hook, which the platform's operator sets (acmeDnsHook)",
    }
    assert "broken.example.com" in (apps.state("broken.example.com")[1] or "")
    for identifier in identifiers[:-1]:
        found = subject(platform, identifier)
        assert found is not None and found.failures == 1 and found.order_uri is None
        assert found.after is not None
        assert began + timedelta(seconds=30) < found.after < datetime.now(UTC) + timedelta(seconds=75)
    with platform.transaction() as session:
        assert {row.acm_status for row in session.scalars(select(Domain).where(Domain.id.in_(identifiers[:-1])))} == {
            acm.FAILING
        }


def test_after_the_last_try_a_domain_waits_for_its_owner(
    worker: Worker, router: Router, apps: Apps, platform: Store, said: io.StringIO
) -> None:
    (identifier,) = apps.add(WRONG)
    with platform.transaction() as session:
        acme.change(session, identifier, failures=len(acm.DELAYS) - 1)
    work(worker)
    assert apps.state(WRONG) == (acm.FAILED, "CDN not returning HTTP challenge")
    with platform.transaction() as session:
        acme.change(session, identifier, after=datetime.now(UTC) - timedelta(days=2))
    before = said.getvalue()
    work(worker)
    assert said.getvalue() == before
    with platform.transaction() as session:
        acme.again(session, apps.id)
    assert apps.state(WRONG) == (None, None)
    work(worker)
    assert apps.state(WRONG)[0] == acm.FAILING


@pytest.mark.parametrize("step", ["answer", "finalize", "chain"])
def test_an_order_is_gone_on_with_after_a_kill(
    make: Callable[..., Worker],
    router: Router,
    apps: Apps,
    platform: Store,
    monkeypatch: pytest.MonkeyPatch,
    step: str,
) -> None:
    (identifier,) = apps.add(f"{step}.example.com")
    kept = getattr(Authority, step)
    orders: list[object] = []
    ordering = Authority.order
    monkeypatch.setattr(Authority, "order", lambda *words: orders.append(words) or ordering(*words))

    def killed(self: Authority, *words: object) -> object:
        if step == "finalize":
            kept(self, *words)
        raise SystemExit

    monkeypatch.setattr(Authority, step, killed)
    first = make()
    first.step()
    wait(first._active.values())
    begun = subject(platform, identifier)
    assert begun is not None and begun.order_uri and b"PRIVATE" not in (begun.order_key or b"")
    assert apps.state(f"{step}.example.com")[0] != acm.ISSUED
    first.leadership.release()
    monkeypatch.setattr(Authority, step, kept)
    work(make())
    assert apps.state(f"{step}.example.com") == (acm.ISSUED, None)
    assert len(orders) == 1
    done = subject(platform, identifier)
    assert done is not None and done.order_uri is None and done.order_key is None


def test_a_certificate_is_renewed_when_the_authority_suggests_so(
    worker: Worker, router: Router, apps: Apps, platform: Store, authority: Pebble
) -> None:
    (identifier,) = apps.add("www.example.com")
    work(worker)
    work(worker)
    asked = subject(platform, identifier)
    assert asked is not None and asked.renew_at is not None and asked.ask_at is not None
    assert timedelta(hours=1) <= asked.ask_at - datetime.now(UTC) + timedelta(minutes=1) <= timedelta(days=1)
    first = apps.domain("www.example.com").sni_endpoint
    assert first is not None
    assert first.starts_at < asked.renew_at < first.expires_at - timedelta(days=15)
    work(worker)
    now = apps.domain("www.example.com").sni_endpoint
    assert now is not None and now.certificate_chain == first.certificate_chain
    window = {"suggestedWindow": {"start": "2020-01-01T00:00:00Z", "end": "2020-01-02T00:00:00Z"}}
    authority.suggest(first.certificate_chain, json.dumps(window))
    with platform.transaction() as session:
        acme.change(session, identifier, ask_at=datetime.now(UTC))
    work(worker)
    second = apps.domain("www.example.com").sni_endpoint
    assert second is not None and (second.id, second.name) == (first.id, first.name)
    assert leaf(second.certificate_chain).serial_number != leaf(first.certificate_chain).serial_number
    assert apps.state("www.example.com") == (acm.ISSUED, None)
    # States of before are not gone through again: it has a certificate all the time.
    router.look()
    assert [status for name, status in router.seen if name == "www.example.com"][-1] == acm.ISSUED


@pytest.mark.parametrize("answer", ["{", "{}", '{"suggestedWindow": {"start": "never", "end": 1}}'])
def test_a_suggestion_that_is_none_changes_nothing(
    worker: Worker, router: Router, apps: Apps, platform: Store, authority: Pebble, answer: str
) -> None:
    (identifier,) = apps.add("www.example.com")
    work(worker)
    work(worker)
    before, first = subject(platform, identifier), apps.domain("www.example.com").sni_endpoint
    assert before is not None and first is not None
    authority.suggest(first.certificate_chain, answer)
    with platform.transaction() as session:
        acme.change(session, identifier, ask_at=datetime.now(UTC))
    work(worker)
    after = subject(platform, identifier)
    assert after is not None and after.ask_at is not None and after.renew_at == before.renew_at
    assert timedelta(minutes=50) < after.ask_at - datetime.now(UTC) <= timedelta(hours=1)
    assert apps.state("www.example.com") == (acm.ISSUED, None)


def test_a_certificate_that_is_none_is_ordered_again(
    worker: Worker, router: Router, apps: Apps, platform: Store, monkeypatch: pytest.MonkeyPatch, said: io.StringIO
) -> None:
    kept = Authority.chain
    monkeypatch.setattr(Authority, "chain", lambda self, order: "rubbish")
    (identifier,) = apps.add("www.example.com")
    work(worker)
    assert apps.state("www.example.com") == (acm.VERIFIED, acm.AWAY)
    assert "the authority's certificate: Pem is invalid: it is not a list of certificates" in said.getvalue()
    found = subject(platform, identifier)
    assert found is not None and found.order_uri is None and found.after is not None
    monkeypatch.setattr(Authority, "chain", kept)
    with platform.transaction() as session:
        acme.change(session, identifier, after=None)
    work(worker)
    assert apps.state("www.example.com") == (acm.ISSUED, None)


def test_a_renewal_that_fails_leaves_the_certificate_and_goes_on(
    worker: Worker, router: Router, apps: Apps, platform: Store
) -> None:
    (identifier,) = apps.add("www.example.com")
    work(worker)
    first = apps.domain("www.example.com").sni_endpoint
    with platform.transaction() as session:
        session.get_one(Domain, identifier).hostname = WRONG
        acme.change(session, identifier, renew_at=datetime.now(UTC) - timedelta(days=1), failures=50)
    work(worker)
    assert apps.state(WRONG) == (acm.FAILING, "CDN not returning HTTP challenge")
    kept = apps.domain(WRONG).sni_endpoint
    assert first is not None and kept is not None and kept.certificate_chain == first.certificate_chain
    later = subject(platform, identifier)
    assert later is not None and later.after is not None
    assert timedelta(hours=23) < later.after - datetime.now(UTC) < timedelta(hours=30)


def test_an_authority_that_is_away_is_nobodys_failure(
    worker: Worker, router: Router, apps: Apps, platform: Store, said: io.StringIO
) -> None:
    object.__setattr__(platform.configuration, "acme_directory", "https://127.0.0.1:1/dir")
    (identifier,) = apps.add("www.example.com")
    began = datetime.now(UTC)
    work(worker)
    assert apps.state("www.example.com") == (acm.DNS_VERIFIED, "The certificate authority does not answer")
    found = subject(platform, identifier)
    assert found is not None and found.failures == 0 and found.after is not None
    assert began < found.after <= datetime.now(UTC) + timedelta(seconds=15)
    assert (
        'warning certificates certificate delayed error="the certificate authority: ConnectionError' in said.getvalue()
    )


def test_routers_that_do_not_answer_are_waited_for_and_then_said(
    worker: Worker, apps: Apps, platform: Store, monkeypatch: pytest.MonkeyPatch, said: io.StringIO
) -> None:
    monkeypatch.setattr("dynoform.certificates.issuance.ROUTED_SECONDS", 0.2)
    apps.add("www.example.com")
    work(worker)
    assert apps.state("www.example.com") == (
        acm.DNS_VERIFIED,
        "The platform could not prove to the certificate authority that the name is its own",
    )
    assert "the routers: did not take the challenge over within 0.2 s" in said.getvalue()
    with platform.transaction() as session:
        assert session.scalars(select(AcmeChallenge)).all() == []


def test_an_account_that_the_authority_does_not_know_is_made_anew(
    worker: Worker, router: Router, apps: Apps, platform: Store
) -> None:
    (identifier,) = apps.add("www.example.com")
    worker.issuance.authority()
    with platform.transaction() as session:
        account = session.scalars(select(AcmeAccount)).one()
        account.uri = account.uri.rpartition("/")[0] + "/unknown"
    work(worker)
    assert apps.state("www.example.com")[0] != acm.ISSUED
    with platform.transaction() as session:
        acme.change(session, identifier, after=None)
    work(worker)
    assert apps.state("www.example.com") == (acm.ISSUED, None)


def test_an_authority_that_takes_only_accounts_of_its_own(
    store: Store, configuration: Configuration, tmp_path: Path, said: io.StringIO, apps: Apps
) -> None:
    (folder := tmp_path / "pebble").mkdir()
    (secrets := tmp_path / "secrets").mkdir()
    key = base64.urlsafe_b64encode(b"k" * 32).rstrip(b"=").decode()
    apps.add("bound.example.com")
    with pebble.running(folder, accounts={"key-1": key}) as authority:
        settings = acme_platform.settings(configuration, authority, secrets, domain="apps.example")
        platform = Store(settings, "test", pool=5)
        with acme_platform.routed(platform, authority.http_port):
            worker = acme_platform.make_worker(platform, Journal("certificates", said), ())
            work(worker)
            assert "takes only those that have an account with it" in said.getvalue()
            assert "set acmeAccountKeyId and acmeAccountKey to what it gives you" in said.getvalue()
            assert apps.state("bound.example.com")[0] != acm.FAILING, "it is nobody's failure"
            (secrets / "acme_account").write_text(f"key-1\n{'x' * 40}")
            again(store, apps)
            work(worker)
            assert apps.state("bound.example.com")[0] != acm.ISSUED
            (secrets / "acme_account").write_text(f"key-1\n{key}")
            again(store, apps)
            work(worker)
            assert apps.state("bound.example.com") == (acm.ISSUED, None)
            worker.close()
        platform.close()
    assert key not in said.getvalue()


def again(store: Store, apps: Apps) -> None:
    """Have what could not be had due now."""
    with store.transaction() as session:
        session.execute(update(AcmeSubject).values(after=None))


def test_nobody_is_given_what_they_want_no_more(
    worker: Worker, router: Router, apps: Apps, platform: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    apps.add("gone.example.com", "off.example.com")
    kept = Authority.chain

    def meanwhile(self: Authority, order: object) -> str:
        with platform.transaction() as session:
            session.query(Domain).filter(Domain.hostname == "gone.example.com").delete()
            session.query(App).update({"acm": False})
        return kept(self, order)  # type: ignore[arg-type]

    monkeypatch.setattr(Authority, "chain", meanwhile)
    work(worker)
    with platform.transaction() as session:
        assert session.scalars(select(SniEndpoint)).all() == []
    worker._tidied = float("-inf")
    worker.step()
    with platform.transaction() as session:
        assert [row.id for row in session.scalars(select(AcmeSubject))] == [apps.domain("off.example.com").id]


HOOK = """#!/usr/bin/env python3
import json, sys, urllib.request
action, name, value = sys.argv[1:]
path, body = ("set-txt", {{"host": name, "value": value}}) if action == "present" else ("clear-txt", {{"host": name}})
with open({record!r}, "a") as record:
    record.write(action + " " + name + "\\n")
opener = urllib.request.build_opener(urllib.request.ProxyHandler({{}}))
opener.open(urllib.request.Request({dns!r} + "/" + path, json.dumps(body).encode()), timeout=60)
"""


def test_wildcards_are_had_by_the_operators_hook_and_so_is_the_platforms_own(
    worker: Worker, router: Router, apps: Apps, platform: Store, authority: Pebble, tmp_path: Path
) -> None:
    record = tmp_path / "record"
    hook = HOOK.format(record=str(record), dns=authority.dns)
    (platform.configuration.secrets / dns_hook.SECRET).write_text(hook)
    apps.add("*.example.org")
    work(worker)
    assert apps.state("*.example.org") == (acm.ISSUED, None)
    with platform.transaction() as session:
        own = session.scalars(select(PlatformCertificate)).one()
        assert {row.failures for row in session.scalars(select(AcmeSubject))} == {0}
    with router.small_store.transaction() as connection:
        pem = rows.platform_pem(connection, platform.configuration, certificate_keys.APPS)
    names = leaf(own.chain).extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert set(names.get_values_for_type(x509.DNSName)) == {"*.apps.example", "apps.example"}
    assert b"PRIVATE" not in own.private_key and "PRIVATE KEY" in (pem or "")
    lines = record.read_text().splitlines()
    assert sorted(set(lines)) == [
        "cleanup _acme-challenge.apps.example.",
        "cleanup _acme-challenge.example.org.",
        "present _acme-challenge.apps.example.",
        "present _acme-challenge.example.org.",
    ]
    before = own.chain
    with platform.transaction() as session:
        acme.change(session, acme.APPS, renew_at=datetime.now(UTC) - timedelta(days=1))
    work(worker)
    with platform.transaction() as session:
        assert session.scalars(select(PlatformCertificate)).one().chain != before


def test_a_hook_that_fails_is_quoted_to_the_operator_and_not_to_the_user(
    worker: Worker, router: Router, apps: Apps, platform: Store, said: io.StringIO
) -> None:
    (platform.configuration.secrets / dns_hook.SECRET).write_text("echo trying\necho no such zone >&2\nexit 3\n")
    apps.add("*.example.org")
    work(worker)
    assert apps.state("*.example.org") == (None, acm.UNPROVED)
    assert "acmeDnsHook cleanup _acme-challenge.example.org: exit 3: no such zone" in said.getvalue()


def test_a_hook_without_end_is_stopped(tmp_path: Path) -> None:
    (tmp_path / "hook").write_text("#!/bin/sh -e\nsleep 60\n")
    began = time.monotonic()
    with pytest.raises(dns_hook.ProofError, match=r"acmeDnsHook present _acme-challenge\.a: did not end in time"):
        dns_hook.run(tmp_path / "hook", "present", "_acme-challenge.a", "v", seconds=0.2)
    assert time.monotonic() - began < 30
    (tmp_path / "hook").write_text("#!/no/such/program\n")
    with pytest.raises(dns_hook.ProofError, match="does not start"):
        dns_hook.run(tmp_path / "hook", "present", "_acme-challenge.a", "v")
    (tmp_path / "hook").write_text('[ "$(env | grep -c DYNOFORM)" = 0 ] && [ "$*" = "present n. v" ]\n')
    dns_hook.run(tmp_path / "hook", "present", "n", "v")


def test_one_of_several_workers_works(make: Callable[..., Worker], router: Router, apps: Apps) -> None:
    first, second = make(), make()
    first.step()
    apps.add("www.example.com")
    work(second)
    assert apps.state("www.example.com") == (None, None)
    first.close()
    work(second)
    assert apps.state("www.example.com") == (acm.ISSUED, None)


def test_keys_of_before_are_sealed_so_that_routers_can_open_them(
    worker: Worker, router: Router, apps: Apps, platform: Store
) -> None:
    apps.add("www.example.com")
    work(worker)
    old = Vault(KEY[::-1].replace("=", "A")[:43] + "=")
    with platform.transaction() as session:
        endpoint = session.scalars(select(SniEndpoint)).unique().one()
        endpoint.private_key = old.encrypt(endpoint.id, {"private_key": "PRIVATE"})
        endpoint.sealed_for_routers = False
    worker.vault = old
    with router.small_store.transaction() as connection:
        assert rows.served(connection) == []
    worker.step()
    with router.small_store.transaction() as connection:
        assert len(rows.served(connection)) == 1
        found = rows.pems(connection, platform.configuration, [str(endpoint.id)])
    assert found[str(endpoint.id)].endswith("PRIVATE\n")
