import json
import subprocess
import sys
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import pytest

from blockmill.shared.files.description import Description
from blockmill.shared.files.field_kinds import Dtype, Extents, Text
from blockmill.shared.files.json_file import ParsingError


@dataclass(frozen=True, kw_only=True)
class Box(Description):
    schema_name: ClassVar[str] = "box"
    versions: ClassVar[tuple[float, ...]] = (1.0, 2.0)
    label: ClassVar[str] = "box"
    absent: ClassVar[dict[str, str]] = {"colour": "is missing in the file"}

    shape: Extents
    dtype: Dtype
    colour: Text = "red"
    note: Text | None = None
    root: Text = "."

    def _mistakes(self):
        if 0 in self.shape:
            yield "shape", "is empty"


GOOD = {"_schema_name": "box", "colour": "blue", "root": None, "shape": "[2, 3*4]", "dtype": "<u2"}
GOOD |= {"_schema_version": 2}


def written(tmp_path, **changes):
    (tmp_path / "b.json").write_text(json.dumps({**GOOD, **changes}))
    return tmp_path / "b.json"


def test_fields_are_converted_and_null_stands_for_the_default(tmp_path):
    box = Box.read(written(tmp_path))
    assert (box.shape, box.dtype, box.colour, box.note) == ((2, 12), np.dtype("<u2"), "blue", None)
    assert (box.root, box.schema_version) == (".", 2.0)


def test_what_is_written_keeps_the_order_of_the_file(tmp_path):
    box = Box.read(written(tmp_path))
    box.write(tmp_path / "c.json")
    plain = json.loads((tmp_path / "c.json").read_text())
    assert list(plain) == [*GOOD, "note"]
    assert plain["dtype"] == "uint16"
    assert Box.read(tmp_path / "c.json") == box


def test_one_made_in_python_is_converted_and_checked_too():
    assert Box(shape=[5.0], dtype="u1").shape == (5,)
    with pytest.raises(ParsingError, match=r"^box: shape: is empty$"):
        replace(Box(shape=[5], dtype="u1"), shape=[0])


def test_mistakes_are_told_with_the_file_and_not_with_what_one_is_called_without(tmp_path):
    path = written(tmp_path, shape=[1.5], colour=None, _schema_version=3)
    with pytest.raises(ParsingError) as caught:
        Box.read(path)
    assert str(caught.value).split("\n") == [
        f"{path}: shape: expected a whole number, got 1.5",
        f"{path}: colour: is missing in the file",
        f"{path}: _schema_version: is 3, but only versions 1.0 and 2.0 are understood",
    ]


def test_a_mistake_of_the_file_itself_is_told(tmp_path):
    (tmp_path / "b.json").write_text("{")
    with pytest.raises(ParsingError, match=r"b\.json: is no valid JSON"):
        Box.read(tmp_path / "b.json")


def test_opening_a_volume_does_not_import_pydantic():
    code = "import sys, blockmill; blockmill.open_volume; print('pydantic' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
