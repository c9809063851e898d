"""The FLOPs of units."""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from mmseg_infopro.backbones.unit_flops import UnitFlops
from tests.local.by_formula import CONFIGS
from tests.models import build


@pytest.mark.parametrize('kind', CONFIGS)
def test_those_of_all_units_are_those_of_the_network(kind):
    backbone = build(CONFIGS[kind](2)).backbone
    found = UnitFlops(backbone, 3).by_name
    assert list(found) == [unit.name for unit in backbone.units()]
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        backbone(torch.randn(2, 3, *backbone.example_size()))
    assert sum(found.values()) == counter.get_total_flops()
