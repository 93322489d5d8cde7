"""Getting one certificate: the order, the proofs, the certificate; gone on with where another process was killed."""

import time
import uuid
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from threading import Lock

from acme import challenges, messages
from cryptography import x509

from dynoform.certificates import dns_hook
from dynoform.certificates.authority import Authority, key_authorization, new_key
from dynoform.certificates.errors import AccountGoneError, OrderGoneError, ProofError, RefusedError
from dynoform.certificates.resolver import Resolve
from dynoform.configuration import Configuration
from dynoform.domain import acm, certificates
from dynoform.domain.acm import Binding
from dynoform.domain.certificates import Certificate
from dynoform.errors import InvalidInputError
from dynoform.store import acme as store
from dynoform.store import domains
from dynoform.store.acme import Subject
from dynoform.store.secrets import Vault
from dynoform.store.session import Store, now
from dynoform.store.sni_endpoints import authorities
from dynoform.store.tables import AcmeAccount

TRUSTED, ACCOUNT = "acme_authorities", "acme_account"
"""Secrets of the operator's."""
ROUTED_SECONDS = 60
"""How long routers may take to know what to answer."""
_LOOK_SECONDS = 0.25
_KEY = "key"
Pause = Callable[[float], None]
Answers = Sequence[tuple[str, messages.ChallengeBody, str]]
"""Name, challenge, and what the authority is to find."""


class Issuance:
    """Whoever gets certificates; safe to use from several threads."""

    def __init__(self, store: Store, vault: Vault, resolve: Resolve, pause: Pause = time.sleep) -> None:
        """``vault`` keeps keys of accounts and orders; ``resolve`` asks the DNS."""
        self.store, self.vault, self.resolve, self.pause = store, vault, resolve, pause
        self._registering = Lock()

    @property
    def configuration(self) -> Configuration:
        """The process's."""
        return self.store.configuration

    @property
    def hook(self) -> Path | None:
        """The operator's program for the DNS, if there is one."""
        return self._file(dns_hook.SECRET)

    def _file(self, name: str) -> Path | None:
        path = self.configuration.secret_path(name)
        return path if path.exists() and path.stat().st_size else None

    def _binding(self) -> Binding | None:
        """The operator's account with the authority, if there is one: its key's name, and in the next line the key."""
        path = self._file(ACCOUNT)
        key_id, _, key = path.read_text().partition("\n") if path else ("", "", "")
        return Binding(key_id, key.strip()) if path else None

    def authority(self) -> Authority:
        """A conversation with the authority, by the platform's account there, which is made when there is none.

        Raises as ``Authority.order`` does.
        """
        with self._registering:
            return self._authority()

    def _authority(self) -> Authority:
        directory = self.configuration.acme_directory
        with self.store.transaction() as session:
            row = session.get(AcmeAccount, directory)
        context = uuid.uuid5(uuid.NAMESPACE_URL, directory)
        key = self.vault.decrypt(context, row.private_key)[_KEY] if row else new_key()
        trusted = self._file(TRUSTED)
        found = Authority(directory, key, row.uri if row else None, trusted, self.pause)
        if row is None:
            uri = found.register(self.configuration.acme_email or self.configuration.email, self._binding())
            with self.store.transaction() as session:
                sealed = self.vault.encrypt(context, {_KEY: key})
                session.add(AcmeAccount(directory=directory, uri=uri, private_key=sealed))
        return found

    def get(self, subject: Subject) -> bool:
        """Get a certificate and have it served; False when nobody wants it any more.

        Raises ``RefusedError``, ``LimitedError``, ``AwayError``, or ``DynoformError`` without the store.
        """
        if not subject.by_dns:
            self._check_dns(subject)
        elif self.hook is None:
            raise RefusedError(acm.NO_WILDCARDS)
        try:
            authority = self.authority()
            url, key = self._order(authority, subject)
            read = _read(self._finish(authority, subject, url, key), key)
        except AccountGoneError:
            self._forget_account()
            raise
        except (OrderGoneError, RefusedError):
            self._note(subject, order_uri=None, order_key=None)
            raise
        with self.store.transaction() as session:
            wanted = store.install(session, self.configuration, subject, read, key)
            store.change(session, subject.id, failures=0, after=None, renew_at=None, ask_at=None)
            store.change(session, subject.id, order_uri=None, order_key=None)
        return wanted

    def _check_dns(self, subject: Subject) -> None:
        """No name that leads nowhere is brought before the authority, which counts failures."""
        name = subject.names[0]
        addresses = self.resolve(name)
        if addresses is None:
            return  # the DNS does not answer us: it may answer others
        if not addresses:
            raise RefusedError(acm.NO_DNS.format(name=name, cname=subject.cname))
        if addresses & (self.resolve(subject.cname) or set()):
            self._show(subject, acm.DNS_VERIFIED)

    def _order(self, authority: Authority, subject: Subject) -> tuple[str, str]:
        """URL and certificate's key of the order that was begun, or of a new one."""
        with self.store.transaction() as session:
            begun = store.order(session, subject.id)
        if begun is not None:
            return begun[0], self.vault.decrypt(subject.id, begun[1])[_KEY]
        key = new_key()
        with self.store.transaction() as session:
            present = store.chain(session, subject.id)
        url = authority.order(subject.names, _identifier(present))
        self._note(subject, order_uri=url, order_key=self.vault.encrypt(subject.id, {_KEY: key}))
        return url, key

    def _finish(self, authority: Authority, subject: Subject, url: str, key: str) -> str:
        order = authority.state(url)
        if order.status == messages.STATUS_INVALID:
            # It failed before; why has been said then.
            raise OrderGoneError(f"the order for {subject.names[0]}", "is over", "another one is begun")
        if order.status == messages.STATUS_PENDING:
            self._prove(authority, subject, order)
            order = authority.wait_for_order(url, messages.STATUS_READY)
        if order.status == messages.STATUS_READY:
            self._show(subject, acm.VERIFIED)
            authority.finalize(order, subject.names, key)
        if order.status != messages.STATUS_VALID:
            order = authority.wait_for_order(url, messages.STATUS_VALID)
        return authority.chain(order)

    def _prove(self, authority: Authority, subject: Subject, order: messages.Order) -> None:
        kind = challenges.DNS01 if subject.by_dns else challenges.HTTP01
        opened = authority.open_challenges(order, kind)
        answers = [(name, challenge, key_authorization(challenge, authority.key)) for _, name, challenge in opened]
        try:
            self._present(subject, answers)
            for _, _, challenge in opened:
                authority.answer(challenge)
            for url, name, _ in opened:
                authority.wait_for_authorization(url, name)
        finally:
            self._remove(subject, answers)

    def _present(self, subject: Subject, answers: Answers) -> None:
        if subject.by_dns:
            self._run_hook("present", answers)
        else:
            self._route(answers)

    def _remove(self, subject: Subject, answers: Answers) -> None:
        if subject.by_dns:
            self._run_hook("cleanup", answers)
            return
        with self.store.transaction() as session:
            store.answered(session, (challenge.chall.encode("token") for _, challenge, _ in answers))

    def _route(self, answers: Answers) -> None:
        """Have all routers answer before the authority asks."""
        if not answers:
            return
        with self.store.transaction() as session:
            for _, challenge, text in answers:
                store.challenge(session, challenge.chall.encode("token"), text)
        with self.store.transaction() as session:
            moment = now(session)
        ends = time.monotonic() + ROUTED_SECONDS
        while time.monotonic() < ends:
            with self.store.transaction() as session:
                routed = domains.routed_until(session)
            if routed is not None and routed >= moment:
                return
            self.pause(_LOOK_SECONDS)
        raise ProofError(
            "the routers", f"did not take the challenge over within {ROUTED_SECONDS} s", "they get it again"
        )

    def _run_hook(self, action: str, answers: Answers) -> None:
        hook = self.hook
        if hook is None:
            raise RefusedError(acm.NO_WILDCARDS)
        for name, challenge, text in answers:
            dns_hook.run(hook, action, challenge.chall.validation_domain_name(name), text)

    def _show(self, subject: Subject, status: str) -> None:
        """What goes on, of a domain that has no certificate yet; a renewal is nobody's concern."""
        if subject.lifetime is None:
            with self.store.transaction() as session:
                store.show(session, subject.id, status, None)

    def _note(self, subject: Subject, **values: object) -> None:
        with self.store.transaction() as session:
            store.change(session, subject.id, **values)

    def _forget_account(self) -> None:
        with self.store.transaction() as session:
            row = session.get(AcmeAccount, self.configuration.acme_directory)
            if row is not None:
                session.delete(row)


def _read(chain: str, key: str) -> Certificate:
    try:
        return certificates.read(chain, key, datetime.now(UTC), authorities())
    except InvalidInputError as error:
        raise OrderGoneError("the authority's certificate", error.what, "another one is ordered") from error


def _identifier(chain: str) -> str | None:
    return acm.identifier(x509.load_pem_x509_certificate(chain.encode())) if chain else None
