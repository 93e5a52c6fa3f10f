"""Text from outside can be encoded, is not too long, and an error that can't say its text is told."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blockmill.shared.outside_text import clean, decoded, error_text, message_of

ANY_TEXT = st.text(st.characters(exclude_categories=()), max_size=60)  # surrogates as well


@given(ANY_TEXT, st.integers(1, 70))
def test_any_text_can_be_encoded_and_is_bounded(text, most):
    cleaned = clean(text, most)
    cleaned.encode()
    assert len(cleaned) <= 6 * most + 40  # a lone surrogate takes six characters


@given(st.text(max_size=60))
def test_good_text_stays_as_it_is(text):
    assert clean(text) == text
    assert decoded(text.encode()) == text


def test_what_can_not_be_encoded_is_shown():
    assert clean("in " + os.fsdecode(b"caf\xe9.tif")) == r"in caf\udce9.tif"
    assert decoded(b"in caf\xe9.tif") == r"in caf\xe9.tif"


def test_a_long_text_tells_how_much_is_missing():
    assert clean("x" * 5000, 10) == "xxxxxxxxxx... and 4990 more characters"
    assert message_of(ValueError("x" * 5000), 10) == "xxxxxxxxxx... and 4990 more characters"


class Odd(Exception):
    def __str__(self):
        return self.missing


class NoText(Exception):
    def __str__(self):
        return 3


@pytest.mark.parametrize(("error", "why"), [(Odd(), "AttributeError"), (NoText(), "TypeError")])
def test_an_error_that_can_not_say_its_text_is_told_by_its_class(error, why):
    told = f"(this error can't say its text: its __str__ raised {why})"
    assert error_text(error) == f"{type(error).__name__}: {told}"


def test_an_error_is_told_with_its_class():
    assert error_text(ValueError("no such plane")) == "ValueError: no such plane"
