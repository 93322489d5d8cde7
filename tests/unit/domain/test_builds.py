from dynoform.domain.builds import Lines, clean, megabytes, rejected, released


def test_escape_sequences_and_control_characters_do_not_pass() -> None:
    colours, title = "\x1b[1;31mred\x1b[0m ", "\x1b]0;title\x07bell\x07 "
    link, others = "\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\ ", "\x1bPq\x1b\\\x1b(B\x9b31m\x00\x7f\tend"
    line = colours + title + link + others
    assert clean(line) == "red bell link 31m\tend"


def test_lines_come_out_whole_however_the_pieces_are_cut() -> None:
    data = "-----> Crème\n       brûlée\x1b[31m!\x1b[0m\n".encode()
    for cut in range(len(data)):
        lines = Lines()
        assert lines.feed(data[:cut]) + lines.feed(data[cut:]) == "-----> Crème\n       brûlée!\n"


def test_progress_bars_become_lines() -> None:
    assert Lines().feed(b"10%\r20%\r\n30%\n") == "10%\n20%\n30%\n"


def test_a_line_without_an_end_is_kept_for_the_end() -> None:
    lines = Lines()
    assert lines.feed(b"almost") == ""
    assert lines.feed(b"", final=True) == "almost\n"


def test_an_endless_line_is_cut() -> None:
    assert len(Lines().feed(b"x" * 100_000)) > 16_000


def test_bytes_that_are_not_utf_8_are_replaced() -> None:
    assert Lines().feed(b"caf\xe9\n") == "caf\N{REPLACEMENT CHARACTER}\n"


def test_too_long_an_output_is_cut_once_and_says_so() -> None:
    lines = Lines(limit=10)
    first = lines.feed(b"0123456789abc\n")
    assert first == "0123456789\n !     The output is too long: the rest is left out.\n"
    assert lines.feed(b"more\n") == ""


def test_a_pusher_reads_what_was_released_and_whether_it_waits() -> None:
    assert released(7, "https://shop.example", "succeeded").startswith(
        "       Released v7\n       https://shop.example dep"
    )
    assert released(7, "https://shop.example", "pending").startswith(
        " !     Release command declared: this new release "
    )


def test_words_are_herokus() -> None:
    assert rejected("failed to compile Python app") == " !     Push rejected, failed to compile Python app."
    assert megabytes(21_600_000) == "21.6M"
