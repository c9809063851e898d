"""The largest size under a cap, and how many measurements it takes to find."""

import pytest

from mmseg_infopro.report.largest import largest, largest_within


@pytest.mark.parametrize('limit', [0, 1, 3, 4, 5, 17])
def test_the_largest_number(limit):
    for start in (1, 4, 9):
        asked = []

        def fits(number, asked=asked):
            asked.append(number)
            return number <= limit

        assert largest(fits, start) == limit
        assert largest(lambda number: number <= limit, start, start <= limit) == limit
        assert len(asked) == len(set(asked)), 'a dry step was taken twice'


@pytest.mark.parametrize('most', [9, 12, 40])
def test_nothing_beyond_the_most_is_tried(most):
    asked = []
    assert largest(lambda n: asked.append(n) or True, 9, most=most) == most
    assert largest(lambda n: n <= 10, 9, most=most) == min(10, most)
    known = {9: 90}
    assert largest_within(10**9, lambda n: asked.append(n) or 10 * n, int, known, 0, most) == most
    assert max(asked) == most
    assert len(asked) < 12


def search(cap, bytes_of, start, fixed=0, size_of=lambda n: n):
    asked = []

    def measure(n):
        asked.append(n)
        return bytes_of(n)

    return largest_within(cap, measure, size_of, {start: bytes_of(start)}, fixed), asked


@pytest.mark.parametrize('start', [1, 3, 8, 40])
@pytest.mark.parametrize('cap', [5, 99, 100, 150, 399, 400, 1030, 9999])
@pytest.mark.parametrize(
    'bytes_of',
    [lambda n: 50 + 50 * n, lambda n: max(100 + 30 * n, 70 * n), lambda n: 20 + 3 * n + n * n],
)
def test_it_is_found_with_few_measurements(cap, bytes_of, start):
    found, asked = search(cap, bytes_of, start, fixed=15)
    assert found == max((n for n in range(1, 400) if bytes_of(n) <= cap), default=0)
    assert len(asked) == len(set(asked)) <= 6


def test_a_line_is_measured_where_it_is_answered():
    assert search(10_000, lambda n: 100 + 450 * n, start=4, fixed=100) == (22, [22])


def test_what_the_network_cannot_step_on_does_not_fit():
    found, asked = search(60, lambda n: None if n < 2 else 50 * n, start=4)
    assert (found, asked) == (0, [1])


def test_a_step_that_is_too_small_says_nothing_of_larger_ones():
    found, asked = search(100, lambda n: None if n < 2 else 12 + 43 * n, start=4, fixed=20)
    assert (found, asked) == (2, [1, 2])
    assert largest_within(100, lambda n: None if n < 3 else 30 * n, lambda n: n, {}, 0) == 3
