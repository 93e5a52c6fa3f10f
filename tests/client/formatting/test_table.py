"""Tables fit a terminal of any width, beside names of any length."""

import os
import pty
import subprocess
import sys

import pytest

from blockmill.client.formatting.table import lines_of

HEAD = ("ID", "STATE", "BLOCKS", "LEFT", "NAME", "SINCE", "")
REASON = "block [0, 0, 0]-[4, 30, 20] is given up after attempt 3: RuntimeError: no luck today"
ROWS = [
    ("1", "done", "12/12", "", "smooth", "5 min ago", ""),
    ("12", "done with failures", "10/12 (2 failed)", "", "x" * 240, "12 min ago", REASON),
]


def lines(width, rows=ROWS):
    return [line for line, _ in lines_of(HEAD, rows, "NAME", width)]


@pytest.mark.parametrize("width", [20, 40, 50, 60, 80, 100, 132, 200, 400])
def test_no_line_is_longer_than_the_terminal(width):
    assert max(map(len, lines(width))) <= width


@pytest.mark.parametrize("width", [60, 80, 100, 132])
def test_beside_a_name_of_240_letters_the_others_keep_their_columns(width):
    shown = lines(width)
    assert shown[0].split() == ["ID", "STATE", "BLOCKS", "NAME", *(["SINCE"] if width > 60 else [])]
    assert shown[1].split()[:4] == ["1", "done", "12/12", "smooth"]
    assert "xxxxxxx…" in shown[2]


def test_a_reason_for_which_there_is_no_room_has_its_own_line():
    assert lines(100)[3] == f"    {REASON}"
    assert lines(50)[3] == f"    {REASON[:45]}…"
    assert len(lines(400)) == 3
    assert lines(400)[2].endswith(REASON)


def test_names_of_usual_length_are_whole_on_80_columns():
    name = "smooth-the-cells-of-mice"
    assert name in lines(80, [("1", "running", "3/12", "5 min", name, "12 min ago", "")])[1]


def test_a_column_without_an_entry_is_left_out_on_a_terminal_alone():
    assert "LEFT" not in lines(80)[0]
    assert "LEFT" in lines(None)[0]


def test_what_is_no_terminal_gets_every_letter():
    shown = lines(None)
    assert "x" * 240 in shown[2]
    assert shown[2].endswith(REASON)


def test_a_terminal_that_says_it_has_0_columns_is_taken_as_usual():
    master, slave = pty.openpty()  # a new one has 0 rows and 0 columns
    code = (
        "from blockmill.client.formatting.table import print_table;"
        "print_table(('ID', 'NAME', ''), [('1', 'smooth', '')], name='NAME')"
    )
    try:
        assert os.get_terminal_size(slave).columns == 0
        subprocess.run([sys.executable, "-c", code], stdout=slave, check=True, timeout=60)
        assert os.read(master, 1000).decode().split() == ["ID", "NAME", "1", "smooth"]
    finally:
        os.close(slave)
        os.close(master)
