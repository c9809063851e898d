"""How many tensors a file has filled."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from mmengine.model import BaseModule
from torch import nn

from mmseg_infopro.run.taken import Taken, check_pretrained, equal, matching, say_taken


def test_names_and_shapes_are_counted() -> None:
    model = {'a': torch.ones(2), 'b': torch.ones(3), 'c.num_batches_tracked': torch.ones(())}
    model['local_heads.x.weight'] = torch.ones(1)
    weights = {'a': torch.zeros(2), 'b': torch.zeros(4), 'z': torch.zeros(1)}
    assert matching(model, weights) == Taken(1, 2, ('b',), ('z',))


def test_values_are_counted_whatever_their_names() -> None:
    part, other = nn.Linear(3, 4), nn.Linear(3, 4)
    torch.nn.init.zeros_(part.bias)
    weights = {'fc.kernel': part.weight.detach().clone(), 'b': torch.zeros(4)}
    assert (equal(part, weights).count, equal(part, weights).total) == (1, 1)
    assert equal(other, weights).count == 0


def test_few_are_an_error_unless_asked_for() -> None:
    say_taken(Taken(5, 10), 'a.pth')
    few = Taken(4, 10, ('conv.weight',), ('head.bias',))
    message = (
        r"only 4 of the model's 10 tensors are taken from a\.pth \(1 have another shape, as "
        r'conv\.weight; it also holds head\.bias\).*set allow_few_weights=True'
    )
    with pytest.raises(ValueError, match=message):
        say_taken(few, 'a.pth')
    say_taken(few, 'a.pth', allow_few=True)


class Net(BaseModule):
    def __init__(self, file: Path) -> None:
        super().__init__(init_cfg=dict(type='Pretrained', checkpoint=str(file)))
        self.conv = nn.Conv2d(3, 4, 1)


def test_a_part_is_checked_after_its_initialization(tmp_path: Path) -> None:
    net = nn.Sequential(Net(tmp_path / 'a.pth'))
    torch.save({name: w.clone() for name, w in net[0].state_dict().items()}, tmp_path / 'a.pth')
    check_pretrained(net)
    torch.nn.init.normal_(net[0].conv.weight)
    torch.nn.init.normal_(net[0].conv.bias)
    with pytest.raises(ValueError, match=r"only 0 of 0's 2 tensors are taken"):
        check_pretrained(net)
