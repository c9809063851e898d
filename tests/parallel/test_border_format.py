"""What passes a border: taken apart and put together again, strides included."""

from __future__ import annotations

import pickle
from typing import Any

import pytest
import torch
from torch import Tensor

from mmseg_infopro.local.carried import Carried, Retained
from mmseg_infopro.parallel.border_format import (
    Slot,
    contents,
    filled,
    layout,
    slots,
    tensors,
    with_contents,
)
from tests.models import build
from tests.parallel.pipelines import swin

STRIDED = {
    'contiguous': torch.arange(24.0).view(2, 3, 4, 1),
    'channels last': torch.arange(24.0).view(1, 2, 3, 4).to(memory_format=torch.channels_last),
    'tokens': torch.arange(24.0).view(2, 3, 4).transpose(1, 2),
    'one of a batch': torch.arange(24.0).as_strided((1, 2, 3, 4), (2, 1, 8, 2)),
    'a number': torch.tensor(3.0),
    'nothing': torch.empty(0, 3),
    'whole numbers': torch.arange(6).view(2, 3).t(),
}


@pytest.mark.parametrize('name', STRIDED)
def test_a_tensor_lies_as_it_lay(name: str) -> None:
    tensor = STRIDED[name]
    slot = Slot.of(tensor)
    flat = slot.flat(tensor)
    assert flat.is_contiguous() and flat.data_ptr() == tensor.data_ptr()  # nothing is copied
    memory = slot.empty(tensor.device, tensor.dtype).copy_(flat)
    placed = slot.placed(memory)
    assert torch.equal(placed, tensor)
    assert placed.stride() == tensor.stride() and placed.dtype == tensor.dtype


def test_holes_are_not_sent() -> None:
    tensor = torch.arange(24.0).view(4, 6)[:, ::2]
    slot = Slot.of(tensor)
    assert slot.flat(tensor).is_contiguous()
    assert torch.equal(slot.placed(slot.flat(tensor)), tensor)


def test_a_rounded_float_comes_back_as_it_was_typed() -> None:
    tensor = torch.tensor([1.0, 1 + 2**-20])
    slot = Slot.of(tensor)
    memory = slot.empty(tensor.device, torch.bfloat16).copy_(slot.flat(tensor))
    placed = slot.placed(memory)
    assert placed.dtype == torch.float32 and placed.tolist() == [1.0, 1.0]


def test_a_border_is_put_together_again() -> None:
    model = build(swin(2))
    state: Any = [torch.rand(2, 4), (torch.rand(2, 3).t(), (3, 5)), None]
    emit = next(e for unit in model.backbone.units() for e in unit.emits)
    retained = {0: Retained(torch.rand(2, 2), emit), 2: Retained({'x': torch.rand(3)})}
    image = torch.rand(2, 3, 8, 8)
    carried = Carried(state, image, [], retained, history=(torch.rand(2), torch.rand(1)))
    nest = contents(carried)
    announced = pickle.loads(pickle.dumps(layout(nest)))
    flat = [slot.flat(t) for slot, t in zip(slots(announced), tensors(nest), strict=True)]
    values = [slot.placed(f.clone()) for slot, f in zip(slots(announced), flat, strict=True)]
    own = Carried(image, image, ['samples'])
    found = with_contents(own, filled(announced, values), model.backbone)
    assert found.image is image and found.samples == ['samples']
    assert _equal(found.state, state)
    assert _equal([found.retained[i].kept for i in (0, 2)], [retained[i].kept for i in (0, 2)])
    assert found.retained[0].emit is not None and found.retained[2].emit is None
    assert _equal(found.history, carried.history)


def _equal(one: Any, other: Any) -> bool:
    if isinstance(one, Tensor):
        return torch.equal(one, other) and one.stride() == other.stride()
    if isinstance(one, (list, tuple)):
        return type(one) is type(other) and all(map(_equal, one, other))
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(_equal(one[k], other[k]) for k in one)
    return bool(one == other)
