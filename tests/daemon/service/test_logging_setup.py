"""The service's log can't be filled by whoever sends nonsense."""

import logging

from blockmill.daemon.service.logging_setup import RecordLimit


def record(level, text, *args):
    return logging.LogRecord("x", level, __file__, 1, text, args, None)


def test_few_warnings_of_a_kind_pass_in_a_period_and_the_others_are_counted():
    now = [0.0]
    limit = RecordLimit(most=3, period_s=60.0, clock=lambda: now[0])
    passed = [limit.filter(record(logging.WARNING, "nonsense: %s", n)) for n in range(10)]
    assert passed == [True] * 3 + [False] * 7
    assert limit.filter(record(logging.WARNING, "something else"))
    now[0] = 59.0
    assert limit.left_out() == []
    now[0] = 61.0
    assert limit.left_out() == [("nonsense: %s", 7)]
    assert limit.left_out() == []
    assert limit.filter(record(logging.WARNING, "nonsense: %s", 11))


def test_ordinary_news_are_not_limited():
    limit = RecordLimit(most=1)
    assert all(limit.filter(record(logging.INFO, "%s", n)) for n in range(100))
    assert limit.left_out() == []
