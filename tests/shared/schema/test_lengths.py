"""Lengths: which axes one number, a list and a mapping are for."""

import pytest

from blockmill.shared.errors import JobError
from blockmill.shared.operations.registry import parse_operation
from blockmill.shared.schema.lengths import per_axis


@pytest.mark.parametrize(
    ("value", "axes", "entries"),
    [
        (1.5, "zyx", (1.5, 1.5, 1.5)),
        (1.5, "tczyx", (0, 0, 1.5, 1.5, 1.5)),
        (1.5, "yxc", (1.5, 1.5, 0)),
        (2, "t", None),
        (2, "ab", (2, 2)),
        (2, "wzyx", (0, 2, 2, 2)),
        ((1, 2, 3, 4), "czyx", (1, 2, 3, 4)),
        ((1, 2), "zyx", None),
        ({"z": 1, "yx": 2}, "tzyx", (0, 1, 2, 2)),
        ({"t": 3}, "tzyx", (3, 0, 0, 0)),
        ({"c": 1}, "zyx", None),
    ],
)
def test_a_length_has_an_entry_per_axis(value, axes, entries):
    if entries is None:
        with pytest.raises(JobError, match=r"^k"):
            per_axis(value, axes, "k")
    else:
        assert per_axis(value, axes, "k") == entries


@pytest.mark.parametrize("sigma", [{"zz": 1}, {"z": 1, "zy": 2}, {"": 1}, {}, {"z": -1}, {"z": "a"}])
def test_a_mapping_that_names_axes_twice_or_wrongly_is_refused(sigma):
    with pytest.raises(JobError, match="sigma"):
        parse_operation({"gaussian": {"sigma": sigma}})


def test_the_same_meaning_has_the_same_identity_however_it_is_written():
    one, named = (parse_operation({"gaussian": {"sigma": sigma}}) for sigma in (2, {"zyx": 2}))
    each = parse_operation({"gaussian": {"sigma": [0, 2, 2, 2]}})
    assert one.identity("czyx") == named.identity("czyx") == each.identity("czyx")
    assert one.identity("czyx")["sigma"] == [0, 2, 2, 2]


def test_where_all_axes_are_spatial_the_identity_is_that_of_version_0_1():
    assert parse_operation({"gaussian": {"sigma": 2}}).identity("zyx")["sigma"] == 2
    assert parse_operation({"python": {"function": "m:f", "halo": 3}}).identity("zyx")["halo"] == 3
    assert parse_operation({"python": {"function": "m:f", "halo": 3}}).identity("tyx")["halo"] == [0, 3, 3]


def test_an_operation_that_goes_to_workers_no_longer_depends_on_the_axes():
    made = parse_operation({"gaussian": {"sigma": {"yx": 2}}}).resolved("tyx")
    assert made.to_plain()["gaussian"]["sigma"] == [0, 2, 2]
    assert parse_operation(made.to_plain()) == made
