"""Rules about who may do what: permissions, scopes, names of teams, addresses, keys."""

import base64
import itertools
import struct
from collections.abc import Callable

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from dynoform.domain import emails, permissions, scopes, ssh_keys, teams
from dynoform.domain.permissions import ALL, Permission
from dynoform.domain.scopes import Scope
from dynoform.errors import InvalidInputError

VIEW, DEPLOY, OPERATE, MANAGE = Permission


@pytest.mark.parametrize(
    ("owner", "role", "granted", "locked", "held"),
    [
        (True, None, [], False, set(ALL)),
        (False, "admin", [], True, set(ALL)),
        (False, "member", [], False, {VIEW}),
        (False, "viewer", [], False, {VIEW}),
        (False, "member", [], True, set()),
        (False, "collaborator", [], False, set()),
        (False, None, [], False, set()),
        (False, "member", ["deploy", "view"], True, {VIEW, DEPLOY}),
        (False, "collaborator", ["operate", "view"], False, {VIEW, OPERATE}),
        (False, None, ["deploy", "operate", "view"], False, {VIEW, DEPLOY, OPERATE}),
    ],
)
def test_permissions_come_from_owning_a_role_and_shares(
    owner: bool, role: str | None, granted: list[str], locked: bool, held: set[Permission]
) -> None:
    assert permissions.effective(owner=owner, role=role, granted=granted, locked=locked) == held


def test_to_grant_anything_is_to_grant_a_view() -> None:
    assert permissions.grant(["deploy"]) == {VIEW, DEPLOY}
    assert permissions.grant([]) == {VIEW}
    with pytest.raises(InvalidInputError, match=r"Permission 'root' is not one of: view, deploy, operate, manage"):
        permissions.grant(["view", "root"])


@pytest.mark.parametrize(
    ("method", "path", "wanted"),
    [
        ("GET", "/account", "identity"),
        ("GET", "/users/{user}", "identity"),
        ("PATCH", "/account", "global"),
        ("GET", "/account/keys", "global"),
        ("GET", "/oauth/authorizations", "global"),
        ("POST", "/dynoform/accounts", "global"),
        ("GET", "/apps", "read"),
        ("GET", "/users/~/apps", "read"),
        ("GET", "/account/app-transfers", "read"),
        ("POST", "/account/app-transfers", "write"),
        ("POST", "/apps/{app}/log-sessions", "read"),
        ("POST", "/filters/apps", "read"),
        ("POST", "/actions/addon-attachments/resolve", "read"),
        ("DELETE", "/apps/{app}", "write"),
        ("GET", "/apps/{app}/config-vars", "read-protected"),
        ("PATCH", "/apps/{app}/config-vars", "write-protected"),
        ("DELETE", "/data/kafka/v0/clusters/{cluster}/topics/{topic}", "write-protected"),
        ("POST", "/reports", "write-protected"),
        ("GET", "/apps/{app}/releases/{release}/config-vars", "read-protected"),
        ("POST", "/apps/{app}/dynos", "write-protected"),
        ("POST", "/apps/{app}/scheduler-jobs", "write-protected"),
        ("PATCH", "/apps/{app}/scheduler-jobs/{job}", "write-protected"),
        ("DELETE", "/apps/{app}/scheduler-jobs/{job}", "write"),
        ("GET", "/apps/{app}/scheduler-jobs", "read"),
        ("PUT", "/api/v2/{dyno}", "write-protected"),
        ("GET", "/api/v2", "read"),
        ("GET", "/account/rate-limits", None),
    ],
)
def test_each_call_needs_a_scope(method: str, path: str, wanted: str | None) -> None:
    assert scopes.needed(method, path) == wanted


def test_a_scope_gives_what_heroku_says() -> None:
    given = {
        (granted, wanted) for granted, wanted in itertools.product(Scope, Scope) if scopes.allows([granted], wanted)
    }
    own = {(scope, scope) for scope in Scope} | {(Scope.GLOBAL, scope) for scope in Scope}
    assert given == own | {
        ("write", "read"),
        ("read-protected", "read"),
        ("write-protected", "read"),
        ("write-protected", "write"),
        ("write-protected", "read-protected"),
    }
    assert not scopes.allows([], Scope.READ)


def test_scopes_are_checked_by_name() -> None:
    assert scopes.check(None) == scopes.check([]) == ["global"]
    assert scopes.check(["read", "write", "read"]) == ["read", "write"]
    with pytest.raises(InvalidInputError, match="Scope 'root' is not one of: global, identity, read, write, read-pro"):
        scopes.check(["root"])


@pytest.mark.parametrize("name", ["ab", "acme", "acme-2", "a" * 30])
def test_a_team_has_a_name_like_an_app(name: str) -> None:
    assert teams.check_name(name) == name


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("a", "Name must have 2 to 30 characters"),
        ("a" * 31, "Name must have 2 to 30 characters"),
        ("Acme", "Name must start with a letter"),
        ("acme-", "Name must start with a letter"),
        ("apps", "Name apps is already taken"),
        ("permissions", "Name permissions is already taken"),
    ],
)
def test_a_wrong_name_of_a_team_is_refused(name: str, message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        teams.check_name(name)


def test_an_unknown_role_is_refused() -> None:
    with pytest.raises(InvalidInputError, match="Role 'owner' is not one of: admin, member, viewer, collaborator"):
        teams.role("owner")


def test_addresses_are_compared_in_lower_case() -> None:
    assert emails.check(" Ann.O'Neil+x@Example.COM ") == "ann.o'neil+x@example.com"
    assert emails.check("operator@localhost") == "operator@localhost"


@pytest.mark.parametrize("text", ["", "ann", "@example.com", "ann@", "a b@c.d", "a@b@c", "a\n@b.c", "a" * 251 + "@b.c"])
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(InvalidInputError, match="is not an e-mail address"):
        emails.check(text)


def openssh(key: "rsa.RSAPublicKey | ed25519.Ed25519PublicKey | ec.EllipticCurvePublicKey") -> str:
    return key.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()


@pytest.fixture(scope="module")
def line() -> str:
    """An Ed25519 key with a comment."""
    return f"{openssh(ed25519.Ed25519PrivateKey.generate().public_key())} ann@laptop"


def test_a_key_is_read_with_its_comment_and_fingerprint() -> None:
    known = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f"
    parsed = ssh_keys.parse(f"  {known}   ann@laptop at home \n")
    assert parsed.line == f"{known} ann@laptop at home"
    assert parsed.comment == "ann@laptop at home"
    assert parsed.fingerprint == ssh_keys.parse(known).fingerprint
    assert len(parsed.fingerprint) == 47


@pytest.mark.parametrize(
    "make",
    [
        lambda: ec.generate_private_key(ec.SECP256R1()),
        lambda: ec.generate_private_key(ec.SECP521R1()),
        lambda: rsa.generate_private_key(65537, 2048),
    ],
)
def test_the_usual_kinds_of_keys_are_taken(
    make: Callable[[], "rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey"],
) -> None:
    assert ssh_keys.parse(openssh(make().public_key())).comment == ""


def test_what_is_no_good_key_is_refused(line: str) -> None:
    kind, blob, comment = line.split()
    short = rsa.generate_private_key(65537, 1024)  # noqa: S505 - too short on purpose
    off_the_curve = struct.pack(">I", 19) + b"ecdsa-sha2-nistp256" + struct.pack(">I", 8) + b"nistp256"
    off_the_curve += struct.pack(">I", 65) + b"\4" + b"\1" * 64
    wrong = {
        "": "send one line, as it stands in the .pub file",
        "hello": "use a key of one of the types",
        "ssh-ed25519": "copy the .pub file again",
        f"ssh-rsa {blob}": "copy the .pub file again",
        f"{kind} {blob[:-4]}": "copy the .pub file again",
        f"{kind} {blob}!": "copy the .pub file again",
        f"ecdsa-sha2-nistp256 {base64.b64encode(off_the_curve).decode()}": "copy the .pub file again",
        f"{line}\n{line}": "send one line, as it stands in the .pub file",
        f"{line}\x1b[2J": "send one line, as it stands in the .pub file",
        "-----BEGIN OPENSSH PRIVATE KEY-----": "use a key of one of the types",
        openssh(short.public_key()): "RSA keys need 2048 bits or more",
        f'command="x" {line}': "use a key of one of the types",
        f"{kind} {blob} {comment * 1000}": "send one line",
    }
    for text, message in wrong.items():
        with pytest.raises(InvalidInputError, match=message):
            ssh_keys.parse(text)
