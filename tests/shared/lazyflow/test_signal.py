from concurrent.futures import CancelledError
from contextlib import nullcontext

import pytest

from blockmill.shared.lazyflow.signal import OrderedSignal


@pytest.fixture
def heard():
    return []


@pytest.fixture
def signal():
    return OrderedSignal()


def test_callbacks_come_in_the_order_of_subscription(signal, heard):
    for name in "abc":
        signal.subscribe(lambda value, name=name: heard.append((name, value)))
    signal(1)
    assert heard == [("a", 1), ("b", 1), ("c", 1)]


def test_subscribing_again_moves_to_the_end_with_new_kwargs(signal, heard):
    def first(**kwargs):
        heard.append(("first", kwargs))

    signal.subscribe(first, a=1)
    signal.subscribe(lambda: heard.append("second"))
    signal.subscribe(first, b=2)
    signal()
    assert heard == ["second", ("first", {"b": 2})]


def test_bound_methods_of_one_object_are_equal(signal, heard):
    signal.subscribe(heard.append)
    signal.unsubscribe(heard.append)
    signal.unsubscribe(heard.append)
    signal(1)
    assert heard == []


def test_an_emit_works_on_a_snapshot(signal, heard):
    def removes_the_other():
        heard.append("removes")
        signal.unsubscribe(other)
        signal.subscribe(lambda: heard.append("late"))

    def other():
        heard.append("other")

    signal.subscribe(removes_the_other)
    signal.subscribe(other)
    signal()
    assert heard == ["removes", "other"]


def test_the_first_exception_ends_the_emit(signal, heard):
    signal.subscribe(lambda: 1 / 0)
    signal.subscribe(lambda: heard.append("never"))
    with pytest.raises(ZeroDivisionError):
        signal()
    assert heard == []


def test_a_cleaned_signal_is_silent(signal, heard):
    signal.subscribe(heard.append)
    signal.clean()
    signal(1)
    assert heard == []
    assert len(signal) == 0


def test_a_cancelled_callback_is_passed_over_where_that_is_wanted(heard):
    def cancelled():
        raise CancelledError

    for hides in (True, False):
        signal = OrderedSignal(hide_cancellation_exceptions=hides)
        signal.subscribe(cancelled)
        signal.subscribe(lambda hides=hides: heard.append(hides))
        with nullcontext() if hides else pytest.raises(CancelledError):
            signal()
    assert heard == [True]


def test_other_exceptions_are_never_hidden():
    signal = OrderedSignal(hide_cancellation_exceptions=True)
    signal.subscribe(lambda: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        signal()
