"""The rate of training in phases."""

import pytest
import torch
from mmengine.optim import PolyLR

from mmseg_infopro.local.phased_poly import PhasedPolyLR


def rates(make, steps):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.1)
    scheduler = make(optimizer)
    found = []
    for _ in range(steps):
        found.append(optimizer.param_groups[0]['lr'])
        optimizer.step()
        scheduler.step()
    return found


def test_every_phase_has_the_rates_of_a_poly_schedule_of_its_length():
    settings = dict(power=0.9, eta_min=1e-4)
    found = rates(lambda o: PhasedPolyLR(o, phases=[0, 4], length=10, **settings), 10)
    for steps, part in ((4, found[:4]), (6, found[4:])):
        expected = rates(lambda o, n=steps: PolyLR(o, end=n, by_epoch=False, **settings), steps)
        assert part == pytest.approx(expected)


def test_it_resumes_in_the_middle():
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.1)
    make = lambda: PhasedPolyLR(optimizer, phases=[0, 3], length=8)  # noqa: E731
    first, second = make(), make()
    for _ in range(5):
        optimizer.step()
        first.step()
    second.load_state_dict(first.state_dict())
    assert second.get_last_value() == first.get_last_value()


@pytest.mark.parametrize('phases', [[1, 2], [0, 5], [0, 2, 2]])
def test_phases_that_are_out_of_order_are_refused(phases):
    with pytest.raises(ValueError, match='phases must rise from 0 to below length=5'):
        rates(lambda o: PhasedPolyLR(o, phases=phases, length=5), 1)
