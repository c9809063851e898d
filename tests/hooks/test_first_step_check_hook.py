import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import torch.distributed as dist
from mmengine.optim import OptimWrapper
from mmengine.runner import Runner
from torch import nn

from mmseg_infopro.hooks import FirstStepCheckHook
from mmseg_infopro.parallel import LocalDataParallel
from tests.cpu_amp import CpuAmpOptimWrapper
from tests.models import batch, build, model_config

LOCAL = dict(boundaries=['layer2.1'])


def train(
    model: Any, hook: FirstStepCheckHook, steps: int = 1, wrapper: Any = OptimWrapper, **kwargs: Any
) -> None:
    """What a Runner does, as far as the hook sees it."""
    inner = getattr(model, 'module', model)
    parameters = kwargs.pop('parameters', list(inner.parameters()))
    optim_wrapper = wrapper(optimizer=torch.optim.SGD(parameters, lr=0.01), **kwargs)
    logger = logging.getLogger('first_step_check_hook')
    runner: Any = SimpleNamespace(model=model, optim_wrapper=optim_wrapper, logger=logger)
    hook.before_train(runner)
    for step in range(steps):
        hook.before_train_iter(runner)
        model.train_step(batch(size=32, seed=step), optim_wrapper)
        hook.after_train_iter(runner)


def watched(model: nn.Module) -> list[str]:
    return [name for name, p in model.named_parameters() if p._post_accumulate_grad_hooks]


def add_unused(model: Any) -> Any:
    model.decode_head.unused = nn.Parameter(torch.ones(1))
    return model


@pytest.mark.parametrize('local', [None, dict(num_modules=1), LOCAL])
def test_a_sound_model_passes_and_nothing_is_left_on_it(local: Any) -> None:
    model = build(model_config(local=local))
    hook = FirstStepCheckHook()
    train(model, hook, clip_grad=dict(max_norm=1.0))
    assert watched(model) == []


def test_frozen_stages_pass() -> None:
    cfg = model_config(local=dict(boundaries=['layer1.1', 'layer3.0']))
    cfg['backbone']['frozen_stages'] = 2
    train(build(cfg), FirstStepCheckHook())


def test_parameters_without_gradient_are_named() -> None:
    model = add_unused(build(model_config(local=LOCAL)))
    with pytest.raises(ValueError, match=r'^1 .* no gradient: decode_head.unused \(local module 1'):
        train(model, FirstStepCheckHook())
    assert watched(model) == []


def test_parameters_may_be_unused_by_name_or_pattern() -> None:
    train(add_unused(build(model_config(local=LOCAL))), FirstStepCheckHook(['decode_head.un*']))


@pytest.mark.parametrize('local', [None, dict(num_modules=1)])
def test_end_to_end_models_are_warned_of(local: Any, caplog: pytest.LogCaptureFixture) -> None:
    train(add_unused(build(model_config(local=local))), FirstStepCheckHook())
    assert '1 trainable parameter(s) got no gradient: decode_head.unused;' in caplog.text


def test_parameters_outside_of_the_optimizer_are_named() -> None:
    model = build(model_config(local=LOCAL))
    most = [p for name, p in model.named_parameters() if name != 'backbone.stem.0.weight']
    message = r'not in the optimizer: backbone.stem.0.weight \(local module 0\)'
    with pytest.raises(ValueError, match=message):
        train(model, FirstStepCheckHook(), parameters=most)


def test_parameters_that_two_modules_train_are_named() -> None:
    model = build(model_config(local=LOCAL))
    model.local_heads['layer2-1'][0].conv_seg = model.decode_head.conv_seg
    with pytest.raises(ValueError, match=r'conv_seg.weight \(local modules 0 and 1\)'):
        train(model, FirstStepCheckHook())


@pytest.mark.parametrize('value', [float('inf'), float('nan')])
def test_gradients_that_are_not_finite_are_named(value: float) -> None:
    model = build(model_config(local=LOCAL))
    model.backbone.layer1[0].conv1.weight.register_hook(lambda gradient: gradient * value)
    message = r'^1 trainable .* not finite: backbone.layer1.0.conv1.weight \(local module 0\)'
    with pytest.raises(ValueError, match=message):
        train(model, FirstStepCheckHook())


def test_all_steps_of_an_accumulation_count() -> None:
    model = add_unused(build(model_config(local=LOCAL)))
    calls: list[None] = []

    def used_in_the_second_step(layer: Any, args: Any, output: torch.Tensor) -> torch.Tensor:
        calls.append(None)
        return output * model.decode_head.unused if len(calls) == 2 else output

    model.decode_head.conv_seg.register_forward_hook(used_in_the_second_step)
    train(model, FirstStepCheckHook(), steps=2, accumulative_counts=2)
    assert watched(model) == []


@pytest.mark.parametrize(('steps', 'still_watched'), [(1, True), (6, False)])
def test_with_loss_scaling_a_finite_update_is_waited_for(steps: int, still_watched: bool) -> None:
    model = build(model_config(local=LOCAL))
    model.backbone.layer1[0].conv1.weight.register_hook(lambda gradient: gradient * 2.0**20)
    scaling = dict(init_scale=2.0**127, backoff_factor=2.0**-10)
    train(model, FirstStepCheckHook(), steps, wrapper=CpuAmpOptimWrapper, loss_scale=scaling)
    assert bool(watched(model)) is still_watched


def test_loss_scaling_may_not_skip_for_ever() -> None:
    model = build(model_config(local=LOCAL))
    model.backbone.layer1[0].conv1.weight.register_hook(lambda gradient: gradient * float('nan'))
    hook = FirstStepCheckHook(max_skipped_updates=2)
    train(model, hook, steps=2, wrapper=CpuAmpOptimWrapper)
    with pytest.raises(ValueError, match=r'not finite: backbone.layer1.0.conv1.weight'):
        train(model, hook, wrapper=CpuAmpOptimWrapper)


@pytest.fixture
def single_process(tmp_path: Path) -> Iterator[None]:
    dist.init_process_group('gloo', init_method=f'file://{tmp_path}/group', rank=0, world_size=1)
    yield
    dist.destroy_process_group()


def test_data_parallel_models_are_looked_into(single_process: None) -> None:
    train(LocalDataParallel(build(model_config(local=LOCAL))), FirstStepCheckHook())
    model = LocalDataParallel(add_unused(build(model_config(local=LOCAL))))
    with pytest.raises(ValueError, match=r': decode_head.unused \(local module 1\)'):
        train(model, FirstStepCheckHook())


def test_patterns_that_match_nothing_are_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    train(build(model_config()), FirstStepCheckHook(allow_unused=['neck.*']))
    assert 'allow_unused: no parameter is called neck.*' in caplog.text


def test_a_single_pattern_must_be_in_a_list() -> None:
    with pytest.raises(TypeError, match=r"must be a list of patterns, got 'neck\.\*'"):
        FirstStepCheckHook(allow_unused='neck.*')


def test_a_runner_stops_before_it_saves(
    build_runner: Callable[..., Runner], tmp_path: Path
) -> None:
    checkpoint = dict(type='CheckpointHook', by_epoch=False, interval=1)
    runner = build_runner(
        tmp_path,
        default_hooks=dict(checkpoint=checkpoint),
        custom_hooks=[dict(type='FirstStepCheckHook')],
    )
    add_unused(runner.model)
    with pytest.raises(ValueError, match=r'no gradient: decode_head\.unused'):
        runner.train()
    assert not list(tmp_path.glob('*.pth'))
