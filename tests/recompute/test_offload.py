"""What modules save waits on the host: the same training, bit for bit."""

from __future__ import annotations

import gc
import weakref
from typing import Any

import pytest
import torch
from mmengine.config import ConfigDict
from mmengine.optim import OptimWrapper
from torch import nn

from mmseg_infopro.measure.dry_step import dry_step
from mmseg_infopro.recompute import offload
from mmseg_infopro.recompute.offload import HostMemory
from tests.cpu_amp import CpuAmpOptimWrapper
from tests.models import batch, build, model_config

BOUNDARIES = ['layer1.1', 'layer3.1']
SGD = ConfigDict(type='OptimWrapper', optimizer=dict(type='SGD', lr=0.1, momentum=0.9))


def model_of(boundaries: list[str] | None = None, **local: Any) -> Any:
    return build(model_config(local=dict(boundaries=boundaries or [], **local)))


def train(wrapper: Any = OptimWrapper, **local: Any) -> dict[str, torch.Tensor]:
    model = model_of(BOUNDARIES, **local)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    for number in range(2):
        model.train_step(batch(32, seed=number), wrapper(optimizer=optimizer))
    state: dict[str, torch.Tensor] = model.state_dict()
    return state


@pytest.fixture(autouse=True)
def of_any_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(offload, 'SMALLEST', 256)


@pytest.mark.parametrize('recompute', ['none', 'cheap', 'units'])
@pytest.mark.parametrize('modules', [True, [1]])
def test_offloading_changes_nothing_bit_for_bit(recompute: str, modules: Any) -> None:
    plain, sent = train(recompute=recompute), train(recompute=recompute, offload=modules)
    assert all(torch.equal(value, sent[name]) for name, value in plain.items())


def test_nor_in_mixed_precision() -> None:
    plain, sent = train(CpuAmpOptimWrapper), train(CpuAmpOptimWrapper, offload=True)
    assert all(torch.equal(value, sent[name]) for name, value in plain.items())


@pytest.mark.parametrize('recompute', ['none', 'cheap'])
def test_a_dry_step_needs_less_and_says_what_moves(recompute: str) -> None:
    cases: tuple[Any, ...] = (False, [0], True)
    plain, first, every = (
        dry_step(model_of(BOUNDARIES, recompute=recompute, offload=case), SGD, lambda: batch(128))
        for case in cases
    )
    assert every.peak.total < plain.peak.total
    assert first.module_peaks()[0] < plain.module_peaks()[0]
    assert first.module_peaks()[1] == plain.module_peaks()[1]
    assert 0 == plain.host_bytes < first.host_bytes < every.host_bytes
    assert plain.flops == first.flops == every.flops


def test_what_moves_is_what_autograd_saves_each_tensor_once() -> None:
    step = dry_step(model_of(offload=True), SGD, lambda: batch(64))
    model, saved = model_of(), {}

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        if tensor.nbytes >= 256 and not isinstance(tensor, nn.Parameter):
            key = tensor.data_ptr(), tensor._version, tensor.shape, tensor.stride()
            saved[key] = tensor.detach()
        return tensor.detach() if tensor.grad_fn is not None else tensor

    data = model.data_preprocessor(batch(64), True)
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        model.loss(**data)
    images = [key for key in saved if key[0] == data['inputs'].data_ptr()]
    expected = sum(value.nbytes for key, value in saved.items() if key not in images)
    assert step.host_bytes == pytest.approx(expected, rel=0.02)


def test_end_to_end_training_offloads_too() -> None:
    peaks = [
        dry_step(model_of(offload=case), SGD, lambda: batch(128)).peak for case in (False, True)
    ]
    assert peaks[1].activations < 0.7 * peaks[0].activations


def test_a_tensor_that_is_written_to_between_goes_twice() -> None:
    host, tensor = HostMemory(), torch.zeros(100)
    packed = host.pack(tensor)
    assert host.pack(tensor) is packed
    tensor.add_(1)
    again = host.pack(tensor)
    assert again is not packed
    assert host.unpack(packed).sum() == 0
    assert host.unpack(again).sum() == 100


def test_what_stays_must_not_be_written_to() -> None:
    weight = torch.zeros(4, requires_grad=True)
    with HostMemory().saving():
        grown = weight.exp()
        result = (2 * grown).sum()
    grown.detach().add_(1)
    with pytest.raises(RuntimeError, match=r'written to in place: it is of shape \(4,\)'):
        result.backward()


def test_nothing_is_left_after_the_backward_pass() -> None:
    weight = torch.randn(100, requires_grad=True)
    with HostMemory().saving():
        squared = weight.exp() * 2
        result = squared.exp().sum()
    reference = weakref.ref(squared)
    del squared
    result.backward()
    del result
    gc.collect()
    assert reference() is None


@pytest.mark.parametrize(
    ('setting', 'error', 'message'),
    [
        ('all', TypeError, 'True, False or a list of numbers of modules, as .0, 1., got .all.'),
        ([-1], TypeError, 'or a list of numbers of modules'),
        ([3], ValueError, r'names module 3, and there are 3, numbered from 0: \[0, 1, 2\]'),
    ],
)
def test_a_wrong_setting_is_named(setting: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        model_of(BOUNDARIES, offload=setting)
