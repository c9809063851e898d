"""Borders that may be trained on again: which one, how often and how long."""

from __future__ import annotations

from mmseg_infopro.parallel.ring import Border, Ring


def made(*iterations: int) -> list[Border]:
    return [Border(number, number, None, []) for number in iterations]


def uses(ring: Ring, iterations: range) -> list[int | None]:
    """Return what is trained on in some iterations in which nothing arrives."""
    found = []
    for iteration in iterations:
        border = ring.pick(iteration)
        found.append(None if border is None else border.made)
        if border is not None:
            border.uses += 1
    return found


def test_nothing_older_than_the_bound() -> None:
    ring = Ring(staleness=2, reuse=9)
    ring.put(*made(0))
    assert uses(ring, range(5)) == [0, 0, 0, None, None]
    assert len(ring) == 0


def test_nothing_more_often_than_the_bound() -> None:
    ring = Ring(staleness=9, reuse=2)
    for border in made(0, 1):
        ring.put(border)
    assert uses(ring, range(1, 7)) == [1, 0, 1, 0, None, None]


def test_what_arrives_late_counts_from_when_it_was_made() -> None:
    ring = Ring(staleness=2, reuse=3)
    for border in made(0, 3):
        ring.put(border)
    assert uses(ring, range(4, 8)) == [3, 3, None, None]


def test_an_unused_border_goes_before_a_newer_one_that_was_used() -> None:
    ring = Ring(staleness=3, reuse=3)
    for border in made(0, 1, 2):
        ring.put(border)
    assert uses(ring, range(2, 5)) == [2, 1, 2]
