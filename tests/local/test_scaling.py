"""Each local module has its own loss scale, and skips its own updates."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest
import torch
from mmengine.optim import AmpOptimWrapper
from torch.optim import SGD

from mmseg_infopro.local.scaling import LocalAmpOptimWrapper
from mmseg_infopro.local.update import module_updates, obstacles
from mmseg_infopro.run.plain_config import plain_class
from tests.cpu_amp import CpuAmpOptimWrapper, CpuLocalAmpOptimWrapper
from tests.models import batch, build, model_config

BOUNDARIES = ['layer1.1', 'layer2.1']
SCALE = dict(init_scale=4.0, growth_interval=2)
OPTIMIZER = dict(lr=0.1, momentum=0.9, weight_decay=1e-2)


def model_of(**local: Any) -> Any:
    settings = dict(boundaries=BOUNDARIES, update_per_module=True)
    return build(model_config(local=settings | local))


def wrap(model: Any, cls: Any = CpuLocalAmpOptimWrapper, scale: Any = SCALE, **kwargs: Any) -> Any:
    optimizer = SGD(model.parameters(), **OPTIMIZER | kwargs)
    return cls(loss_scale=dict(scale), optimizer=optimizer)


def overflow_in(model: Any, path: str, steps: list[int]) -> None:
    """Let the gradient of a weight overflow in some steps."""
    count = iter(range(100))

    def spoil(gradient: torch.Tensor) -> torch.Tensor:
        return gradient * float('inf') if next(count) in steps else gradient

    model.get_submodule(path).weight.register_hook(spoil)


def by_hand(model: Any, num_steps: int) -> list[torch.amp.GradScaler]:
    """Train with one optimizer and one of torch's scalers for each module."""
    parts = [list(model.module_parameters(i).values()) for i in range(3)]
    optimizers = [SGD(part, **OPTIMIZER) for part in parts]
    scalers = [torch.amp.GradScaler('cpu', **SCALE) for _ in parts]  # type: ignore[arg-type]
    for step in range(num_steps):
        data = model.data_preprocessor(batch(size=32, seed=step), True)
        with torch.autocast('cpu', dtype=torch.bfloat16):
            losses = model.loss(**data)
        for index, (optimizer, scaler) in enumerate(zip(optimizers, scalers, strict=True)):
            tail = index == len(BOUNDARIES)
            name = ('decode.', 'aux.') if tail else f'local_{index}.'
            own = [v for k, v in losses.items() if k.startswith(name) and 'loss' in k]
            scaler.scale(sum(own)).backward(retain_graph=True)
            scaler.step(optimizer)
            scaler.update()
            optimizer.zero_grad()
    return scalers


def weights(model: Any) -> list[torch.Tensor]:
    return [parameter.detach().clone() for parameter in model.parameters()]


@pytest.mark.parametrize('fused', [False, True])
def test_steps_are_those_of_a_scaler_per_module_by_hand(fused: bool) -> None:
    ours, theirs = model_of(), model_of()
    for model in (ours, theirs):
        overflow_in(model, 'backbone.layer2.0.conv1', [1, 4])
    wrapper = wrap(ours, fused=fused)
    for step in range(6):
        ours.train_step(batch(size=32, seed=step), wrapper)
    scalers = by_hand(theirs, 6)
    for own, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(own, other, rtol=1e-5, atol=1e-6)
    found = [*(wrapper.module_scalers[i] for i in range(2)), wrapper.loss_scaler]
    assert [s.get_scale() for s in found] == [s.get_scale() for s in scalers]
    assert found[1].get_scale() == 2.0 < found[0].get_scale()


def test_an_overflow_skips_that_module_only() -> None:
    model = model_of()
    overflow_in(model, 'backbone.layer2.0.conv1', [0])
    before, wrapper = weights(model), wrap(model)
    model.train_step(batch(size=32), wrapper)
    same = {
        name
        for (name, parameter), value in zip(model.named_parameters(), before, strict=True)
        if torch.equal(parameter, value)
    }
    assert same == set(model.module_parameters(1))
    assert wrapper.module_scalers[1].get_scale() == 2.0
    assert wrapper.module_scalers[0].get_scale() == wrapper.loss_scaler.get_scale() == 4.0


def test_a_resumed_run_goes_on_bit_for_bit() -> None:
    model, other = model_of(), model_of()
    overflow_in(model, 'backbone.layer2.0.conv1', [1])
    wrapper = wrap(model)
    for step in range(3):
        model.train_step(batch(size=32, seed=step), wrapper)
    other.load_state_dict(model.state_dict())
    resumed = wrap(other)
    resumed.load_state_dict(deepcopy(wrapper.state_dict()))
    for each, its_wrapper in ((model, wrapper), (other, resumed)):
        for step in (3, 4):
            each.train_step(batch(size=32, seed=step), its_wrapper)
    assert all(map(torch.equal, model.state_dict().values(), other.state_dict().values()))
    assert (
        wrapper.state_dict()['module_loss_scalers'] == (resumed.state_dict()['module_loss_scalers'])
    )


def test_the_state_of_a_plain_wrapper_is_taken() -> None:
    model = model_of()
    plain, ours = wrap(model, CpuAmpOptimWrapper, dict(init_scale=8.0)), wrap(model)
    ours.load_state_dict(plain.state_dict())
    model.train_step(batch(size=32), ours)
    assert ours.module_scalers[0].get_scale() == 8.0


def test_overlapping_passes_wait_for_the_one_scale_of_all() -> None:
    schedule = dict(type='Overlapping')
    ours, theirs = model_of(schedule=schedule), model_of(schedule=schedule)
    wrapper, other = wrap(ours), wrap(theirs, CpuAmpOptimWrapper)
    for step in range(2):
        ours.train_step(batch(size=32, seed=step), wrapper)
        theirs.train_step(batch(size=32, seed=step), other)
    assert all(map(torch.equal, weights(ours), weights(theirs)))
    assert not wrapper.module_scalers


def test_a_frozen_tail_leaves_nothing_to_update_at_the_end() -> None:
    model = model_of()
    for parameter in model.module_parameters(2).values():
        parameter.requires_grad_(False)
    before = weights(model)
    model.train_step(batch(size=32), wrap(model))
    assert not torch.equal(before[0], next(model.parameters()))


def test_shared_parameters_and_a_single_scale_stand_in_the_way() -> None:
    model = model_of()
    assert obstacles(wrap(model)) == []
    assert 'LocalAmpOptimWrapper has for each' in obstacles(wrap(model, CpuAmpOptimWrapper))[0]
    model.decode_head.conv_seg.bias = model.auxiliary_head.conv_seg.bias
    assert module_updates(model, wrap(model)) is None


def test_it_exports_as_mmengines() -> None:
    assert plain_class(LocalAmpOptimWrapper) is AmpOptimWrapper
