import pickle

import pytest

from blockmill.shared.files.json_file import JsonObject, ParsingError
from blockmill.shared.files.schema import Schema, SchemaError, version_kind

SCHEMA = Schema(
    "box",
    version_kind((1.0, 1.5).__contains__, ", not known"),
    {"size": int, "label": str, "parts": lambda value: value["a"]},
    {"size": "is missing; say how large"},
)


def of(*pairs):
    return JsonObject([("_schema_name", "box"), ("_schema_version", 1.0), *pairs])


def test_values_come_in_the_order_of_the_file_null_as_none_and_comments_are_left_out():
    values = SCHEMA.read(of(("label", None), ("## size", 1), ("## size", 2), ("size", "7")))
    assert values == {"_schema_name": "box", "_schema_version": 1.0, "label": None, "size": 7}
    assert list(values)[2:] == ["label", "size"]


def test_all_mistakes_are_told_in_the_order_of_the_file():
    with pytest.raises(ParsingError) as caught:
        SCHEMA.read(of(("parts", JsonObject([("b", 1)])), ("label", "x"), ("label", "y"), ("size", "many")))
    assert [field for field, _ in caught.value.problems] == ["label", "parts", "size"]
    assert str(caught.value).startswith("label: stands twice; keep one of them\nparts: 'a'\nsize: invalid")
    assert not isinstance(caught.value, SchemaError)


def test_what_must_be_there_is_asked_for_in_its_own_words():
    with pytest.raises(ParsingError, match=r"^size: is missing; say how large$"):
        SCHEMA.read(of(("size", None)))


def test_of_a_file_of_another_schema_nothing_but_that_is_told():
    with pytest.raises(SchemaError, match=r"^_schema_name: is None, expected 'box'$"):
        SCHEMA.read(JsonObject([("size", "many")]))


@pytest.mark.parametrize("version", [2, 1.2, None, True, "new", [], float("nan"), 10**400])
def test_other_versions_are_told_beside_other_mistakes(version):
    document = JsonObject([("_schema_name", "box"), ("size", "many"), ("_schema_version", version)])
    with pytest.raises(SchemaError, match=r"^size: .*\n_schema_version: is .*, not known$"):
        SCHEMA.read(document)


@pytest.mark.parametrize("version", [1, 1.5, "1.0", "1.5"])
def test_known_versions_become_numbers(version):
    document = JsonObject([("_schema_name", "box"), ("_schema_version", version), ("size", 1)])
    assert SCHEMA.read(document)["_schema_version"] == float(version)


def test_an_error_keeps_its_problems_in_another_process():
    with pytest.raises(ParsingError) as caught:
        SCHEMA.read(of())
    again = pickle.loads(pickle.dumps(caught.value))
    assert (str(again), again.problems) == (str(caught.value), caught.value.problems)
