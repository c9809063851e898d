"""Optimizers of 8 bits: what they keep as predicted, and the step of each module."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from mmengine.config import ConfigDict
from mmengine.model import BaseModel
from mmengine.optim import OptimWrapper, build_optim_wrapper
from mmseg.registry import OPTIMIZERS
from torch import nn

from mmseg_infopro.config.check_parts import check_parts
from mmseg_infopro.config.parts import Part
from mmseg_infopro.config.step import optimizer_copies
from mmseg_infopro.local import eight_bit
from mmseg_infopro.local.update import module_updates, obstacles
from tests.local.test_update import assert_same, model_of, train
from tests.models import dry_step_peak

NUM_AVERAGES = {
    'SGD8bit': 1,
    'Adam8bit': 2,
    'AdamW8bit': 2,
    'torchao_Adam8bit': 2,
    'torchao_AdamW8bit': 2,
}
NAMES = [
    pytest.param(
        name,
        marks=pytest.mark.skipif(
            OPTIMIZERS.get(name) is None,
            reason="its package is no part of the tests' own: [eightbit]",
        ),
    )
    for name in NUM_AVERAGES
]


@pytest.fixture(autouse=True)
def eager() -> Iterator[None]:
    """To compile an update takes many times longer than to take it."""
    with torch.compiler.set_stance('force_eager'):
        yield


def settings_of(name: str) -> dict[str, Any]:
    return dict(type=name, lr=0.01, **(dict(momentum=0.9) if name == 'SGD8bit' else {}))


class Weights(BaseModel):
    """Parameters of several sizes: 4096 values, 15, 5000, 4097 and twice 8192."""

    SIZES = ((64, 64), (3, 5), (50, 100), (4097,), (8192,), (2, 64, 64))

    def __init__(self) -> None:
        super().__init__()
        self.weights = nn.ParameterList(torch.rand(size) for size in self.SIZES)

    def forward(self, inputs: torch.Tensor, mode: str) -> dict[str, torch.Tensor]:
        return dict(loss=sum((weight * inputs.mean()).square().mean() for weight in self.weights))


def by_formula(name: str) -> int:
    """Bytes of 8-bit state, Dettmers et al., ICLR 2022: codes, and an absmax for 256 of them."""
    is_torchao, num_bytes = name.startswith('torchao'), 0
    for weight in Weights().weights:
        size = weight.numel()
        if size < 4096 or (is_torchao and size % 256):
            num_bytes += 4 * size
        else:
            num_bytes += size + 4 * -(-size // 256) + (1024 if is_torchao else 0)
    if is_torchao:
        return NUM_AVERAGES[name] * num_bytes + 4 * len(Weights.SIZES)  # the number of the step
    return NUM_AVERAGES[name] * (num_bytes + 1024)  # one map of 256 numbers for all parameters


def storages(value: Any) -> dict[int, int]:
    """Return the bytes of all storages in a nest, of subclasses those within, by address."""
    if isinstance(value, dict):
        return {key: size for item in value.values() for key, size in storages(item).items()}
    if hasattr(value, '__tensor_flatten__'):
        return storages({name: getattr(value, name) for name in value.__tensor_flatten__()[0]})
    if torch.is_tensor(value):
        return {value.untyped_storage().data_ptr(): value.untyped_storage().nbytes()}
    return {}


@pytest.mark.parametrize('name', NAMES)
def test_the_state_is_the_predicted_one_by_formula_and_in_a_real_step(name: str) -> None:
    model = Weights()
    cfg = ConfigDict(type='OptimWrapper', optimizer=settings_of(name))
    batch = lambda: dict(inputs=torch.rand(2, 3))  # noqa: E731
    predicted = dry_step_peak(model, cfg, batch)
    wrapper = build_optim_wrapper(model, cfg)
    for _ in range(2):
        model.train_step(batch(), wrapper)
    real = sum(storages(dict(enumerate(wrapper.optimizer.state.values()))).values())
    assert predicted.optimizer_state == real == by_formula(name)


@pytest.mark.parametrize('name', NAMES)
def test_an_update_per_module_is_the_same_bit_for_bit(name: str) -> None:
    results = []
    for early in (False, True):
        model = model_of(early)
        cfg = dict(type='OptimWrapper', optimizer=settings_of(name))
        wrapper = build_optim_wrapper(model, cfg)
        assert (module_updates(model, wrapper) is not None) == early
        logs = train(model, wrapper)
        results.append([logs, model.state_dict(), wrapper.state_dict()['state']])
    assert_same(*results)


@pytest.mark.parametrize('name', NAMES)
def test_a_plan_counts_a_byte_for_each_average(name: str) -> None:
    copies = optimizer_copies(dict(optimizer=settings_of(name)))
    assert copies == pytest.approx(1 + NUM_AVERAGES[name] * (1 + 4 / 256) / 4, abs=0.002)
    assert optimizer_copies(dict(optimizer=dict(type='AdamW', lr=0.1))) == 3


def test_torchaos_updates_are_its_own_with_numbers_as_rates() -> None:
    optim = pytest.importorskip('torchao.optim')
    weights = [nn.Parameter(torch.linspace(-1, 1, 8192)) for _ in range(2)]
    ours = OPTIMIZERS.build(dict(settings_of('torchao_AdamW8bit'), params=weights[:1]))
    theirs = optim.AdamW8bit(weights[1:], lr=0.01)
    for rate in (0.01, 0.1, 0.001):
        ours.param_groups[0]['lr'] = rate
        theirs.param_groups[0]['lr'].fill_(rate)
        for weight, optimizer in zip(weights, (ours, theirs), strict=True):
            weight.grad = weight.detach().sin()
            optimizer.step()
        assert ours.param_groups[0]['lr'] == rate
    assert torch.equal(*weights)
    assert weights[0].std() < torch.linspace(-1, 1, 8192).std()


def test_overrides_by_place_need_all_parameters_at_once() -> None:
    bitsandbytes = pytest.importorskip('bitsandbytes', reason='no part of the tests: [eightbit]')
    wrapper = OptimWrapper(bitsandbytes.optim.AdamW8bit(nn.Linear(2, 2).parameters()))
    assert obstacles(wrapper) == []
    wrapper.optimizer.mng.index2config[0, 1] = dict(optim_bits=32)
    try:
        assert obstacles(wrapper) == ['the optimizer AdamW8bit']
    finally:
        wrapper.optimizer.mng.index2config.clear()


@pytest.mark.parametrize(
    ('kind', 'package'), [('Radam8bit', 'bitsandbytes'), ('torchao_Radam8bit', 'torchao')]
)
def test_a_package_that_is_not_there_is_named(
    kind: str, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(eight_bit, 'find_spec', lambda _: None)
    part = Part('optim_wrapper.optimizer', dict(type=kind, lr=0.1), OPTIMIZERS, ('params',))
    message = rf"{kind} needs {package}: pip install 'mmseg-infopro\[eightbit\]'"
    with pytest.raises(ValueError, match=message):
        check_parts([part])
    with pytest.raises(ValueError, match=message):
        optimizer_copies(dict(optimizer=dict(type=kind, lr=0.1)))
