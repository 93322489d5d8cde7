"""What a drain is sent, and which lines come next."""

from dynoform.domain.drain_frames import Window, cut, frame_id, syslog, window
from dynoform.domain.log_drains import BUFFER


def test_frames_are_herokus_own() -> None:
    # https://devcenter.heroku.com/articles/log-drains#https-drains, whose lengths count the line end
    assert syslog(b"2012-11-30T06:45:29+00:00 heroku[web.3]: State changed from starting to up", "host") == (
        b"86 <45>1 2012-11-30T06:45:29+00:00 host heroku web.3 - State changed from starting to up\n"
    )
    assert syslog(b"2012-11-30T06:45:29+00:00 app[web.3]: a]: b", "d.1").endswith(b" d.1 app web.3 - a]: b\n")


def test_what_comes_next_is_bounded_and_loss_is_counted() -> None:
    assert window(5, 5, 0) is None
    assert window(5, 8, 0) == Window(6, 8, 0)
    assert window(5, 5 + BUFFER, 0) == Window(6, 5 + BUFFER, 0)
    assert window(5, 8 + BUFFER, 0) == Window(9, 8 + BUFFER, 3)
    assert window(5, 20, 10) == Window(11, 20, 5)  # not kept any more
    assert window(5, 20, 20) == Window(21, 20, 15)  # none is


def test_a_request_has_about_100_kb_and_at_least_one_line() -> None:
    line = b"2012-11-30T06:45:29+00:00 app[web.3]: " + b"x" * 10_000
    assert len(cut([line] * 50, "host")) == 11
    assert len(cut([line * 20] * 5, "host")) == 1


def test_a_frame_id_is_of_its_lines() -> None:
    one = frame_id("d.1", "run", Window(1, 5))
    assert one == frame_id("d.1", "run", Window(1, 5))
    assert len({one, frame_id("d.2", "run", Window(1, 5)), frame_id("d.1", "run", Window(1, 6))}) == 3
    assert len(one) == 32
