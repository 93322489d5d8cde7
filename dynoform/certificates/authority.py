"""A certificate authority that speaks ACME (RFC 8555): the ``acme`` library's messages, one request at a time.

Each step can be taken again, by another process too: all that there is to know of an order is its URL.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import requests
from acme import challenges, errors, messages
from acme.client import ClientNetwork
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from josepy.errors import Error as JoseError
from josepy.interfaces import JSONDeSerializable
from josepy.json_util import field
from josepy.jwa import ES256
from josepy.jwk import JWK, JWKEC

from dynoform.certificates.errors import AccountGoneError, AwayError, LimitedError, OrderGoneError, RefusedError
from dynoform.domain import acm, retries
from dynoform.domain.acm import Binding, Window

NAME = "dynoform"
SECONDS = 30
"""For one request."""
NONCES = 10
"""Tries with another nonce; each is two of the library's."""
POLL_SECONDS = 180
_SHORTEST_PAUSE, _LONGEST_PAUSE = 0.5, 15.0
_WHAT, _NEXT = "the certificate authority", "it is asked again"
_BINDING_NEXT = "set acmeAccountKeyId and acmeAccountKey to what it gives you"
_REFUSALS = frozenset(
    ("badCSR", "badPublicKey", "caa", "connection", "dns", "incorrectResponse", "rejectedIdentifier", "tls")
) | {"unauthorized", "unsupportedIdentifier"}


class NewOrder(messages.NewOrder):
    """With the certificate that it replaces, so that it counts against no limit (RFC 9773, 5)."""

    replaces: str | None = field("replaces", omitempty=True)


class Network(ClientNetwork):
    """The library's, more patient: a nonce may be refused several times in a row (RFC 8555, 6.5)."""

    def post(self, *args: Any, **kwargs: Any) -> requests.Response:
        """As the library's."""
        for _ in range(NONCES - 1):
            try:
                return super().post(*args, **kwargs)
            except messages.Error as error:
                if error.code != "badNonce":
                    raise
        return super().post(*args, **kwargs)


class Authority:
    """One conversation with it; not for several threads at a time."""

    def __init__(
        self,
        directory: str,
        key: str,
        uri: str | None,
        trusted: Path | None = None,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        """``key`` (PEM) and ``uri`` are the account's, None before there is one; ``trusted`` signed its https.

        Raises ``AwayError``.
        """
        private = serialization.load_pem_private_key(key.encode(), None)
        self.key = JWKEC(key=cast(ec.EllipticCurvePrivateKey, private))
        # The library hands it on to `requests`, which takes a file, too.
        trust = cast(bool, str(trusted)) if trusted else True
        self._net = Network(self.key, alg=ES256, verify_ssl=trust, user_agent=NAME, timeout=SECONDS)
        self._pause = pause
        if uri:
            self._net.account = messages.RegistrationResource(uri=uri, body=messages.Registration())
        with _told():
            self._directory = messages.Directory.from_json(self._net.get(directory).json())

    def register(self, email: str, binding: Binding | None = None) -> str:
        """Make the account, whose operator has agreed to the terms; returns its URL. Raises as ``order`` does.

        ``binding`` is the operator's own account there, for an authority that makes none for others.
        """
        with _told():
            if binding is None and self._directory.meta.external_account_required:
                raise AwayError(_WHAT, "takes only those that have an account with it", _BINDING_NEXT)
            wanted = messages.NewRegistration.from_data(
                email=email or None, terms_of_service_agreed=True, external_account_binding=self._bound(binding)
            )
            try:
                uri = str(self._post(self._directory["newAccount"], wanted).headers["Location"])
            except errors.ConflictError as known:
                uri = str(known.location)
        self._net.account = messages.RegistrationResource(uri=uri, body=messages.Registration())
        return uri

    def _bound(self, binding: Binding | None) -> dict[str, Any] | None:
        """The proof that account and key belong together (RFC 8555, 7.3.4)."""
        if binding is None:
            return None
        public = self.key.public_key()
        return messages.ExternalAccountBinding.from_data(public, binding.key_id, binding.key, self._directory)

    def order(self, names: Sequence[str], replaces: str | None) -> str:
        """Ask for a certificate for these names; returns the order's URL.

        Raises ``RefusedError``, ``LimitedError``, or ``AwayError`` for all that is not the name's fault.
        """
        with _told(names):
            try:
                return self._order(names, replaces)
            except (errors.ConflictError, messages.Error) as error:
                # Replaced already, or not known any more: that it is a renewal is of no importance to us.
                if replaces is None or (isinstance(error, messages.Error) and error.code == "rateLimited"):
                    raise
            return self._order(names, None)

    def _order(self, names: Sequence[str], replaces: str | None) -> str:
        identifiers = [messages.Identifier(typ=messages.IDENTIFIER_FQDN, value=name) for name in names]
        wanted = NewOrder(identifiers=identifiers, replaces=replaces, profile="")
        return str(self._post(self._directory["newOrder"], wanted).headers["Location"])

    def state(self, order: str) -> messages.Order:
        """How far an order is. Raises as ``order`` does."""
        with _told():
            found: messages.Order = messages.Order.from_json(self._read(order).json())
        return found

    def open_challenges(
        self, order: messages.Order, kind: type[challenges.KeyAuthorizationChallenge]
    ) -> list[tuple[str, str, messages.ChallengeBody]]:
        """(URL of the authorization, name, challenge) for each name that the authority has not verified yet.

        Raises as ``order`` does.
        """
        found = []
        for url in order.authorizations:
            with _told():
                authorization = messages.Authorization.from_json(self._read(url).json())
            if authorization.status == messages.STATUS_VALID:
                continue
            name = str(authorization.identifier.value)
            _check(authorization, name)
            mine = [each for each in authorization.challenges if isinstance(each.chall, kind)]
            if not mine:
                raise RefusedError(f"The certificate authority offers no {kind.typ} for {name}")
            found.append((url, name, mine[0]))
        return found

    def answer(self, challenge: messages.ChallengeBody) -> None:
        """Tell the authority to look; what it is to find is there. Raises as ``order`` does."""
        if challenge.status == messages.STATUS_PENDING:
            with _told():
                self._post(challenge.uri, challenge.chall.response(self.key))

    def wait_for_authorization(self, url: str, name: str) -> None:
        """Until the authority has verified the name. Raises as ``order`` does."""

        def is_done(response: requests.Response) -> bool:
            authorization = messages.Authorization.from_json(response.json())
            if authorization.status == messages.STATUS_VALID:
                return True
            _check(authorization, name)
            return False

        self._until(url, is_done)

    def finalize(self, order: messages.Order, names: Sequence[str], key: str) -> None:
        """Have the certificate made for this key (PEM). Raises as ``order`` does."""
        with _told(names):
            self._post(order.finalize, messages.CertificateRequest(csr=_csr(names, key)))

    def wait_for_order(self, url: str, status: messages.Status) -> messages.Order:
        """Until an order has this status; returns it. Raises as ``order`` does."""
        latest: list[messages.Order] = []

        def is_done(response: requests.Response) -> bool:
            latest.append(messages.Order.from_json(response.json()))
            if latest[-1].status == messages.STATUS_INVALID:
                raise _refusal(latest[-1].error, ", ".join(str(each.value) for each in latest[-1].identifiers))
            return bool(latest[-1].status == status)

        self._until(url, is_done)
        return latest[-1]

    def chain(self, order: messages.Order) -> str:
        """The certificate with those that signed it, PEM. Raises as ``order`` does."""
        with _told():
            return self._read(str(order.certificate)).text

    def suggestion(self, certificate: str) -> tuple[Window | None, float | None]:
        """When to renew it, and in how many seconds to ask again; None where it does not say. Raises ``AwayError``."""
        known = acm.identifier(x509.load_pem_x509_certificate(certificate.encode()))
        url = self._renewal_info()
        if known is None or url is None:
            return None, None
        with _told():
            answer = self._net.get(f"{url.rstrip('/')}/{known}")
            found = messages.RenewalInfo.from_json(answer.json()).suggested_window
            window = Window(found.start, found.end)
        after = _retry_after(answer)
        return (window if window.start < window.end else None), after

    def _renewal_info(self) -> str | None:
        try:
            return str(self._directory["renewalInfo"])
        except KeyError:
            return None

    def _until(self, url: str, is_done: Callable[[requests.Response], bool]) -> None:
        ends = time.monotonic() + POLL_SECONDS
        while True:
            with _told():
                response = self._read(url)
                if is_done(response):
                    return
            if time.monotonic() > ends:
                raise AwayError(_WHAT, f"has not decided within {POLL_SECONDS} s", _NEXT)
            self._pause(min(max(_retry_after(response) or 0, _SHORTEST_PAUSE), _LONGEST_PAUSE))

    def _read(self, url: str) -> requests.Response:
        return self._post(url, None)

    def _post(self, url: str, body: JSONDeSerializable | None) -> requests.Response:
        return self._net.post(url, body, new_nonce_url=self._directory["newNonce"])


def key_authorization(challenge: messages.ChallengeBody, key: JWK) -> str:
    """What is to be found: the file's text, or the DNS record's."""
    return str(challenge.chall.validation(key))


def _check(authorization: messages.Authorization, name: str) -> None:
    """Raises ``RefusedError`` when the name was not verified, ``OrderGoneError`` when it is too late for it."""
    failed = [each.error for each in authorization.challenges if each.error is not None]
    if authorization.status == messages.STATUS_INVALID:
        raise _refusal(failed[0] if failed else None, name)
    if authorization.status != messages.STATUS_PENDING:
        raise OrderGoneError(f"the authorization of {name}", f"is {authorization.status.name}", "another is asked for")


def _refusal(problem: messages.Error | None, name: str) -> RefusedError:
    while problem is not None and problem.subproblems:
        problem = problem.subproblems[0]
    if problem is None:
        return RefusedError(f"The certificate authority did not verify {name}")
    return RefusedError(acm.reason(problem.code or "", str(problem.detail or problem.title or ""), name))


@contextmanager
def _told(names: Sequence[str] = ()) -> Iterator[None]:
    """What the library and the network raise, as ours; ``names`` are those that it is about."""
    try:
        yield
    except messages.Error as problem:
        name = str(problem.identifier.value) if problem.identifier else ", ".join(names)
        if problem.code in _REFUSALS or problem.subproblems:
            raise _refusal(problem, name) from problem
        kind = _KINDS.get(problem.code or "", AwayError)
        raise kind(_WHAT, f"{problem.code or problem.typ}: {problem.detail}", _NEXT) from problem
    except (errors.Error, requests.RequestException, JoseError, ValueError, KeyError) as error:
        gone = isinstance(error, errors.ClientError) and "404" in str(error)
        raise (OrderGoneError if gone else AwayError)(_WHAT, f"{type(error).__name__}: {error}"[:300], _NEXT) from error


_KINDS: dict[str, type[AwayError | LimitedError]] = {
    "rateLimited": LimitedError,
    "accountDoesNotExist": AccountGoneError,
    "malformed": OrderGoneError,
    "orderNotReady": OrderGoneError,
}


def _retry_after(response: requests.Response) -> float | None:
    """Seconds; None when it does not say."""
    return retries.retry_after(response.headers.get("Retry-After", ""), datetime.now(UTC))


def new_key() -> str:
    """A private key, PEM."""
    made = ec.generate_private_key(ec.SECP256R1())
    plain = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return made.private_bytes(*plain).decode()


def _csr(names: Sequence[str], key: str) -> x509.CertificateSigningRequest:
    private = cast(ec.EllipticCurvePrivateKey, serialization.load_pem_private_key(key.encode(), None))
    builder = x509.CertificateSigningRequestBuilder(x509.Name([]))
    alternatives = x509.SubjectAlternativeName([x509.DNSName(name) for name in names])
    return builder.add_extension(alternatives, critical=False).sign(private, hashes.SHA256())
