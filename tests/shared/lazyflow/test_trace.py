import logging

import pytest

from blockmill.shared.lazyflow.trace import Tracer, trace_logged

NAME = "TRACE.test"


@pytest.fixture
def lines(caplog):
    caplog.set_level(logging.DEBUG, NAME)
    return lambda: [record.getMessage() for record in caplog.records]


def test_a_block_is_named_after_the_function_around_it(lines):
    def around():
        with Tracer(NAME, msg="50% done"):
            logging.getLogger(NAME).debug("inside")

    around()
    assert lines() == ["(enter) around 50% done", "inside", "(exit) around"]


def test_a_tracer_that_is_used_again_names_its_new_caller(lines):
    tracer = Tracer(logging.getLogger(NAME))

    def first():
        with tracer:
            pass

    def second():
        with tracer:
            pass

    first()
    second()
    assert lines() == ["(enter) first", "(exit) first", "(enter) second", "(exit) second"]


def test_a_given_name_stands_and_none_is_looked_up_unasked(lines):
    with Tracer(NAME, caller_name="me"):
        pass
    with Tracer(NAME, determine_caller=False):
        pass
    assert lines() == ["(enter) me", "(exit) me", "(enter)", "(exit)"]


def test_an_exception_passes_and_the_exit_is_logged(lines):
    with pytest.raises(ZeroDivisionError), Tracer(NAME, caller_name="me"):
        1 / 0  # noqa: B018
    assert lines() == ["(enter) me", "(exit) me"]


def test_a_traced_function_obeys_the_level_of_each_call(lines, caplog):
    @trace_logged(NAME, msg="now")
    def double(number, *, plus=0):
        """Twice."""
        return 2 * number + plus

    caplog.set_level(logging.INFO, NAME)
    assert double(2, plus=1) == 5
    assert lines() == []
    caplog.set_level(logging.DEBUG, NAME)
    assert double(2) == 4
    assert lines() == ["(enter) double now", "(exit) double"]
    assert (double.__name__, double.__doc__) == ("double", "Twice.")
    assert double.__wrapped__(3) == 6


def test_nothing_is_looked_up_while_the_level_is_off(monkeypatch, caplog):
    caplog.set_level(logging.INFO, NAME)
    monkeypatch.setattr("blockmill.shared.lazyflow.trace.sys", None)
    with Tracer(NAME):
        pass
