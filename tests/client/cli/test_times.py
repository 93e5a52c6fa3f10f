"""Points in time on the command line."""

import time
from datetime import datetime, timedelta

import click
import pytest

from blockmill.client.cli.times import parse_since
from blockmill.client.cli.watching import log_text
from blockmill.shared.messages.records import LogLine


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90s", 90), ("10min", 600), ("10 m", 600), ("1.5h", 5400), ("3d", 259200), ("2w", 1209600)],
)
def test_so_long_ago(text, seconds):
    before = time.time() - seconds
    assert before <= parse_since(text) <= time.time() - seconds


@pytest.mark.parametrize("text", ["2026-11-28", "2026-11-28T14:30", "2026-11-28 14:30:10"])
def test_a_date_is_local(text):
    assert parse_since(text) == datetime.fromisoformat(text).timestamp()


def test_a_time_alone_is_of_today():
    told = datetime.fromtimestamp(parse_since("00:30"))
    assert (told.date(), told.hour, told.minute) == (datetime.now().date(), 0, 30)


@pytest.mark.parametrize("text", ["", "yesterday", "5", "-3h", "25:00", "3 hours", "²h"])
def test_what_is_no_time_is_wrong_usage(text):
    with pytest.raises(click.BadParameter, match="10min, 2h, 3d"):
        parse_since(text)


def test_a_line_of_another_day_has_its_date():
    now = datetime.now()
    yesterday = now - timedelta(days=1)
    assert log_text(LogLine(time_s=now.timestamp(), text="x")) == f"{now:%H:%M:%S} x"
    assert log_text(LogLine(time_s=yesterday.timestamp(), text="x")) == f"{yesterday:%Y-%m-%d %H:%M:%S} x"
