import pytest
from hypothesis import given
from hypothesis import strategies as st

from blockmill.daemon.runs.outputs.output_record import (
    OtherRecordVersion,
    OutputRecord,
    differences,
    format_record,
    parse_record,
)

IDENTITY = {"input": "a.npy", "operation": {"gaussian": {"sigma": 1.5, "mode": "reflect"}}, "roi": None}


def test_a_record_comes_back_as_it_was():
    record = OutputRecord(IDENTITY, (64, 64), finished=True)
    assert parse_record(format_record(record)) == record


NO_RECORDS = [b"", b"{", b"[]", b'{"format": 1}', b'{"format": 1, "identity": {}}', b"\xff"]


@pytest.mark.parametrize("content", NO_RECORDS)
def test_what_is_no_record_is_an_error(content):
    with pytest.raises(ValueError) as error:
        parse_record(content)
    assert not isinstance(error.value, OtherRecordVersion)


def test_a_record_of_another_version_is_known_as_one():
    with pytest.raises(OtherRecordVersion):
        parse_record(b'{"format": 99}')


def test_a_changed_hash_is_told_in_words():
    lines = differences({"input_is": {"state": "a"}}, {"input_is": {"state": "b"}})
    assert lines == ["input_is.state: the input's files have changed since (their sizes, times or number)"]


def test_differences_name_the_keys():
    other = {**IDENTITY, "operation": {"gaussian": {"sigma": 2.0, "mode": "reflect"}}, "extra": 1}
    assert differences(IDENTITY, other) == [
        "operation.gaussian.sigma: 1.5 there, 2.0 here",
        "extra: not set there, 1 here",
    ]


plain_values = st.recursive(
    st.none() | st.integers() | st.text(max_size=5),
    lambda inner: st.dictionaries(st.text(min_size=1, max_size=3), inner, max_size=3),
    max_leaves=6,
)


@given(st.dictionaries(st.sampled_from("abc"), plain_values, max_size=3))
def test_an_identity_does_not_differ_from_itself(identity):
    assert differences(identity, identity) == []
