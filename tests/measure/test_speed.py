"""Speeds fitted to times."""

import pytest
import torch

from mmseg_infopro.measure.speed import fit_speeds, measure_speeds
from mmseg_infopro.measure.tracker import MemoryTracker
from mmseg_infopro.measure.work import Work, WorkCounter

WORKS = [Work(1000, 10), Work(0, 50), Work(300, 300), Work(5000, 0)]


def test_the_speeds_that_made_the_times_are_found():
    times = [work.flops / 200 + work.moved / 4 for work in WORKS]
    assert fit_speeds(WORKS, times) == pytest.approx((200, 4))


def test_times_of_flops_alone_say_nothing_of_bytes():
    works = [Work(1000, 10), Work(500, 80), Work(300, 60)]
    flops, moved = fit_speeds(works, [work.flops / 100 for work in works])
    assert flops == pytest.approx(100)
    assert moved > 1e6


def test_no_speed_is_negative():
    # Those with more bytes took less time.
    flops, moved = fit_speeds([Work(100, 10), Work(100, 90)], [2.0, 1.0])
    assert 0 < flops < float('inf')
    assert moved == float('inf')


def test_work_is_counted_by_pass():
    weight = torch.ones(3, 4, requires_grad=True)
    features, counter = torch.ones(2, 3, requires_grad=True), WorkCounter()
    with MemoryTracker(watch=counter):
        output = features @ weight
        output.backward(torch.ones_like(output))
    assert counter.forward.flops == 2 * 2 * 3 * 4
    assert counter.backward.flops == 2 * counter.forward.flops
    assert counter.forward.moved >= 4 * (6 + 12 + 8)


def test_this_machine_has_speeds():
    flops, moved = measure_speeds(seconds=0.0)
    assert flops > 1e6
    assert moved > 1e6
