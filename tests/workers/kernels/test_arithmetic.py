"""Formulas of blocks: as numpy computes them, and whole numbers exactly or not at all."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from blockmill.shared.errors import BlockError, JobError
from blockmill.shared.geometry.roi import Roi
from blockmill.shared.operations.registry import parse_operation
from blockmill.workers.kernels import BlockContext, kernel_for

SHAPE = (3, 4)
INTEGERS = ["bool", "uint8", "int8", "uint16", ">i2", "uint32", "int32", "int64", "uint64"]
FLOATS = ["float16", "float32", ">f4", "float64"]


def computed(expression, volumes, **options):
    spec = parse_operation({"arithmetic": {"expression": expression, **options}})
    dtypes = {name: volume.dtype for name, volume in volumes.items()}
    spec.check_inputs("yx", dtypes)
    shape = next(iter(volumes.values())).shape
    roi = Roi.from_shape(shape)
    result = kernel_for(spec)(dict(volumes), BlockContext(roi, roi, shape, "yx"))
    assert result.dtype == spec.dtype_of(dtypes)
    assert result.shape == shape
    return result


def volumes_of(*dtypes):
    return st.tuples(*(st.sampled_from(dtypes) for _ in "ab")).flatmap(
        lambda pair: st.tuples(*(hnp.arrays(np.dtype(dtype), SHAPE) for dtype in pair))
    )


EXACT = {
    "a + b": lambda a, b: a + b,
    "a - b": lambda a, b: a - b,
    "a * b": lambda a, b: a * b,
    "-a + abs(b)": lambda a, b: -a + abs(b),
    "min(a, b) - max(b, 3)": lambda a, b: min(a, b) - max(b, 3),
    "where(a > b, a, 7)": lambda a, b: a if a > b else 7,
    "(a - b) // 3": lambda a, b: (a - b) // 3,
    "(a * 5) % 7 + 0 * b": lambda a, b: (a * 5) % 7,
    "(a == b) + (a >= 4) * 2": lambda a, b: (a == b) + (a >= 4) * 2,
}


@given(pair=volumes_of(*INTEGERS), expression=st.sampled_from([*EXACT]))
def test_whole_numbers_are_those_of_python_or_refused(pair, expression):
    volumes = dict(zip("ab", pair, strict=True))
    exact = [EXACT[expression](*map(int, voxels)) for voxels in zip(*(v.ravel() for v in pair), strict=True)]
    spec = parse_operation({"arithmetic": {"expression": expression}})
    target = spec.dtype_of({name: volume.dtype for name, volume in volumes.items()})
    if target.kind == "f":  # numpy's common dtype of int64 and uint64
        return
    info = np.iinfo(target)
    clipped = [min(max(value, info.min), info.max) for value in exact]
    np.testing.assert_array_equal(
        computed(expression, volumes, clip=True, dtype=target.name).ravel(), clipped
    )
    if clipped == exact:
        np.testing.assert_array_equal(computed(expression, volumes).ravel(), np.array(exact, target))
    else:
        first = next(value for value, other in zip(exact, clipped, strict=True) if value != other)
        with pytest.raises(BlockError, match=f"is {first}, which {target.name} can't hold"):
            computed(expression, volumes)


AS_NUMPY = {
    "a + b": lambda a, b: a + b,
    "a * 0.1 - b": lambda a, b: a * 0.1 - b,
    "a / b": np.true_divide,
    "max(a, b) // 2.5": lambda a, b: np.maximum(a, b) // 2.5,
    "-a + abs(b) % 3": lambda a, b: -a + np.abs(b) % 3,
    "where(a > b, a, 0) + where((a <= 1) & ~(b != 2), b, 1)": lambda a, b: (
        np.where(a > b, a, a.dtype.type(0)) + np.where((a <= 1) & ~(b != 2), b, b.dtype.type(1))
    ),
    "sqrt(abs(a)) + exp(min(b, 1)) + log(2 * a)": lambda a, b: (
        np.sqrt(np.abs(a)) + np.exp(np.minimum(b, b.dtype.type(1))) + np.log(2 * a)
    ),
}


@given(pair=volumes_of(*FLOATS), expression=st.sampled_from([*AS_NUMPY]))
def test_floats_are_those_of_numpy(pair, expression):
    with np.errstate(all="ignore"):
        expected = AS_NUMPY[expression](*(volume.astype(volume.dtype.newbyteorder("=")) for volume in pair))
    result = computed(expression, dict(zip("ab", pair, strict=True)))
    assert result.dtype == expected.dtype
    np.testing.assert_array_equal(result, expected)


@pytest.mark.parametrize("first", ["uint8", "int16", "int32", "int64", "uint64"])
@pytest.mark.parametrize("second", ["float16", "float32", "float64"])
def test_whole_numbers_and_floats_meet_in_numpys_common_dtype(first, second):
    a, b = np.arange(12).astype(first).reshape(SHAPE), np.linspace(-3, 3, 12).astype(second).reshape(SHAPE)
    np.testing.assert_array_equal(computed("a + b", {"a": a, "b": b}), a + b)
    np.testing.assert_array_equal(computed("a * b - 2", {"a": a, "b": b}), a * b - 2)
    np.testing.assert_array_equal(computed("a / (a + 1)", {"a": a}), a / (a + a.dtype.type(1)))
    np.testing.assert_array_equal(computed("a * 0.5", {"a": a}), a * 0.5)


@pytest.mark.parametrize(
    ("dtype", "fits"), [("uint64", False), ("int64", False), ("float64", True), ("float32", True)]
)
def test_numbers_on_both_sides_of_64_bits(dtype, fits):
    a = np.array([[0, 2**63, 5]], np.uint64)
    if fits:
        np.testing.assert_array_equal(computed("a - 1 + 1 - 0 * a - 4", {"a": a[:, :1]}, dtype=dtype), [[-4]])
        np.testing.assert_array_equal(computed("-a * 2", {"a": a}, dtype=dtype), [[0, -(2.0**64), -10]])
    else:
        first = -1 if dtype == "uint64" else 2**63
        expression = "a - 1" if dtype == "uint64" else "a + 0"
        with pytest.raises(BlockError, match=f"is {first}, which {dtype} can't hold"):
            computed(expression, {"a": a}, dtype=dtype)


def test_a_comparison_gives_zeros_and_ones():
    a = np.arange(12, dtype=np.int16).reshape(SHAPE)
    result = computed("(a > 3) & (a < 9) | (a == 0)", {"a": a})
    assert result.dtype == np.uint8
    np.testing.assert_array_equal(result, ((a > 3) & (a < 9)) | (a == 0))


def test_the_halo_is_cut_off():
    spec = parse_operation({"arithmetic": {"expression": "input + 1"}})
    block = np.arange(30).reshape(5, 6)
    context = BlockContext(Roi((0, 0), (5, 6)), Roi((1, 2), (4, 5)), (9, 9), "yx")
    np.testing.assert_array_equal(kernel_for(spec)({"input": block}, context), block[1:4, 2:5] + 1)


@pytest.mark.parametrize("operator", ["//", "%"])
def test_a_whole_number_divided_by_zero_fails_its_block(operator):
    a = np.ones(SHAPE, np.int32)
    with pytest.raises(BlockError, match=f"divided by 0 \\({operator}\\)"):
        computed(f"a {operator} (a - 1)", {"a": a})


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("a +", "is no formula"),
        ("a.b", "holds a.b"),
        ("open(a)", "calls open"),
        ("__import__('os')", "calls __import__"),
        ("a[0]", r"holds a\[0\]"),
        ("lambda: a", "holds lambda"),
        ("a < b < 3", "compares more than two"),
        ("a > 0 and b > 0", "& or |"),
        ("not a", "write ~"),
        ("min(a)", "takes 2"),
        ("1 + 2", "names no input"),
        ("a + 1e999", "not finite"),
        ("a + 99999999999999999999999", "more than 64 bits"),
        ("a + 'x'", "no number"),
        ("a ** 2", "holds a [*][*] 2"),
        ("+".join(["a"] * 150), "more than 200 parts"),
        ("-" * 60 + "a", "more than 40 deep"),
        ("a + b", "there is no input b"),
        ("a & (a > 0)", "takes comparisons"),
        ("where(a, a, 0)", "comparison"),
    ],
)
def test_what_is_no_formula_is_refused_in_words(expression, message):
    with pytest.raises(JobError, match=message):
        computed(expression, {"a": np.ones(SHAPE, np.uint8)})


def test_an_input_that_is_not_used_is_refused():
    with pytest.raises(JobError, match=r"input\.b: is not used in a \+ 1"):
        computed("a + 1", {"a": np.ones(SHAPE), "b": np.ones(SHAPE)})


def test_dtypes_beyond_64_bits_are_refused():
    with pytest.raises(JobError, match="can't take complex128, as a has"):
        computed("a + 1", {"a": np.ones(SHAPE, complex)})
