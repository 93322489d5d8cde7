"""Which rotated files were never read."""

from dynoform.domain.log_gaps import Gaps, Rotated, lost

A, WEB = "app", "web.1"


def at(second: float) -> str:
    return f"2026-11-26T06:00:{second:09.6f}+00:00"


def file(first: float, last: float, lines: int = 5) -> Rotated:
    return Rotated(at(first), at(last), lines)


def come(gaps: Gaps, *seconds: float, process: str = WEB) -> list[Rotated]:
    return [each for second in seconds for each in gaps.line(A, process, at(second))]


def test_a_file_between_two_lines_is_lost_whichever_is_heard_of_first() -> None:
    early, late = Gaps(), Gaps()
    assert come(early, 1, 2) == []
    assert early.rotated(A, WEB, file(3, 4)) == []
    assert come(early, 5, 6) == [file(3, 4)]
    assert come(late, 1, 2, 5, 6) == []
    assert late.rotated(A, WEB, file(3, 4)) == [file(3, 4)]


def test_a_file_that_was_read_is_not_lost() -> None:
    gaps = Gaps()
    come(gaps, 1, 2, 3.5)
    assert gaps.rotated(A, WEB, file(1, 4)) == []
    assert come(gaps, 4, 5) == []
    assert gaps.rotated(A, WEB, file(4.5, 5)) == []
    assert come(gaps, 6, 9) == []
    assert gaps.rotated(A, WEB, file(5.5, 8)) == []


def test_several_lost_files_are_all_found_and_each_once() -> None:
    gaps = Gaps()
    come(gaps, 1)
    assert [gaps.rotated(A, WEB, file(n, n + 0.5)) for n in (2, 3, 4, 4)] == [[]] * 4
    assert come(gaps, 5, 6) == [file(n, n + 0.5) for n in (2, 3, 4)]
    assert gaps.rotated(A, WEB, file(3, 3.5)) == []


def test_lines_of_one_microsecond_at_both_sides_of_a_files_end_make_no_difference() -> None:
    early, late = Gaps(), Gaps()
    come(early, 1, 2)
    early.rotated(A, WEB, file(2, 3))
    assert come(early, 3, 4) == [file(2, 3)]
    come(late, 1, 2, 3, 4)
    assert late.rotated(A, WEB, file(2, 3)) == [file(2, 3)]


def test_however_many_files_are_filled_while_one_is_read_all_are_found() -> None:
    gaps = Gaps()
    come(gaps, 1)
    files = [file(2 + n / 20, 2 + (n + 0.9) / 20) for n in range(900)]
    assert [found for each in files for found in gaps.rotated(A, WEB, each)] == []
    assert come(gaps, 58) == files


def test_other_dynos_and_what_came_before_the_first_line_do_not_count() -> None:
    gaps = Gaps()
    assert gaps.rotated(A, WEB, file(1, 2)) == []
    assert come(gaps, 3) == []
    come(gaps, 4, process="web.2")
    assert come(gaps, 9, process="web.2") == []
    assert gaps.rotated(A, WEB, file(5, 6)) == []
    assert come(gaps, 7) == [file(5, 6)]


def test_the_line_says_how_many_and_since_when() -> None:
    assert lost(WEB, file(1, 2, 7)) == (
        "Error L12 (Local buffer overflow): 7 messages of web.1 dropped since 2026-11-26T06:00:01.000000+00:00."
    )
    assert "at least 7 messages" in lost(WEB, Rotated(at(1), at(2), 7, exact=False))
