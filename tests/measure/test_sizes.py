"""Bytes as people read them."""

import pytest

from mmseg_infopro.measure.sizes import check_cap, format_size, parse_bytes, parse_share, table_unit


@pytest.mark.parametrize(
    ('text', 'num_bytes'),
    [
        ('12GiB', 12 * 2**30),
        ('2.7GB', 2_700_000_000),
        (1024, 1024),
        ('1 MiB', 2**20),
        ('0', 0),
    ],
)
def test_sizes(text, num_bytes):
    assert parse_bytes(text) == num_bytes


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('5kB', "a size must be a text as '12GiB' or '2.7GB', got '5kB'"),
        ('40%', "a size must be a text as '12GiB' or '2.7GB', got '40%'"),
        ('11', '^11 what[?] say 11GiB, or '),
        ('1.2.3GiB', 'a size must be a text'),
    ],
)
def test_what_is_no_size(text, message):
    with pytest.raises(ValueError, match=message):
        parse_bytes(text)


def test_a_cap_is_a_size_or_a_share():
    for cap in ('11GiB', '40%', '0.5 %', 2**30):
        check_cap(cap)
    assert [parse_share(text) for text in ('40%', '112.5 %', '40')] == [0.4, 1.125, None]
    for cap, message in (
        (11, '11 what[?]'),
        ('11', '11 what[?]'),
        (1.5, '1.5 what[?]'),
        ('0%', 'must be above 0%, got 0%'),
        ('-3%', 'must be above 0%, got -3%'),
        ('most', 'a size must be'),
    ):
        with pytest.raises(ValueError, match=message):
            check_cap(cap)


def test_plain_bytes_are_shown_with_a_unit():
    assert (format_size('11GiB'), format_size(3 * 2**29)) == ('11GiB', '1.50 GiB')


@pytest.mark.parametrize(
    ('num_bytes', 'unit'), [(1_500_000_000, ('GiB', 2**30)), (999_000_000, ('MiB', 2**20))]
)
def test_a_table_is_in_the_unit_of_a_size_in_it(num_bytes, unit):
    assert table_unit(num_bytes) == unit
