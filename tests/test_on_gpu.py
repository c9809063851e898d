"""What holds on a CPU, on a GPU."""

from __future__ import annotations

from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from mmengine.config import Config

from mmseg_infopro.config.localize import localize
from mmseg_infopro.config.methods import METHODS
from mmseg_infopro.config.resolve import resolve
from mmseg_infopro.hooks.rng_state_hook import _set_torch_state, get_rng_state
from mmseg_infopro.report.card.group_rows import group_of_one
from mmseg_infopro.report.combinations import CHECKS, _cell
from mmseg_infopro.report.timing import real_config_step
from mmseg_infopro.report.tiny import BOUNDARIES, Run, tiny_configs, tiny_plain

pytestmark = pytest.mark.cuda
DOCS = Path(__file__).parents[1] / 'docs/combinations.md'
LOCAL_METHODS = [name for name in METHODS if name != 'e2e']


@pytest.fixture(autouse=True)
def on_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Run there, with sums as exact as a CPU's."""
    monkeypatch.setattr(Run, 'device', 'cuda')
    monkeypatch.setattr(torch.backends.cudnn, 'allow_tf32', False)


@cache
def method_config(name: str) -> Config:
    (cfg,) = tiny_configs([name]).values()
    return cfg


def recipe_config(recipe: str) -> Config:
    cfg = localize(tiny_plain(), boundaries=BOUNDARIES, recipe=recipe)
    return resolve(cfg)


@pytest.mark.parametrize('title', CHECKS)
@pytest.mark.parametrize('method', LOCAL_METHODS)
def test_methods_combine_as_the_docs_say(method: str, title: str) -> None:
    lines = DOCS.read_text().splitlines()
    titles, *rows = (line.strip('| ').split(' | ') for line in lines if line.startswith('| '))
    (cells,) = (dict(zip(titles, row, strict=True)) for row in rows if row[0] == method)
    found = _cell(CHECKS[title], deepcopy(method_config(method)))
    assert found.split(':')[0] == cells[title].split(' ')[0], found


def first_losses(device: str, cfg: Config) -> dict[str, float]:
    step = real_config_step(cfg, device)
    log = step.model.train_step(step.batch, step.optim_wrapper)
    return {name: float(value) for name, value in log.items() if 'loss' in name}


@pytest.mark.parametrize('recipe', ['plain', 'lean'])
def test_the_losses_of_a_step_are_those_of_a_cpu(recipe: str) -> None:
    cfg = recipe_config(recipe)
    for part in (cfg.model.decode_head, cfg.model.auxiliary_head, *cfg.model.local.heads):
        if 'Reconstruction' not in part.type:
            part.dropout_ratio = 0
    assert first_losses('cuda', cfg) == pytest.approx(first_losses('cpu', cfg), rel=1e-3)


def gradients_with(recompute: str) -> dict[str, torch.Tensor]:
    cfg = recipe_config('plain')
    cfg.model.local.recompute = recompute
    cfg.optim_wrapper.optimizer = dict(type='SGD', lr=1.0)
    step = real_config_step(cfg, 'cuda')
    before = {name: p.detach().clone() for name, p in step.model.named_parameters()}
    torch.manual_seed(1)  # dropout's
    step.take()
    return {name: before[name] - p for name, p in step.model.named_parameters()}


@pytest.mark.parametrize('recompute', ['cheap', 'units'])
def test_recomputing_draws_the_same_dropout_again(recompute: str) -> None:
    expected, found = gradients_with('none'), gradients_with(recompute)
    for name, gradient in expected.items():
        assert torch.allclose(found[name], gradient, rtol=1e-3, atol=1e-5), name


@pytest.mark.parametrize('recipe', ['plain', 'free', 'lean'])
def test_float16_trains_with_loss_scaling(recipe: str) -> None:
    cfg = localize(tiny_plain(), boundaries=BOUNDARIES, recipe=recipe)
    cfg.optim_wrapper.update(type='AmpOptimWrapper', dtype='float16')
    step = real_config_step(resolve(cfg), 'cuda')
    before = deepcopy(step.model.state_dict())
    for _ in range(20):  # the first ones may overflow
        step.take()
    after = step.model.state_dict()
    assert all(value.isfinite().all() for value in after.values())
    trained = [name for name, parameter in step.model.named_parameters()]
    assert all(not torch.equal(after[name], before[name]) for name in trained)


def test_random_numbers_of_the_device_are_restored() -> None:
    torch.rand(1, device='cuda')
    state = get_rng_state()
    expected = torch.rand(4, device='cuda'), torch.rand(4)
    # A resume loads checkpoints onto the device.
    moved: dict[str, Any] = {**state, 'cuda': state['cuda'].cuda(), 'torch': state['torch'].cuda()}
    _set_torch_state(moved)
    assert torch.equal(torch.rand(4, device='cuda'), expected[0])
    assert torch.equal(torch.rand(4), expected[1])


def test_nccl_averages_a_group_of_one() -> None:
    from mmseg_infopro.parallel import LocalDataParallel

    cfg = recipe_config('lean')
    with group_of_one('cuda') as backend:
        alone, wrapped = (real_config_step(cfg, 'cuda') for _ in range(2))
        wrapped.model = LocalDataParallel(wrapped.model)
        for step in (alone, wrapped):
            torch.manual_seed(0)
            step.take()
        pairs = zip(alone.model.parameters(), wrapped.model.parameters(), strict=True)
        assert all(torch.allclose(a, b, rtol=1e-3, atol=1e-5) for a, b in pairs)
        del wrapped, step
    assert backend == 'nccl'
