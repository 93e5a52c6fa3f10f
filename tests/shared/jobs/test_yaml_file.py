import math

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from blockmill.shared.errors import JobFileError
from blockmill.shared.jobs import yaml_file
from blockmill.shared.jobs.yaml_file import KeyPositions, parse_yaml, read_yaml


def mistakes(text):
    with pytest.raises(JobFileError) as caught:
        parse_yaml(text, "a.yaml")
    return str(caught.value).splitlines()


def test_scalars_are_read_as_yaml_1_2_does():
    data = parse_yaml(
        "a: [no, on, yes, 1:30, 1_000, 2001-01-01, <<, 0o17, 017, 1e3, ~, true, .inf]", "a"
    ).data
    assert data["a"] == [
        "no", "on", "yes", "1:30", "1_000", "2001-01-01", "<<", 15, 17, 1000.0, None, True, math.inf,
    ]  # fmt: skip
    assert [type(value) for value in data["a"][7:10]] == [int, int, float]


def test_each_key_and_value_has_its_place():
    document = parse_yaml("# first\nname: a\nout: {x: 1,\n  y: [2, {z: 3}]}\n", "a.yaml")
    assert document.positions[()] == KeyPositions((2, 1), (2, 1))
    assert document.positions[("name",)] == KeyPositions((2, 1), (2, 7))
    assert document.positions[("out", "y")] == KeyPositions((4, 3), (4, 6))
    assert document.positions[("out", "y", 0)] == KeyPositions((4, 7), (4, 7))
    assert document.positions[("out", "y", 1, "z")] == KeyPositions((4, 11), (4, 14))


def test_an_alias_gives_what_its_anchor_holds():
    document = parse_yaml("a: &x [1, 2]\nb: *x\n", "a.yaml")
    assert document.data == {"a": [1, 2], "b": [1, 2]}
    assert document.positions[("b", 1)].value == (1, 11)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ["a.yaml:1:1: the file is empty; a mapping (key: value) is expected"]),
        ("# nothing\n", ["a.yaml:1:1: the file is empty; a mapping (key: value) is expected"]),
        ("\n- a\n", ["a.yaml:2:1: a mapping (key: value) is expected, here is a list"]),
        ("word", ["a.yaml:1:1: a mapping (key: value) is expected, here is a single value"]),
        ("a: [1\nb: 2", ["a.yaml:2:2: expected ',' or ']', but got ':' (while parsing a flow sequence)"]),
        (
            "a: 1\n\tb: 2",
            [
                (
                    "a.yaml:2:1: found character '\\t' that cannot start any token "
                    "(while scanning for the next token)"
                )
            ],
        ),
        ("a: b: c", ["a.yaml:1:5: mapping values are not allowed here"]),
        ("a: *x", ["a.yaml:1:4: found undefined alias 'x'"]),
        (
            "--- {a: 1}\n--- {b: 2}",
            ["a.yaml:2:1: but found another document (expected a single document in the stream)"],
        ),
        ("a: 1\nb: \x00", ["a.yaml:2:4: the character '\\x00' is not allowed in YAML"]),
        (
            "a: 1\nb: 2\na: 3\nb: 4",
            [
                "a.yaml:3:1: the key a is there twice, first on line 1",
                "a.yaml:4:1: the key b is there twice, first on line 2",
            ],
        ),
        (
            "a:\n  1: x",
            ["a.yaml:2:3: a key must be a text; put it in quotes if it looks like something else"],
        ),
        (
            "? [a]\n: x",
            ["a.yaml:1:3: a key must be a text; put it in quotes if it looks like something else"],
        ),
        (
            "a: !!python/object/apply:os.system [echo]\nb: !mine 3",
            [
                "a.yaml:1:4: the tag !!python/object/apply:os.system is not allowed; only plain values are",
                "a.yaml:2:4: the tag !mine is not allowed; only plain values are",
            ],
        ),
        (
            "a: !!python/dict {b: 1}",
            ["a.yaml:1:4: the tag !!python/dict is not allowed; only plain values are"],
        ),
        ("a: !!int x", ["a.yaml:1:4: 'x' can't be read as int"]),
        ("a: !!bool no", ["a.yaml:1:4: 'no' can't be read as bool"]),
        ("a: " + "9" * 5000, ["a.yaml:1:4: '" + "9" * 37 + "...' can't be read as int"]),
        ("a: &x [1, *x]", ["a.yaml:1:4: an alias stands inside of what it stands for"]),
        ("a: &x {b: {c: *x}}", ["a.yaml:1:4: an alias stands inside of what it stands for"]),
    ],
)
def test_a_wrong_file_is_told_with_its_places(text, expected):
    assert mistakes(text) == expected


def test_aliases_can_not_multiply_without_bound():
    levels = ["l0: &l0 [x, x, x, x, x, x, x, x, x, x]"]
    levels += [f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 10)}]" for n in range(1, 10)]
    (line,) = mistakes("\n".join(levels))
    assert line.endswith("aliases expand to more than 100000 values")


def test_deep_nesting_is_refused_before_it_exhausts_the_stack():
    (line,) = mistakes("a: " + "[" * 5000)
    assert line == "a.yaml:1:53: nested more than 50 deep; no such file is meant to be that large"


def test_too_many_values_are_refused(monkeypatch):
    monkeypatch.setattr(yaml_file, "MOST_VALUES", 10)
    assert mistakes("a: [1, 2, 3, 4, 5, 6, 7, 8]") == [
        "a.yaml:1:26: more than 10 values; no such file is meant to be that large"
    ]


def test_a_large_file_is_refused_unread(tmp_path):
    (tmp_path / "a.yaml").write_bytes(b"#" * (1 << 20) + b"\n")
    with pytest.raises(JobFileError, match="larger than 1 MiB"):
        read_yaml(tmp_path / "a.yaml")


def test_a_missing_file_is_told_by_name(tmp_path):
    with pytest.raises(JobFileError, match=r"none\.yaml: can't be read: No such file or directory"):
        read_yaml(tmp_path / "none.yaml")


def test_other_encodings_are_refused_with_the_line(tmp_path):
    (tmp_path / "a.yaml").write_bytes("a: 1\nb: grün\n".encode("latin-1"))
    with pytest.raises(JobFileError, match=r"a\.yaml:2:1: not UTF-8 text"):
        read_yaml(tmp_path / "a.yaml")


def test_a_byte_order_mark_does_no_harm(tmp_path):
    (tmp_path / "a.yaml").write_bytes(b"\xef\xbb\xbfa: 1\r\nb: 2\r\n")
    assert read_yaml(tmp_path / "a.yaml").data == {"a": 1, "b": 2}


TREES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text("abc 0:-#'\"é\n", max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text("abc", min_size=1), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(st.dictionaries(st.text("abc", min_size=1), TREES, max_size=3), st.booleans())
def test_what_is_dumped_is_read_back_with_a_place_for_each_piece(data, flow):
    import yamlcore

    text = yaml.dump(data, Dumper=yamlcore.CoreDumper, default_flow_style=flow, allow_unicode=True)
    document = parse_yaml(text, "a.yaml")
    assert document.data == data

    def paths(value, path):
        yield path
        items = (
            value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
        )
        for key, item in items:
            yield from paths(item, (*path, key))

    assert set(document.positions) == set(paths(data, ()))


@given(st.text(max_size=40) | st.text("{}[],:&*! \n-ab?|>'\"", max_size=30))
def test_any_text_is_a_mapping_or_a_job_file_error(text):
    try:
        assert isinstance(parse_yaml(text, "a.yaml").data, dict)
    except JobFileError as error:
        assert str(error).startswith("a.yaml:")
