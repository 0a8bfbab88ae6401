"""Elementary functions have the C library's last bit, whatever the processor."""

import math

import numpy as np
import pytest

from parked import libm


def test_each_value_is_the_c_librarys():
    x = np.random.default_rng(0).uniform(-745.0, 709.0, (1_000, 10))
    np.testing.assert_array_equal(libm.exp(x), [[math.exp(value) for value in row] for row in x.tolist()])


@pytest.mark.parametrize("shape", [(0,), (3, 0), (), (2, 3)])
def test_the_shape_stays(shape: tuple[int, ...]):
    assert libm.exp(np.zeros(shape)).shape == shape


def test_what_has_no_power_is_not_hidden():
    np.testing.assert_array_equal(libm.exp(np.array([np.nan, np.inf, -np.inf])), [np.nan, np.inf, 0.0])
