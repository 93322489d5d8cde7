"""Lines that are sent again are known, and no new one is taken for one of them."""

from dynoform.domain.log_repeats import MOST_FILES, Marks, Place


def moment(second: int) -> str:
    return f"2026-11-23T23:10:{second:02d}.000000+00:00"


def taken(marks: Marks, session: int, *lines: tuple[int, int]) -> list[int]:
    """Offsets of the lines (offset, second) that are new."""
    return [offset for offset, second in lines if marks.take(Place("f", offset), moment(second), session)]


def test_what_a_new_session_begins_with_may_be_known() -> None:
    marks = Marks()
    assert taken(marks, 1, (0, 1), (10, 1), (20, 2)) == [0, 10, 20]
    assert taken(marks, 2, (10, 1), (20, 2), (30, 2), (40, 3)) == [30, 40]
    assert taken(marks, 3, (50, 4)) == [50]


def test_pieces_of_a_long_line_are_all_taken_or_none() -> None:
    marks = Marks()
    assert taken(marks, 1, (0, 1), (0, 1), (0, 1)) == [0, 0, 0]
    assert taken(marks, 2, (0, 1), (0, 1), (9, 1), (9, 1)) == [9, 9]


def test_lines_of_the_same_moment_and_of_two_pipes_keep_their_places() -> None:
    marks = Marks()
    assert taken(marks, 1, (0, 5), (10, 4), (20, 5)) == [0, 10, 20]
    assert taken(marks, 2, (0, 5), (10, 4), (20, 5), (30, 4), (40, 5)) == [30, 40]


def test_a_file_that_is_begun_anew() -> None:
    marks = Marks()
    assert taken(marks, 1, (0, 1), (900, 2), (0, 3), (10, 4)) == [0, 900, 0, 10]
    # The end of the old one comes again, and the beginning of the new one.
    assert taken(marks, 2, (900, 2), (0, 3), (10, 4), (20, 5)) == [20]
    # It was begun anew while nobody was connected, and is longer now than it was.
    assert taken(marks, 3, (20, 5), (0, 6), (30, 7)) == [0, 30]
    assert taken(marks, 4, (0, 8), (20, 9), (950, 10)) == [0, 20, 950]


def test_within_a_session_nothing_is_known_even_when_the_clock_was_set_back() -> None:
    marks = Marks()
    assert taken(marks, 1, (500, 30), (0, 10), (10, 11)) == [500, 0, 10]


def test_what_is_written_down_is_known_again() -> None:
    marks, again = Marks(), Marks()
    taken(marks, 1, (900, 2), (0, 3))
    marks.take(Place("other", 7), moment(1), 1)
    records = marks.moved()
    assert marks.moved() == []
    assert sorted(marks.all()) == sorted(records)
    again.load([*records, b"noise", b"a b c d e", b"\xff 1 2 3 4"])
    assert taken(again, 1, (900, 2), (0, 3), (10, 4)) == [10]
    assert not again.take(Place("other", 7), moment(1), 1)


def test_no_more_files_are_remembered_than_those_that_wrote_last() -> None:
    marks = Marks()
    for number in range(MOST_FILES + 2):
        marks.take(Place(f"f{number}", 1), moment(1), 1)
        marks.take(Place("f0", number + 2), moment(1), 1)
    assert len(marks.all()) == MOST_FILES
    assert not marks.take(Place("f0", 1), moment(1), 2)
    assert marks.take(Place("f1", 1), moment(1), 2)
