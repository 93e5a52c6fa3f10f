import operator

import numpy as np
import pytest

from blockmill.shared.errors import OutOfBounds
from blockmill.shared.lazyflow.tinyvector import TinyVector

NUMBERS, OTHERS = [7, -3, 12], [2, 5, 4]
BINARY = [
    "add",
    "sub",
    "mul",
    "truediv",
    "floordiv",
    "mod",
    "and_",
    "or_",
    "xor",
    "eq",
    "ne",
    "lt",
    "le",
    "gt",
    "ge",
]


@pytest.mark.parametrize("name", BINARY)
@pytest.mark.parametrize("kind", [TinyVector, list, tuple, np.array, lambda values: values[0]])
def test_every_operator_does_what_numpy_does_from_both_sides(name, kind):
    function, other = getattr(operator, name), kind(OTHERS)
    plain = OTHERS[0] if isinstance(other, int) else np.array(OTHERS)
    for got, expected in [
        (function(TinyVector(NUMBERS), other), function(np.array(NUMBERS), plain)),
        (function(other, TinyVector(NUMBERS)), function(plain, np.array(NUMBERS))),
    ]:
        assert isinstance(got, TinyVector) != (kind is np.array and isinstance(got, np.ndarray))
        assert list(got) == expected.tolist()


def test_vectors_of_different_length_are_refused_not_cut():
    with pytest.raises(OutOfBounds):
        TinyVector([1, 2, 3]) * [1, 2]
    with pytest.raises(OutOfBounds):
        TinyVector([1, 2, 3]) == TinyVector([1, 2])  # noqa: B015


def test_a_comparison_has_no_truth_of_its_own():
    same = TinyVector([1, 2]) == [1, 3]
    with pytest.raises(ValueError, match="all"):
        bool(same)
    assert same.any()
    assert not same.all()
    assert list(~same) == [False, True]


def test_assignment_with_an_operator_leaves_the_old_vector_alone():
    old = new = TinyVector([1, 2])
    new += [10, 20]
    assert list(old) == [1, 2]
    assert list(new) == [11, 22]


def test_insert_and_copy_give_new_vectors():
    vector = TinyVector([1, 3])
    assert list(vector.insert(1, 2)) == [1, 2, 3]
    assert list(vector) == [1, 3]
    assert vector.copy() is not vector


def test_unary_operators_and_rounding():
    vector = TinyVector([1.5, -1.5])
    assert list(-vector) == [-1.5, 1.5]
    assert list(+vector) == [1.5, -1.5]
    assert list(abs(vector)) == [1.5, 1.5]
    assert list(vector.ceil()) == [2, -1]
    assert list(vector.floor()) == [1, -2]
    assert list(vector.as_int()) == [1, -1]
    assert list(~TinyVector([0, 5])) == [-1, -6]


def test_a_vector_is_no_key():
    with pytest.raises(TypeError):
        hash(TinyVector([1]))


@pytest.mark.parametrize("name", BINARY)
@pytest.mark.parametrize("shape", [(3, 3), (2, 3), (3, 1)])
def test_arrays_of_more_axes_are_broadcast_as_numpy_does_it(name, shape):
    array = np.arange(1, 1 + shape[0] * shape[1]).reshape(shape)
    function, vector, numbers = getattr(operator, name), TinyVector(NUMBERS), np.array(NUMBERS)
    np.testing.assert_array_equal(function(array, vector), function(array, numbers))
    np.testing.assert_array_equal(function(vector, array), function(numbers, array))


FUNCTIONS = [
    *(np.sum, np.prod, np.max, np.min, np.ceil, np.all, np.any, np.mean, np.argsort, np.asarray),
    lambda v: np.maximum(v, 0),
    lambda v: np.mod(v, 5),
    lambda v: np.subtract(OTHERS, v),
    lambda v: np.all(v > 0, axis=0),
    lambda v: np.any(v == OTHERS),
    lambda v: np.all(v > 0, keepdims=True),
    lambda v: np.array([[1, 2, 3], [4, 5, 6]]) - v,
]


@pytest.mark.parametrize("function", FUNCTIONS)
def test_functions_of_numpy_take_a_vector_as_they_take_an_array(function):
    np.testing.assert_array_equal(function(TinyVector(NUMBERS)), function(np.array(NUMBERS)))


def test_an_array_of_one_axis_and_another_length_is_refused():
    with pytest.raises(OutOfBounds):
        TinyVector([1, 2, 3]) * np.array([1, 2])
    with pytest.raises(ValueError, match="broadcast"):
        np.array([1, 2]) * TinyVector([1, 2, 3])
