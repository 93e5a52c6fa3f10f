import copy
import json
import pickle

import numpy as np
import pytest

from blockmill.shared.errors import JobError
from blockmill.shared.lazyflow.jsonconfig import JsonConfigParser, Namespace
from blockmill.shared.lazyflow.jsonfields import AutoEval, FormattedField, ParsingError, RoiTuple, SchemaError

INNER = JsonConfigParser({"_schema_name": "inner", "_schema_version": 1.0, "width": int, "only_inner": str})
OUTER = JsonConfigParser(
    {
        "_schema_name": "outer",
        "_schema_version": 1.1,
        "text": str,
        "number": int,
        "sum": AutoEval(int),
        "flag": bool,
        "format": FormattedField(["x"], ["y"]),
        "roi": RoiTuple(),
        "array": AutoEval(np.array),
        "dtype": AutoEval(np.dtype),
        "inner": INNER,
        "free": dict,
    }
)
HEAD = '"_schema_name": "outer", "_schema_version": 1.0'
TWICE = '{"_schema_name": "inner", "_schema_version": 1, "only_inner": "a", "only_inner": "b"}'
WHOLE = """{
    "_schema_name": "outer", "_schema_version": 1.0,
    "roi": [[1, 2], [3, 4]], "sum": "7*6", "text": "hello", "flag": true, "number": 3,
    "## note": 1, "## note": 2, "format": "{x:04d}-{y}", "array": "[1, 2*3]",
    "dtype": "numpy.dtype('>u2')", "inner": {"_schema_name": "inner", "_schema_version": "1.0", "width": 5}
}"""


@pytest.fixture
def parse(tmp_path):
    def parse(text):
        (tmp_path / "c.json").write_text(text)
        return OUTER.parse_config_file(tmp_path / "c.json")

    return parse


def test_every_kind_of_field_is_converted_in_the_order_of_the_file(parse):
    config = parse(WHOLE)
    assert config.text == "hello"
    assert config.number == 3
    assert config.sum == 42
    assert config.flag is True
    assert config.format == "{x:04d}-{y}"
    assert config.roi == ((1, 2), (3, 4))
    assert config.array.tolist() == [1, 6]
    assert config.dtype == np.dtype(">u2")
    assert (config.inner.width, config.inner.only_inner) == (5, None)
    assert [name for name, _ in config][2:5] == ["roi", "sum", "text"]
    assert [name for name, _ in config][-1] == "free"
    assert config.free is None


def test_what_is_written_reads_the_same(parse, tmp_path):
    config = parse(WHOLE)
    OUTER.write_config_file(tmp_path / "out.json", config)
    again = OUTER.parse_config_file(tmp_path / "out.json")
    assert again == config
    assert [name for name, _ in again] == [name for name, _ in config]
    raw = json.loads((tmp_path / "out.json").read_text())
    assert raw["_schema_version"] == 1.0
    assert raw["free"] is None


def test_arrays_and_types_have_a_form_in_json(tmp_path):
    head = {"_schema_name": "outer", "_schema_version": 1.1}
    values = {"array": np.eye(2, dtype=int), "number": np.int64(4), "dtype": np.uint8}
    OUTER.write_config_file(tmp_path / "c.json", Namespace({**head, **values}))
    raw = json.loads((tmp_path / "c.json").read_text())
    assert (raw["array"], raw["number"], raw["dtype"]) == ([[1, 0], [0, 1]], 4, "uint8")


def test_a_namespace_that_could_not_be_read_again_leaves_the_old_file(tmp_path):
    path = tmp_path / "c.json"
    path.write_text("old")
    for wrong in ({"number": "many"}, {"text": object()}):
        with pytest.raises(ParsingError):
            OUTER.write_config_file(
                path, Namespace({"_schema_name": "outer", "_schema_version": 1.1, **wrong})
            )
    assert path.read_text() == "old"
    assert [item.name for item in tmp_path.iterdir()] == ["c.json"]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (f'{{{HEAD}, "number": 1, "number": 2}}', "number: stands twice"),
        (f'{{{HEAD}, "text": "a", "te xt": "b", "flag": 1}}', "flag: expected true or false"),
        (f'{{{HEAD}, "number": "many"}}', "number: "),
        (f'{{{HEAD}, "sum": "__import__(1)"}}', "sum: "),
        (
            f'{{{HEAD}, "inner": {TWICE}}}',
            "inner: only_inner: stands twice",
        ),
        (f'{{{HEAD}, "inner": 3}}', "inner: expected a JSON object"),
        ("[1]", "expected a JSON object"),
        ("{", "no valid JSON"),
        ("[" * 100_000, "no valid JSON"),
    ],
)
def test_a_mistake_is_told_with_file_and_field(parse, text, told):
    with pytest.raises(ParsingError) as caught:
        parse(text)
    assert "c.json: " in str(caught.value)
    assert told in str(caught.value)


def test_all_mistakes_are_told_at_once(parse):
    with pytest.raises(ParsingError) as caught:
        parse(f'{{{HEAD}, "number": "x", "flag": 0}}')
    assert len(str(caught.value).split("\n")) == 2


@pytest.mark.parametrize("version", ["1.2", "2.0", "0.9", "null", '"new"', "true", "NaN", "[]"])
def test_other_versions_are_of_another_schema(parse, version):
    with pytest.raises(SchemaError):
        parse(f'{{"_schema_name": "outer", "_schema_version": {version}}}')


@pytest.mark.parametrize("text", ["{}", '{"_schema_name": "outer"}', '{"_schema_name": "other"}'])
def test_a_file_that_says_no_schema_is_of_another(parse, text):
    with pytest.raises(SchemaError):
        parse(text)


def test_null_is_none_and_blanks_in_keys_are_underscores(parse):
    config = parse('{"_schema name": "outer", "_schema version": "1.1", "number": null}')
    assert config.number is None


def test_a_schema_must_say_what_it_is():
    with pytest.raises(ValueError, match="_schema_version"):
        JsonConfigParser({"_schema_name": "a"})


def test_a_missing_file_is_a_clear_error(tmp_path):
    with pytest.raises(ParsingError, match=r"no\.json"):
        OUTER.parse_config_file(tmp_path / "no.json")


def test_namespaces_are_equal_by_names_and_values():
    array = np.arange(3)
    a = Namespace({"x": 1, "y": array, "z": np.float64(2), "deep": [array]})
    b = Namespace({"deep": [array.copy()], "z": 2.0, "y": array.copy(), "x": 1})
    assert a == b
    assert a != Namespace({"x": 1})
    assert Namespace({"x": 1}) != a
    assert Namespace({"y": np.arange(3)}) != Namespace({"y": np.arange(4)})
    assert a != 3


def test_a_namespace_is_copied_and_pickled_with_its_order():
    space = Namespace([("b", [1]), ("a", 2)])
    space.c = 3
    for twin in (copy.copy(space), copy.deepcopy(space), pickle.loads(pickle.dumps(space))):
        assert twin == space
        assert [name for name, _ in twin] == ["b", "a", "c"]
    assert copy.copy(space).b is space.b
    assert copy.deepcopy(space).b is not space.b
    assert str(space) == "Namespace: [('b', [1]), ('a', 2), ('c', 3)]"
    with pytest.raises(AttributeError):
        space.missing  # noqa: B018


def test_texts_are_evaluated_unless_texts_are_wanted():
    assert AutoEval()("numpy.uint8") == np.dtype("u1")
    assert AutoEval(int)(3.7) == 3
    assert AutoEval(str)("7*6") == "7*6"
    with pytest.raises(JobError):
        AutoEval()("open('/etc/passwd')")


@pytest.mark.parametrize("text", ["{y}", "{x}{z}", "{x", "{x.real}", "x"])
def test_a_format_has_its_required_fields_and_no_unknown_ones(text):
    with pytest.raises(ParsingError):
        FormattedField(["x"], ["y"])(text)


@pytest.mark.parametrize("value", [[[1, 2], [3]], [[1.0], [2]], [[True], [2]], 5, [[1]], None, ["a", "b"]])
def test_what_is_no_roi_is_refused(value):
    with pytest.raises(ParsingError):
        RoiTuple()(value)


def test_blanks_in_the_keys_of_a_schema_are_underscores_as_well(tmp_path):
    path = tmp_path / "c.json"
    path.write_text('{"_schema_name": "s", "_schema_version": 1.0, "shoe size": 12, "eye_color": "blue"}')
    schema = {"_schema_name": "s", "_schema_version": 1.0, "shoe size": float, "eye color": str}
    found = JsonConfigParser(schema).parse_config_file(path)
    assert (found.shoe_size, found.eye_color) == (12.0, "blue")


def test_a_key_with_blanks_is_one_field_whether_the_file_has_it_or_not(tmp_path):
    parser = JsonConfigParser({"_schema_name": "s", "_schema_version": 1.0, "shoe size": float})
    for more, size in ((', "shoe size": 12', 12.0), (', "shoe_size": 12', 12.0), ("", None)):
        (tmp_path / "a.json").write_text(f'{{"_schema_name": "s", "_schema_version": 1.0{more}}}')
        found = dict(parser.parse_config_file(tmp_path / "a.json"))
        assert found == {"_schema_name": "s", "_schema_version": 1.0, "shoe_size": size}
