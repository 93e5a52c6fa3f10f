"""``KEY=VALUE`` on the command line."""

import pytest

from blockmill.client.cli.assignments import Assignments
from blockmill.shared.errors import JobError


def test_values_are_yaml_and_dots_lead_below_a_key():
    texts = [
        "sigma=1.5",
        "mode=nearest",
        "shape=[1, 2]",
        "per={z: 1, yx: 2}",
        "args.a.b=true",
        "args.c=no",
        "e=",
    ]
    assert Assignments(texts).content == {
        "sigma": 1.5,
        "mode": "nearest",
        "shape": [1, 2],
        "per": {"z": 1, "yx": 2},
        "args": {"a": {"b": True}, "c": "no"},
        "e": None,
    }


def test_a_value_may_hold_equals_signs_and_colons():
    assert Assignments(["a=b=c", "f=steps:mend"]).content == {"a": "b=c", "f": "steps:mend"}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("sigma", "sigma: give a key and its value"),
        ("=1", "=1: give a key and its value"),
        ("a..b=1", r"a\.\.b=1: give a key and its value"),
        ("a=[1", r"a: \[1 is no value \(expected"),
        ("a=1\nb: 2", "a: a value must be on one line"),
        ("there=1", "there: is given twice"),
        ("there.below=1", "there.below: there was given a value already"),
        ("a=!!python/name:os.system", "a: .* is no value"),
    ],
)
def test_what_is_no_assignment_is_told(text, words):
    with pytest.raises(JobError, match=words):
        Assignments([text], {"there": 0})


def test_all_mistakes_are_told_at_once():
    with pytest.raises(JobError, match=r"a: give.*\nb: give"):
        Assignments(["a", "b"])
