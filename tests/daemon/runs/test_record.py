import pytest
from hypothesis import given
from hypothesis import strategies as st

from blockmill.daemon.runs.record import (
    OutputLock,
    Record,
    differences,
    read_record,
    record_path,
    write_record,
)
from blockmill.shared.errors import OutputRefused

IDENTITY = {"input": "a.npy", "operation": {"gaussian": {"sigma": 1.5, "mode": "reflect"}}, "roi": None}


def test_a_record_comes_back_as_it_was(tmp_path):
    record = Record(IDENTITY, (64, 64), finished=True)
    write_record(tmp_path / "out.json", record)
    assert read_record(tmp_path / "out.json") == record
    assert [path.name for path in tmp_path.iterdir()] == ["out.json.job"]


def test_no_record_is_no_error(tmp_path):
    assert read_record(tmp_path / "out.json") is None


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"format": 99}', '{"format": 1}', '{"format": 1, "identity": {}}']
)
def test_a_record_that_makes_no_sense_is_refused_with_what_to_do(tmp_path, text):
    record_path(tmp_path / "out.json").write_text(text)
    with pytest.raises(OutputRefused, match="--overwrite"):
        read_record(tmp_path / "out.json")


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


def test_one_run_holds_an_output_at_a_time(tmp_path):
    output = tmp_path / "out.json"
    with OutputLock(output), pytest.raises(OutputRefused, match="another run"), OutputLock(output):
        pass
    with OutputLock(output):
        pass
    assert list(tmp_path.iterdir()) == []
