"""Where repositories of backups are: what an operator may set, and what pgBackRest is told of it."""

import subprocess
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from dynoform.domain import backup_repositories
from dynoform.errors import InvalidInputError

ADDON = UUID("0a1b2c3d-0000-4000-8000-000000000001")
PEM = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
SSH = "-----BEGIN OPENSSH PRIVATE KEY-----\nBBBB\n-----END OPENSSH PRIVATE KEY-----\n"
S3 = {"type": "s3", "bucket": "shop-backups", "endpoint": "s3.example.com", "region": "eu-1"}
SFTP = {"type": "sftp", "host": "10.0.9.1", "user": "backups", "knownHosts": "10.0.9.1 ssh-ed25519 CCCC"}


def test_a_volume_beside_each_needs_nothing() -> None:
    backup_repositories.check({})
    backup_repositories.check_key({}, "")
    assert backup_repositories.lines({}, "", "local", ADDON) == ""


def test_s3_is_told_with_a_path_for_each_database() -> None:
    whole = {**S3, "port": 9000, "prefix": "/dynoform", "uriStyle": "path", "authorities": PEM}
    backup_repositories.check(whole)
    backup_repositories.check_key(whole, "AKIA:s3cr:et")
    assert backup_repositories.lines(whole, "AKIA:s3cr:et\n", "local", ADDON).splitlines() == [
        "repo1-type=s3",
        f"repo1-path=/dynoform/local/{ADDON}",
        "repo1-s3-bucket=shop-backups",
        "repo1-s3-endpoint=s3.example.com",
        "repo1-s3-region=eu-1",
        "repo1-s3-uri-style=path",
        "repo1-s3-key=AKIA",
        "repo1-s3-key-secret=s3cr:et",
        "repo1-storage-port=9000",
        "repo1-storage-ca-file=/tmp/repository/authorities",
        "#authorities -----BEGIN CERTIFICATE-----",
        "#authorities AAAA",
        "#authorities -----END CERTIFICATE-----",
    ]
    plain = backup_repositories.lines(S3, "AKIA:secret", "local", ADDON)
    assert "repo1-s3-uri-style=host" in plain and "storage" not in plain and f"repo1-path=/local/{ADDON}" in plain


def test_a_place_is_named_for_people_and_is_the_same_by_another_port_or_key() -> None:
    assert backup_repositories.where({}, "local", ADDON) == ""
    told = f"s3://s3.example.com/shop-backups/dynoform/local/{ADDON}"
    assert backup_repositories.where({**S3, "prefix": "/dynoform"}, "local", ADDON) == told
    assert backup_repositories.where({**S3, "prefix": "/dynoform", "port": 9000}, "local", ADDON) == told
    assert backup_repositories.where({**SFTP, "path": "/r"}, "local", ADDON) == f"sftp://10.0.9.1/r/local/{ADDON}"


def test_another_host_is_known_by_its_key() -> None:
    backup_repositories.check(SFTP)
    backup_repositories.check_key(SFTP, SSH)
    told = backup_repositories.lines({**SFTP, "path": "/repositories"}, SSH, "local", ADDON)
    assert told.splitlines()[:8] == [
        "repo1-type=sftp",
        f"repo1-path=/repositories/local/{ADDON}",
        "repo1-sftp-host=10.0.9.1",
        "repo1-sftp-host-port=22",
        "repo1-sftp-host-user=backups",
        "repo1-sftp-host-key-check-type=strict",
        "repo1-sftp-host-key-hash-type=sha256",
        "repo1-sftp-known-host=/tmp/repository/known_hosts",
    ]
    assert "#known_hosts 10.0.9.1 ssh-ed25519 CCCC" in told and "#key BBBB" in told


def test_the_image_makes_files_of_what_is_told_in_comments(tmp_path: Path) -> None:
    told = tmp_path / "repository.conf"
    told.write_text("[global]\n" + backup_repositories.lines(SFTP, SSH, "local", ADDON))
    script = (Path(__file__).parents[3] / "images/postgres/opens").read_text()
    place = tmp_path / "files"
    subprocess.run(["bash", "-c", script.replace(backup_repositories.FILES, str(place)), "opens", told], check=True)
    assert (place / "key").read_text() == SSH
    assert (place / "known_hosts").read_text() == SFTP["knownHosts"] + "\n"
    assert (place / "key").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"type": "tape"}, "backupRepository.type: is 'tape' — use s3 or sftp"),
        (
            {**S3, "buckets": "x"},
            "backupRepository.buckets: is not a setting of s3 — there are authorities, bucket, end",
        ),
        ({"type": "s3"}, "backupRepository.bucket: is missing — s3 needs bucket, endpoint, region"),
        ({**S3, "port": "9000"}, "backupRepository.port: is '9000' — use a number from 1 to 65535"),
        ({**S3, "bucket": "Shop"}, "backupRepository.bucket: is 'Shop' — use a bucket's name"),
        ({**S3, "endpoint": "https://s3"}, "backupRepository.endpoint: is 'https://s3' — use a host's name, without"),
        ({**S3, "region": "eu\nrepo1-x=1"}, "backupRepository.region: is 'eu\\nrepo1-x=1' — use a region's name"),
        ({**S3, "prefix": "x"}, "backupRepository.prefix: is 'x' — use /letters/and/digits"),
        ({**S3, "uriStyle": "x"}, "backupRepository.uriStyle: is 'x' — use host or path"),
        ({**S3, "authorities": "x"}, "backupRepository.authorities: is no certificate — give PEM"),
        (
            {**S3, "authorities": PEM * 600},
            "backupRepository.authorities: is longer than 32768 characters — give what this place needs alone",
        ),
        ({**SFTP, "knownHosts": "x"}, "backupRepository.knownHosts: has no host's key — give what ssh-keyscan prints"),
        ({**SFTP, "user": "a b"}, "backupRepository.user: is 'a b' — use a user's name"),
        ({**SFTP, "host": "-x"}, "backupRepository.host: is '-x' — use a host's name or address"),
    ],
)
def test_what_cannot_be_is_named(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidInputError) as error:
        backup_repositories.check(settings)
    assert str(error.value).startswith(said)


@pytest.mark.parametrize(
    ("settings", "key", "said"),
    [
        (S3, "", "backupRepositoryKey: is missing, while backupRepository is set — set both"),
        ({}, "a:b", "backupRepository: is missing, while backupRepositoryKey is set — set both"),
        (S3, "secret", "backupRepositoryKey: is not ID:SECRET — give the access key's id, a colon, and its secret"),
        (S3, "a:b\nrepo1-x=1", "backupRepositoryKey: is not ID:SECRET"),
        (SFTP, "secret", "backupRepositoryKey: is no private key — give what ssh-keygen has written"),
    ],
)
def test_a_key_goes_with_its_settings(settings: dict[str, Any], key: str, said: str) -> None:
    with pytest.raises(InvalidInputError) as error:
        backup_repositories.check_key(settings, key)
    assert str(error.value).startswith(said)
