import uuid
from datetime import UTC, datetime, timedelta

import pytest

from dynoform.domain import exec_channels, heroku_exec, ssh_keys
from dynoform.domain.exec_channels import Channel, Frames, Kind, Size, frame
from dynoform.errors import ConfigurationError, ConflictError, InvalidInputError

MADE = datetime(2026, 11, 24, 12, tzinfo=UTC)
LAUNCHER = ["/opt/dynoform/dyno"]


def test_a_key_is_good_for_an_hour_from_its_last_use_and_a_day_at_most() -> None:
    assert heroku_exec.good_until(MADE, MADE) == MADE + timedelta(hours=1)
    assert heroku_exec.good_until(MADE, MADE + timedelta(hours=5)) == MADE + timedelta(hours=6)
    assert heroku_exec.good_until(MADE, MADE + timedelta(hours=23.5)) == MADE + timedelta(hours=24)


def test_a_user_name_stands_for_one_key() -> None:
    key_id = uuid.uuid4()
    assert heroku_exec.key_id(heroku_exec.user_name(key_id)) == key_id
    for other in ("root", "", "x" * 32, key_id.hex.upper(), str(key_id), f"{{{key_id.hex[:30]}}}"):
        if other != key_id.hex:
            assert heroku_exec.key_id(other) is None


@pytest.mark.parametrize("host", ["0.0.0.0", "127.0.0.1", "127.9.9.9", "::1", "::", "localhost", "LOCALHOST"])  # noqa: S104
def test_a_tunnel_leads_to_the_dyno(host: str) -> None:
    heroku_exec.check_destination(host, 9229)


@pytest.mark.parametrize("host", ["172.29.4.1", "169.254.169.254", "example.com", "", "localhost.evil", "::2"])
def test_a_tunnel_leads_nowhere_else(host: str) -> None:
    with pytest.raises(InvalidInputError, match=r"is not the dyno's own — use localhost or 127\.0\.0\.1"):
        heroku_exec.check_destination(host, 80)


@pytest.mark.parametrize("port", [0, 65536])
def test_a_tunnel_leads_to_a_port(port: int) -> None:
    with pytest.raises(InvalidInputError, match=f"port {port}: is not a port"):
        heroku_exec.check_destination("localhost", port)


def test_a_dyno_has_to_be_up() -> None:
    heroku_exec.check_up("web.1", "up")
    with pytest.raises(ConflictError) as caught:
        heroku_exec.check_up("web.1", "crashed")
    assert str(caught.value) == "Dyno web.1: is crashed — run heroku ps:wait, then try again"


def test_shell_and_command_have_the_config_vars_and_nothing_else_has() -> None:
    assert Channel(Kind.COMMAND, "ls -l").words(LAUNCHER) == ["/opt/dynoform/dyno", "ls -l"]
    assert Channel(Kind.SHELL).words(LAUNCHER) == ["/opt/dynoform/dyno", exec_channels.SHELL]
    assert LAUNCHER[0] not in Channel(Kind.SFTP).words(LAUNCHER)
    assert Channel(Kind.TUNNEL, port=9229).words(LAUNCHER)[-1] == "9229"


def test_only_a_terminal_has_a_type() -> None:
    size = Size(24, 80)
    assert Channel(Kind.SHELL, term="vt100", size=size).variables == {"TERM": "vt100"}
    assert Channel(Kind.SHELL, term="vt100").variables == {}
    for wrong in ("", "a\nB=c", "x" * 65):
        assert Channel(Kind.SHELL, term=wrong, size=size).variables == {}


def test_a_size_makes_sense() -> None:
    assert Size(24, 80).known
    for wrong in (Size(0, 0), Size(0, 80), Size(24, -1), Size(10_000, 80)):
        assert not wrong.known


@pytest.mark.parametrize("length", [1, 4, 5, 6, 100, 1 << 20])
def test_frames_are_whole_however_they_come(length: int) -> None:
    said = [(b"I", bytes(range(256)) * 300), (b"E", b""), (b"c", b"137")]
    stream = b"".join(frame(*one) for one in said)
    frames = Frames()
    assert [one for at in range(0, len(stream), length) for one in frames.feed(stream[at : at + length])] == said


def test_a_frame_that_is_too_long_is_refused_before_it_has_come() -> None:
    with pytest.raises(InvalidInputError, match="frame: is of 131073 bytes, not up to 131072"):
        Frames().feed(frame(b"I", b"x" * (exec_channels.MAXIMUM + 1))[:5])


@pytest.mark.parametrize(
    "channel",
    [
        Channel(Kind.COMMAND, 'echo "\u2713 \U0001f600\x01"', term="xterm-256color", size=Size(45, 123)),
        Channel(Kind.TUNNEL, port=9229),
        Channel(Kind.SFTP),
    ],
)
def test_a_channel_and_a_size_arrive_as_they_were(channel: Channel) -> None:
    assert exec_channels.unpack_channel(exec_channels.pack(channel)) == channel
    assert exec_channels.unpack_size(exec_channels.pack(Size(45, 123))) == Size(45, 123)


def test_the_longest_command_fits_into_a_frame() -> None:
    for letter in ("\x01", "\U0001f600"):
        assert len(exec_channels.pack(Channel(Kind.COMMAND, letter * 16 * 1024))) < exec_channels.MAXIMUM


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b'{"kind": "x"}', b"\xff", b'{"rows": "a", "columns": 1}'])
def test_nonsense_is_refused(content: bytes) -> None:
    with pytest.raises(InvalidInputError, match="channel: is not understood"):
        exec_channels.unpack_channel(content)
    with pytest.raises(InvalidInputError, match="size: is not understood"):
        exec_channels.unpack_size(content)


def test_a_host_key_is_the_same_each_time_and_its_own() -> None:
    one, other = "A" * 42 + "s=", "B" * 42 + "s="
    assert ssh_keys.host_key(one) == ssh_keys.host_key(one)
    assert ssh_keys.host_key(one) != ssh_keys.host_key(other)
    assert ssh_keys.parse(ssh_keys.host_key(one).public).comment == ""
    with pytest.raises(ConfigurationError, match="secret exec_host_key: is not 32 bytes in URL-safe base64"):
        ssh_keys.host_key("short")
