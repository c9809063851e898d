"""Bytes as people read them."""

import pytest

from mmseg_infopro.measure.sizes import table_unit


@pytest.mark.parametrize(
    ('num_bytes', 'unit'), [(1_500_000_000, ('GB', 1e9)), (999_000_000, ('MB', 1e6))]
)
def test_a_table_is_in_the_unit_of_a_size_in_it(num_bytes, unit):
    assert table_unit(num_bytes) == unit
