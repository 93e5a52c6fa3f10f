import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from blockmill.shared.errors import JobError
from blockmill.shared.volumes.blockwise.description import (
    FilesetDescription,
    format_description,
    read_description,
    write_description,
)

GOOD = {
    "_schema_name": "blockwise-fileset-description",
    "_schema_version": 1.0,
    "name": "example",
    "format": "hdf5",
    "axes": "zyx",
    "shape": [64, 96, 90],
    "dtype": "numpy.uint8",
    "block_shape": [32, 32, 40],
    "block_file_name_format": "b-{roiString}.h5/volume/data",
}


def written(path, changes=None, **fields):
    path.write_text(json.dumps({**GOOD, **(changes or {}), **fields}))
    return path


def test_a_description_is_read_with_its_defaults(tmp_path):
    description = read_description(written(tmp_path / "d.json"))
    assert description.shape == (64, 96, 90)
    assert description.dtype == np.dtype("u1")
    assert description.dataset_root_dir == "."
    assert description.schema_version == 1.0
    assert description.view_origin is None
    assert description.origin == (0, 0, 0)
    assert description.view.shape == (64, 96, 90)


def test_values_may_be_expressions_and_keys_may_have_blanks(tmp_path):
    description = read_description(
        written(
            tmp_path / "d.json",
            {"view origin": "[32, 64/2, 40*1]", "view_shape": "[0x20, 50, 45.0]", "drange": "(0.0, 1.0)"},
            shape="[ 4*16, 100-4, 90 ]",
            dtype="numpy.dtype('<u2')",
            compression="gzip",
            compression_opts="2+2",
            chunks="[8]*3",
            hash_id=17,
        )
    )
    assert description.shape == (64, 96, 90)
    assert description.view_origin == (32, 32, 40)
    assert description.view_shape == (32, 50, 45)
    assert description.drange == (0.0, 1.0)
    assert description.compression_opts == 4
    assert description.chunks == (8, 8, 8)
    assert description.hash_id == "17"
    assert description.view.stop == (64, 82, 85)


def test_unknown_keys_are_comments_even_twice_and_known_ones_stand_once(tmp_path):
    text = json.dumps(GOOD)[1:-1]
    path = tmp_path / "d.json"
    path.write_text('{"## NOTE": 1, "##shape": [1], "## NOTE": {"a": 1, "a": 2}, ' + text + "}")
    assert read_description(path).name == "example"
    path.write_text('{"block shape": [1, 1, 1], ' + text + "}")
    with pytest.raises(JobError, match=r"d\.json: block_shape: stands twice"):
        read_description(path)


def test_a_byte_order_mark_is_read_over(tmp_path):
    path = tmp_path / "d.json"
    path.write_bytes(b"\xef\xbb\xbf" + json.dumps(GOOD).encode())
    assert read_description(path).axes == "zyx"


@pytest.mark.parametrize("version", [1.0, 1.1, 1, "1.0", "1.1"])
def test_known_versions_are_read_and_kept(tmp_path, version):
    description = read_description(written(tmp_path / "d.json", _schema_version=version))
    write_description(tmp_path / "e.json", description)
    assert json.loads((tmp_path / "e.json").read_text())["_schema_version"] == float(version)


@pytest.mark.parametrize("version", [0.9, 1.2, 2.0, 1.05, None, True, "one", "nan", [1], 10**400])
def test_other_versions_are_refused(tmp_path, version):
    with pytest.raises(JobError, match=r"d\.json: _schema_version: .*1\.0 and 1\.1"):
        read_description(written(tmp_path / "d.json", _schema_version=version))


MISTAKES = [
    ("_schema_name", {"_schema_name": "something-else"}),
    ("_schema_name", {"_schema_name": None}),
    ("format", {"format": None}),
    ("format", {"format": "n5"}),
    ("axes", {"axes": None}),
    ("axes", {"axes": "zyy"}),
    ("axes", {"axes": "z/x"}),
    ("axes", {"axes": ["z", "y", "x"]}),
    ("shape", {"axes": "yx"}),
    ("shape", {"shape": [64, 96]}),
    ("shape", {"shape": [64, 96, 0]}),
    ("shape", {"shape": [64, 96, -5]}),
    ("shape", {"shape": [64, 96, 1.5]}),
    ("shape", {"shape": [64, 96, True]}),
    ("shape", {"shape": [64, 96, "90"]}),
    ("shape", {"shape": "__import__('os').abort()"}),
    ("shape", {"shape": "uint8"}),
    ("shape", {"shape": 5}),
    ("shape", {"shape": [64, 96, 2**70]}),
    ("shape", {"shape": {"z": 1}}),
    ("shape", {"shape": None}),
    ("dtype", {"dtype": None}),
    ("dtype", {"dtype": "S5"}),
    ("dtype", {"dtype": "7"}),
    ("dtype", {"dtype": 5}),
    ("block_shape", {"block_shape": None}),
    ("block_shape", {"block_shape": [0, 1, 1]}),
    ("block_shape", {"block_shape": [32, 32]}),
    ("block_file_name_format", {"block_file_name_format": None}),
    ("block_file_name_format", {"block_file_name_format": "b.h5/volume/data"}),
    ("block_file_name_format", {"block_file_name_format": "b-{roiString}.h5"}),
    ("block_file_name_format", {"block_file_name_format": "b-{roiString}.h5/"}),
    ("block_file_name_format", {"block_file_name_format": "b-{roiString}.tif/volume"}),
    ("block_file_name_format", {"block_file_name_format": "b-{roiString}-{other}.h5/d"}),
    ("block_file_name_format", {"block_file_name_format": "b-{roiString.__class__}.h5/d"}),
    ("block_file_name_format", {"block_file_name_format": "b-{roiString!r}.h5/d"}),
    ("block_file_name_format", {"block_file_name_format": "b-{roiString:{roiString}}.h5/d"}),
    ("block_file_name_format", {"block_file_name_format": "b-{roiString:>999999999}.h5/d"}),
    ("block_file_name_format", {"block_file_name_format": "b-{roiString:d}.h5/d"}),
    ("block_file_name_format", {"block_file_name_format": "b-{roiString.h5/d"}),
    ("block_file_name_format", {"block_file_name_format": "b-{}{roiString}.h5/d"}),
    ("block_file_name_format", {"block_file_name_format": "/b-{roiString}.h5/d"}),
    ("block_file_name_format", {"block_file_name_format": "../b-{roiString}.h5/d"}),
    ("block_file_name_format", {"block_file_name_format": "b\0{roiString}.h5/d"}),
    ("drange", {"drange": [1, 0]}),
    ("drange", {"drange": [1]}),
    ("drange", {"drange": [None, 1]}),
    ("drange", {"drange": "uint8"}),
    ("drange", {"drange": [0, 2**70]}),
    ("drange", {"drange": [0, float("inf")]}),
    ("chunks", {"chunks": [8, 8]}),
    ("chunks", {"chunks": [8, 8, 0]}),
    ("chunks", {"chunks": True}),
    ("compression", {"compression": ["gzip"]}),
    ("compression_opts", {"compression_opts": 4}),
    ("compression_opts", {"compression": "gzip", "compression_opts": "high"}),
    ("view_origin", {"view_origin": [1, 0, 0]}),
    ("view_origin", {"view_origin": [32, 0]}),
    ("view_origin", {"view_origin": [64, 0, 0]}),
    ("view_origin", {"view_origin": [-32, 0, 0]}),
    ("view_shape", {"view_shape": [65, 96, 90]}),
    ("view_shape", {"view_origin": [32, 0, 0], "view_shape": [64, 96, 90]}),
    ("view_shape", {"view_shape": [0, 96, 90]}),
    ("dataset_root_dir", {"dataset_root_dir": ["."]}),
    ("sub_block_shape", {"sub_block_shape": [32, 32, 24]}),
    ("sub_block_shape", {"sub_block_shape": [32, 32]}),
    ("sub_block_shape", {"sub_block_shape": [0, 32, 40]}),
]


@pytest.mark.parametrize(("field", "changes"), MISTAKES)
def test_each_mistake_is_named_with_file_and_field(tmp_path, field, changes):
    with pytest.raises(JobError, match=rf"d\.json: {field}: "):
        read_description(written(tmp_path / "d.json", changes))


def test_all_mistakes_are_named_at_once(tmp_path):
    with pytest.raises(JobError) as caught:
        read_description(written(tmp_path / "d.json", shape="[1,", dtype="nonsense", axes=None))
    assert [line.split(": ")[1] for line in str(caught.value).splitlines()] == ["axes", "shape", "dtype"]


@pytest.mark.parametrize(
    "text", ["", "[]", "5", "{", '{"a": 1', "\0", "[" * 100_000, '{"a": ' + "9" * 5000 + "}"]
)
def test_what_is_no_json_object_is_refused_with_its_name(tmp_path, text):
    (tmp_path / "d.json").write_text(text)
    with pytest.raises(JobError, match=r"d\.json: "):
        read_description(tmp_path / "d.json")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(JobError, match=r"nowhere\.json: .*No such file"):
        read_description(tmp_path / "nowhere.json")


def test_sub_blocks_need_not_divide_a_block_that_spans_the_view(tmp_path):
    path = written(tmp_path / "d.json", block_shape=[64, 32, 40], sub_block_shape=[24, 16, 20])
    assert read_description(path).sub_block_shape == (24, 16, 20)


def test_a_format_may_pad_and_have_directories():
    for text in (
        "{roiString:>50}.h5/d",
        "a/b-{roiString}.hdf5/d/e",
        "{roiString}-{roiString}.ilp/{roiString}",
    ):
        FilesetDescription(axes="x", shape=(5,), dtype="u1", block_shape=(2,), block_file_name_format=text)


def test_a_description_made_in_python_is_checked_too():
    with pytest.raises(JobError, match="block_shape: has 2 numbers"):
        FilesetDescription(
            axes="x", shape=(5,), dtype="u1", block_shape=(2, 2), block_file_name_format="{roiString}.h5/d"
        )


def test_the_order_of_keys_in_the_file_is_kept_and_unset_ones_follow(tmp_path):
    description = read_description(written(tmp_path / "d.json"))
    keys = list(json.loads(format_description(description)))
    assert keys[: len(GOOD)] == list(GOOD)
    assert keys[len(GOOD) :] == [
        "drange",
        "chunks",
        "compression",
        "compression_opts",
        "view_origin",
        "view_shape",
        "dataset_root_dir",
        "hash_id",
        "sub_block_shape",
    ]


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = written(tmp_path / "d.json")
    before = path.read_bytes()

    def fail(*_args):
        raise KeyboardInterrupt

    monkeypatch.setattr("os.replace", fail)
    with pytest.raises(KeyboardInterrupt):
        write_description(path, read_description(path))
    assert path.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["d.json"]


def test_an_existing_file_is_kept_where_that_is_asked(tmp_path):
    path = written(tmp_path / "d.json")
    with pytest.raises(FileExistsError):
        write_description(path, read_description(path), overwrite=False)
    assert [entry.name for entry in tmp_path.iterdir()] == ["d.json"]


EXTENT = st.integers(1, 500)
TEXT = st.text(st.characters(categories=["L", "N", "P", "Zs"]), max_size=20).filter(str.isprintable)


@st.composite
def descriptions(draw):
    ndim = draw(st.integers(1, 5))

    def axes_of(numbers):
        return st.tuples(*[numbers] * ndim)

    shape, block = draw(axes_of(EXTENT)), draw(axes_of(EXTENT))
    origin = tuple(draw(st.integers(0, (n - 1) // b)) * b for n, b in zip(shape, block, strict=True))
    view = tuple(draw(st.integers(1, n - o)) for n, o in zip(shape, origin, strict=True))
    numbers = st.integers(-(2**63) + 1, 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False)
    compression = draw(st.sampled_from([None, "gzip", "lzf"]))
    return FilesetDescription(
        name=draw(st.none() | TEXT),
        axes="".join(draw(st.permutations("txyzcuv"))[:ndim]),
        shape=shape,
        dtype=draw(st.sampled_from(["u1", ">u2", "f2", "bool", "i8", "c8", ">f4"])),
        block_shape=block,
        block_file_name_format=draw(st.sampled_from(["b-{roiString}.h5/d", "s/{roiString:>60}.ilp/a/b"])),
        dataset_root_dir=draw(st.sampled_from([".", "blocks", "./my_blocks", "/somewhere/else"])),
        drange=draw(st.none() | st.tuples(numbers, numbers).map(sorted).map(tuple)),
        chunks=draw(st.none() | axes_of(EXTENT)),
        compression=compression,
        compression_opts=draw(st.none() | st.integers(0, 9)) if compression == "gzip" else None,
        view_origin=draw(st.sampled_from([None, origin])) if not any(origin) else origin,
        view_shape=draw(st.sampled_from([None, view])),
        hash_id=draw(st.none() | TEXT),
        sub_block_shape=draw(st.none() | st.just(block)),
        schema_version=draw(st.sampled_from([1.0, 1.1])),
    )


@settings(deadline=None)
@given(description=descriptions())
def test_what_is_written_is_read_again(tmp_path_factory, description):
    path = tmp_path_factory.mktemp("d") / "d.json"
    write_description(path, description)
    again = read_description(path)
    assert again == description
    assert format_description(again) == path.read_bytes()
