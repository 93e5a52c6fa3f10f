import functools
import json
import subprocess
import sys

import numpy as np
import pytest

from blockmill.shared.errors import JobError
from blockmill.shared.operations.base import peak_bytes
from blockmill.shared.operations.copy import Copy
from blockmill.shared.operations.gaussian import Gaussian
from blockmill.shared.operations.python import PythonFunction
from blockmill.shared.operations.registry import operation_class, operation_names, parse_operation
from blockmill.shared.operations.threshold import Threshold

U8, F4 = np.dtype(np.uint8), np.dtype(np.float32)


def refusal(operation, ndim, dtype):
    with pytest.raises(JobError) as caught:
        parse_operation(operation).check("tuvzyx"[-ndim:], np.dtype(dtype))
    return str(caught.value)


@pytest.mark.parametrize(
    ("written", "operation"),
    [
        ("copy", Copy()),
        ({"copy": None}, Copy()),
        ({"copy": {"dtype": "uint8"}}, Copy(dtype="uint8")),
        ({"gaussian": {"sigma": 2}}, Gaussian(sigma=2.0)),
        ({"gaussian": {"sigma": [0, 2]}}, Gaussian(sigma=(0.0, 2.0))),
        ({"threshold": {"above": 3.0}}, Threshold(above=3)),
        ({"python": {"function": "m:f", "halo": 3}}, PythonFunction(function="m:f", halo=3)),
        (Gaussian(sigma=1), Gaussian(sigma=1)),
    ],
)
def test_an_operation_is_what_its_single_key_says(written, operation):
    assert parse_operation(written) == operation
    assert parse_operation(operation.to_plain()) == operation


def test_mistakes_come_all_at_once_with_their_keys():
    with pytest.raises(JobError) as caught:
        parse_operation({"gaussian": {"sigmaa": 3, "truncate": "4"}})
    assert str(caught.value).splitlines() == [
        "operation.gaussian.sigma: is missing",
        'operation.gaussian.truncate: must be a number (is the text "4")',
        "operation.gaussian.sigmaa: unknown key; did you mean sigma?",
    ]


def test_every_operation_is_known_by_its_name():
    assert {name: operation_class(name).name for name in operation_names()} == {
        n: n for n in operation_names()
    }


@pytest.mark.parametrize(
    ("sigma", "truncate", "halo"),
    [
        (1.5, 4.0, (6, 6)),
        (0, 4.0, (0, 0)),
        (0.1, 4.0, (0, 0)),
        (0.125, 4.0, (1, 1)),
        ([0, 2], 3.0, (0, 6)),
        (1e-16, 1000, (0, 0)),
        (1e6, 1000, (10**9, 10**9)),
    ],
)
def test_the_halo_of_gaussian_is_the_radius_of_its_kernel(sigma, truncate, halo):
    assert parse_operation({"gaussian": {"sigma": sigma, "truncate": truncate}}).halo_per_axis("yx") == halo


def test_other_operations_need_no_halo_but_what_the_user_says():
    assert Copy().halo_per_axis("zyx") == Threshold(above=1).halo_per_axis("zyx") == (0, 0, 0)
    assert parse_operation({"python": {"function": "m:f", "halo": [1, 2, 3]}}).halo_per_axis("zyx") == (
        1,
        2,
        3,
    )
    assert parse_operation({"python": {"function": "m:f", "halo": 2}}).halo_per_axis("zyx") == (2, 2, 2)


@pytest.mark.parametrize(
    ("operation", "dtype", "output"),
    [
        (Gaussian(sigma=1), ">u2", "=u2"),
        (Threshold(above=1), "float64", "uint8"),
        (Copy(), ">f4", "=f4"),
        (Copy(dtype="float32"), "uint8", "float32"),
        (PythonFunction(function="m:f"), "int16", "int16"),
        (PythonFunction(function="m:f", dtype="bool"), "int16", "bool"),
    ],
)
def test_the_dtype_that_comes_out_is_native(operation, dtype, output):
    found = operation.output_dtype(np.dtype(dtype))
    assert found == np.dtype(output)
    assert found.isnative


def test_a_list_of_the_wrong_length_does_not_fit_a_volume():
    assert refusal({"gaussian": {"sigma": [1, 2]}}, 3, U8) == (
        "operation.gaussian.sigma has 2 entries, the volume has 3 axes (zyx); give one per axis, or a single "
        "number for the spatial axes"
    )
    assert refusal({"python": {"function": "m:f", "halo": [1]}}, 2, U8) == (
        "operation.python.halo has 1 entries, the volume has 2 axes (yx); give one per axis, or a single "
        "number for the spatial axes"
    )


@pytest.mark.parametrize("dtype", ["float16", ">f2", "longdouble", "clongdouble", "S4", "datetime64[s]"])
def test_gaussian_refuses_what_scipy_can_not_filter(dtype):
    assert "copy the volume to float32 or float64 first" in refusal({"gaussian": {"sigma": 1}}, 1, dtype)


def test_gaussian_refuses_bool_where_smoothing_has_no_room():
    assert refusal({"gaussian": {"sigma": 1}}, 1, bool) == (
        "gaussian can't smooth a volume of bool: nothing lies between 0 and 1 to hold the result; "
        "copy it to uint8 or float32 first"
    )


@pytest.mark.parametrize("dtype", ["uint8", "int64", ">u2", "float32", "float64", "complex64"])
def test_gaussian_takes_what_scipy_filters(dtype):
    Gaussian(sigma=1).check("zyx", np.dtype(dtype))


@pytest.mark.parametrize(
    ("bounds", "dtype", "text"),
    [
        (
            {"above": 300},
            "uint8",
            "operation.threshold.above: 300 is outside of what uint8 holds (0 to 255), so",
        ),
        (
            {"below": 2, "at_least": -0.5},
            "uint16",
            "operation.threshold.at_least: -0.5 is outside of what uint16",
        ),
        ({"above": 2}, "bool", "operation.threshold.above: 2 is outside of what bool holds (0 to 1), so"),
        ({"above": 1e39}, "float32", "operation.threshold.above: 1e+39 is outside of what float32 holds"),
        (
            {"below": 2**63},
            "int64",
            "operation.threshold.below: 9223372036854775808 is outside of what int64",
        ),
        ({"above": 0}, "complex64", "threshold does not take complex64"),
    ],
)
def test_a_bound_that_no_voxel_can_reach_is_refused(bounds, dtype, text):
    assert refusal({"threshold": bounds}, 3, dtype).startswith(text)


@pytest.mark.parametrize(
    ("bounds", "dtype"),
    [
        ({"above": 99.5}, "uint8"),
        ({"at_least": 255}, "uint8"),
        ({"below": 0.1}, "float16"),
        ({"at_most": 2**64 - 1}, "uint64"),
        ({"above": 0.5}, "bool"),
    ],
)
def test_bounds_between_and_at_the_limits_are_taken(bounds, dtype):
    parse_operation({"threshold": bounds}).check("zyx", np.dtype(dtype))


@pytest.mark.parametrize(
    "bounds",
    [
        {"above": 5, "below": 5},
        {"above": 5, "at_most": 5},
        {"at_least": 5, "below": 5},
        {"at_least": 6, "at_most": 5},
        {"above": 4, "at_least": 5, "below": 9, "at_most": 4.5},
        {"above": 2**53 + 1, "at_most": float(2**53)},
    ],
)
def test_bounds_that_exclude_each_other_are_refused(bounds):
    with pytest.raises(JobError, match=r"operation\.threshold: no number is "):
        parse_operation({"threshold": bounds})


def test_bounds_that_leave_one_number_are_taken():
    parse_operation({"threshold": {"at_least": 5, "at_most": 5}})
    parse_operation({"threshold": {"above": 2**53, "at_most": 2**53 + 1}})


def test_copy_can_not_convert_what_has_no_order():
    assert refusal({"copy": {"dtype": "uint8"}}, 1, "complex64") == (
        "copy can't turn complex64 into uint8; leave dtype out to copy it as it is"
    )
    Copy().check("x", np.dtype("complex64"))


def test_the_memory_of_a_block_counts_the_larger_of_input_and_output():
    assert peak_bytes(Copy(), (10, 10), F4) == 3 * 4 * 100
    assert peak_bytes(Copy(dtype="float64"), (10, 10), U8) == 3 * 8 * 100
    assert peak_bytes(PythonFunction(function="m:f", memory_factor=1.5), (3,), U8) == 5


def test_arguments_are_the_operations_own_copy():
    given = {"weights": (1, 2), "deep": {"x": [np.float32(0.5)]}}
    operation = parse_operation({"python": {"function": "m:f", "args": given}})
    given["deep"]["x"].append(3)
    assert operation.args == {"weights": [1, 2], "deep": {"x": [0.5]}}


@pytest.mark.parametrize(
    "args", [{"x": object()}, {"x": [1, {"y": float("nan")}]}, {"x": {1: 2}}, {"x": 2**64}]
)
def test_arguments_are_plain_values(args):
    with pytest.raises(JobError, match=r"operation\.python\.args: x"):
        parse_operation({"python": {"function": "m:f", "args": args}})


@pytest.mark.parametrize("name", ["f", "m:", ":f", "m.f", "m:f()", "m:f:g", "1m:f", "m..n:f", "m:f ", "-m:f"])
def test_a_function_is_named_by_module_and_name(name):
    with pytest.raises(JobError, match='must name a function as "module:name"'):
        parse_operation({"python": {"function": name}})


def test_operations_are_known_without_scipy():
    code = "import sys, blockmill.shared.operations; print('scipy' in sys.modules)"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "False"


def steps():
    """A function of this module, which workers could import."""


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (steps, f'a function is named, not passed: {{"python": {{"function": "{__name__}:steps"}}}}'),
        (json.dumps, '{"python": {"function": "json:dumps"}}'),
        (np.sqrt, '{"python": {"function": "numpy:sqrt"}}'),
        (lambda block: block, "can't see the functions of a notebook"),
        (
            functools.partial(steps, 1),
            'put it into a file steps.py in the current folder and name it "steps:',
        ),
    ],
)
def test_a_function_that_is_passed_is_told_how_it_is_named(function, words):
    for value in (function, {"python": {"function": function}}):
        with pytest.raises(JobError) as caught:
            parse_operation(value)
        assert words in str(caught.value)


def test_a_function_of_a_notebook_is_told_to_stand_in_a_file(monkeypatch):
    monkeypatch.setattr(steps, "__module__", "__main__")
    for value in (steps, {"python": {"function": "__main__:steps"}}):
        with pytest.raises(JobError, match=r"notebook or of the running script; put it .* \"steps:steps\""):
            parse_operation(value)
