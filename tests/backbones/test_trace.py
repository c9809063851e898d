"""What a trace counts."""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from mmseg_infopro.backbones import trace_backbone
from tests.local.by_formula import CONFIGS
from tests.models import build


@pytest.mark.parametrize('kind', CONFIGS)
def test_the_flops_of_all_units_are_those_of_the_network(kind):
    backbone = build(CONFIGS[kind](2)).backbone
    found = trace_backbone(backbone).flops
    assert list(found) == [unit.name for unit in backbone.units()]
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        backbone(torch.randn(2, 3, *backbone.example_size()))
    assert sum(found.values()) == counter.get_total_flops()
