"""``update_per_module`` changes when parameters are updated, not what they become."""

from __future__ import annotations

import inspect
import logging
import warnings
from collections.abc import Callable
from io import StringIO
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from mmengine.logging import MMLogger
from mmengine.logging.logger import FilterDuplicateWarning
from mmengine.optim import OptimWrapper, OptimWrapperDict, PolyLR
from torch import nn

from mmseg_infopro.hooks.gradient_watch import GradientWatch
from mmseg_infopro.local.update import SEPARABLE, ModuleUpdates, module_updates
from tests.cpu_amp import CpuAmpOptimWrapper
from tests.models import KeepGradients, batch, build, dry_step_peak, gradients, model_config

BOUNDARIES = ['layer1.1', 'layer2.1', 'layer3.1']
OPTIMIZERS: dict[str, dict[str, Any]] = {
    'SGD': dict(lr=0.1, momentum=0.9, weight_decay=1e-2),
    'AdamW': dict(lr=1e-2, weight_decay=0.1),
}


class NormedSGD(torch.optim.SGD):
    """An optimizer that nothing is known of."""


class OwnStep(OptimWrapper):
    """A wrapper that nothing is known of."""

    def step(self, **kwargs: Any) -> None:
        super().step(**kwargs)


def model_of(
    early: bool, boundaries: list[str] | None = None, frozen_stages: int = -1, **settings: Any
) -> Any:
    local = dict(
        boundaries=BOUNDARIES if boundaries is None else boundaries,
        update_per_module=early,
        **settings,
    )
    cfg = model_config(local=local)
    cfg['backbone']['frozen_stages'] = frozen_stages
    return build(cfg)


def train(model: Any, optim_wrapper: OptimWrapper, num_steps: int = 3) -> list[dict[str, Any]]:
    return [model.train_step(batch(size=32, seed=s), optim_wrapper) for s in range(num_steps)]


def wrap(model: Any, name: str = 'SGD', groups: bool = False) -> OptimWrapper:
    """Return a wrapper of one parameter group, or of one for each parameter."""
    parameters = [dict(params=[p]) for p in model.parameters()] if groups else model.parameters()
    return OptimWrapper(getattr(torch.optim, name)(parameters, **OPTIMIZERS[name]))


def assert_same(left: Any, right: Any) -> None:
    """Compare nests of tensors bit for bit."""
    if isinstance(left, dict):
        assert left.keys() == right.keys()
        for key in left:
            assert_same(left[key], right[key])
    elif isinstance(left, list):
        assert len(left) == len(right)
        for pair in zip(left, right, strict=True):
            assert_same(*pair)
    else:
        assert torch.equal(left, right) if torch.is_tensor(left) else left == right


def told(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    messages: list[str] = []
    monkeypatch.setattr(MMLogger.get_current_instance(), 'warning', messages.append)
    return messages


@pytest.mark.parametrize('groups', [False, True])
@pytest.mark.parametrize('name', OPTIMIZERS)
@pytest.mark.parametrize('frozen_stages', [-1, 1])
def test_three_steps_are_the_same_bit_for_bit(frozen_stages: int, name: str, groups: bool) -> None:
    results = []
    for early in (False, True):
        model = model_of(early, frozen_stages=frozen_stages)
        assert [module.aux_heads for module in model.local_modules] == [(), (), (0,), ()]
        wrapper = wrap(model, name, groups)
        logs = train(model, wrapper)
        results.append([logs, model.state_dict(), wrapper.state_dict(), wrapper.inner_count])
    assert_same(*results)


def test_three_steps_are_those_of_a_plain_loop() -> None:
    model, twin = model_of(True), model_of(False)
    train(model, wrap(model))
    optimizer = torch.optim.SGD(twin.parameters(), **OPTIMIZERS['SGD'])
    for step in range(3):
        losses = twin(**twin.data_preprocessor(batch(size=32, seed=step), True), mode='loss')
        optimizer.zero_grad()
        sum(value for name, value in losses.items() if 'loss' in name).backward()
        optimizer.step()
    for name, value in twin.state_dict().items():
        torch.testing.assert_close(model.state_dict()[name], value, rtol=1e-4, atol=1e-5, msg=name)


@pytest.mark.parametrize('foreach', [False, True])
@pytest.mark.parametrize('cls', sorted(SEPARABLE, key=str), ids=lambda cls: cls.__name__)
def test_every_known_optimizer_is_separable(
    cls: type[torch.optim.Optimizer], foreach: bool
) -> None:
    takes_foreach = 'foreach' in inspect.signature(cls).parameters
    kwargs = dict(foreach=foreach) if takes_foreach else {}
    results = []
    for early in (False, True):
        generator = torch.Generator().manual_seed(0)
        parameters = [nn.Parameter(torch.randn(5, 3, generator=generator)) for _ in range(4)]
        optimizer: Any = cls(parameters, lr=0.1, **kwargs)
        modules: Any = SimpleNamespace(
            unshared_parameters=(frozenset(parameters[:1]), frozenset(parameters[1:3]))
        )
        for _ in range(4):
            updates = ModuleUpdates(modules, OptimWrapper(optimizer))
            for parameter in parameters:
                gradient = torch.randn(5, 3, generator=generator)
                is_sparse = cls is torch.optim.SparseAdam
                parameter.grad = gradient.to_sparse() if is_sparse else gradient
            for index in (0, 1) if early else ():
                updates.update([index])
                assert all(p.grad is None for p in modules.unshared_parameters[index])
            assert parameters[3].grad is not None
            optimizer.step()
        results.append([dict(enumerate(parameters)), optimizer.state_dict()])
    assert_same(*results)


def test_gradients_are_gone_before_the_next_module() -> None:
    model = model_of(True)
    seen: list[Any] = []
    backbone = model.backbone
    for index, layer in enumerate([backbone.layer2, backbone.layer3, backbone.layer4], start=1):
        layer[0].register_forward_pre_hook(lambda *_, i=index: seen.append((i, gradients(model))))
    train(model, wrap(model), num_steps=1)
    assert seen == [(1, {}), (2, {}), (3, {})]


def peak(early: bool, boundaries: list[str]) -> Any:
    model = model_of(early, boundaries)
    cfg = dict(type='OptimWrapper', optimizer=dict(type='SGD', lr=0.1, momentum=0.9))
    return dry_step_peak(model, cfg, lambda: batch(128)), model


def test_the_tails_peak_falls_by_the_earlier_modules_gradients() -> None:
    boundaries = ['stem', 'layer1.0', 'layer1.1']
    (together, model), (early, _) = peak(False, boundaries), peak(True, boundaries)
    num_bytes = sum(
        p.nbytes
        for index in range(len(boundaries))
        for p in model.module_parameters(index).values()
    )
    assert together.total - early.total == num_bytes
    assert together.gradients - early.gradients == num_bytes


@pytest.mark.parametrize(
    ('kwargs', 'obstacle'),
    [
        (dict(clip_grad=dict(max_norm=0.1)), 'gradient clipping'),
        (dict(accumulative_counts=2), 'gradient accumulation'),
        (
            dict(type=CpuAmpOptimWrapper),
            'loss scaling by one scale, which LocalAmpOptimWrapper has for each module',
        ),
        (dict(type=OwnStep), 'OwnStep, which updates in its own way'),
        (dict(optimizer=NormedSGD), 'the optimizer NormedSGD'),
        (dict(hook=True), "hooks on the optimizer's step"),
        (
            dict(accumulative_counts=2, clip_grad=dict(max_norm=0.1)),
            'gradient clipping, gradient accumulation',
        ),
    ],
)
def test_what_needs_all_gradients_is_named_and_trains_as_without(
    kwargs: dict[str, Any], obstacle: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    messages, results = told(monkeypatch), []
    kwargs = dict(kwargs)
    wrapper_type = kwargs.pop('type', OptimWrapper)
    optimizer_type = kwargs.pop('optimizer', torch.optim.SGD)
    has_hook = kwargs.pop('hook', False)
    for early in (False, True):
        model = model_of(early)
        optimizer = optimizer_type(model.parameters(), lr=0.1)
        if has_hook:
            optimizer.register_step_post_hook(lambda *_: None)
        settings = {key: dict(v) if isinstance(v, dict) else v for key, v in kwargs.items()}
        train(model, wrapper_type(optimizer=optimizer, **settings))
        assert bool(messages) == early
        results.append(model.state_dict())
    assert set(messages) == {
        f'local.update_per_module is ignored because of {obstacle}: all local modules are updated '
        'together, and their gradients are kept up to then'
    }
    assert_same(*results)


def test_the_log_shows_the_warning_once() -> None:
    shown, logger, model = StringIO(), MMLogger.get_current_instance(), model_of(True)
    handler = logging.StreamHandler(shown)
    handler.addFilter(FilterDuplicateWarning())  # as mmengine's own
    logger.addHandler(handler)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    train(model, OptimWrapper(optimizer, clip_grad=dict(max_norm=0.1)))
    logger.removeHandler(handler)
    assert shown.getvalue().count('update_per_module is ignored') == 1


def test_several_optimizers_and_lbfgs_are_not_supported(monkeypatch: pytest.MonkeyPatch) -> None:
    messages, model = told(monkeypatch), model_of(True)
    lbfgs = OptimWrapper(torch.optim.LBFGS(model.parameters()))
    for wrapper in (lbfgs, OptimWrapperDict(backbone=wrap(model))):
        assert module_updates(model, wrapper) is None
    assert 'because of the optimizer LBFGS:' in messages[0]
    assert 'because of OptimWrapperDict, which' in messages[1]


def test_mixed_precision_without_loss_scaling_is_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    messages, results = told(monkeypatch), []
    for early in (False, True):
        model = model_of(early)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        train(model, CpuAmpOptimWrapper(loss_scale=dict(enabled=False), optimizer=optimizer))
        results.append(model.state_dict())
    assert not messages
    assert_same(*results)


def test_one_module_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    messages, model = told(monkeypatch), model_of(True, [], recompute='cheap')
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    train(model, OptimWrapper(optimizer, clip_grad=dict(max_norm=0.1)), num_steps=1)
    assert not messages


@pytest.mark.parametrize(
    'of_optimizer',
    [lambda it: PolyLR(it, end=10), lambda it: torch.optim.lr_scheduler.StepLR(it, 1)],
)
def test_schedulers_count_one_update_per_step(of_optimizer: Callable[..., Any]) -> None:
    model = model_of(True)
    wrapper = wrap(model)
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        schedulers = [PolyLR(wrapper, end=10), of_optimizer(wrapper.optimizer)]
        train(model, wrapper)
        for scheduler in schedulers:
            scheduler.step()
    assert wrapper._global_step == -1 + 3
    assert getattr(wrapper.optimizer, '_global_step', wrapper._global_step) == -1 + 3
    assert wrapper.inner_count == 3


def test_the_check_of_the_first_step_sees_each_modules_gradients() -> None:
    model = model_of(True)
    wrapper = wrap(model)
    watch = GradientWatch(model)
    train(model, wrapper, num_steps=1)
    report = watch.report(list(model.parameters()))
    assert {update.name for update in report} == {name for name, _ in model.named_parameters()}
    assert all(update.sources == {update.owner} and update.finite for update in report)


def test_a_parameter_of_two_modules_waits_for_the_end() -> None:
    results = []
    for early in (False, True):
        model = model_of(early)
        model.decode_head.conv_seg.bias = model.auxiliary_head.conv_seg.bias
        train(model, wrap(model))
        results.append(model.state_dict())
    assert_same(*results)


def test_gradient_after_a_modules_update_is_refused() -> None:
    model = model_of(True)
    weight = model.backbone.stem[0].weight
    model.decode_head.conv_seg.register_forward_hook(lambda *args: args[-1] + weight.sum())
    with pytest.raises(
        ValueError,
        match=r'must be False for this model: 1 parameter\(s\), as backbone.stem.0.weight',
    ):
        train(model, wrap(model), num_steps=1)


CLIP = dict(max_norm=0.03)


def model_of_own_norms(update: str = 'module', **local: Any) -> Any:
    boundaries = ['layer1.1', 'layer2.1']
    return build(model_config(local=dict(boundaries=boundaries, update=update, **local)))


def test_each_module_is_clipped_by_its_own_norm() -> None:
    """The weights of SGD by hand: gradients of a module over their own norm."""
    model, reference = model_of_own_norms(), model_of_own_norms()
    keep = KeepGradients.wrap(reference)
    reference.update_per_module = False
    reference.train_step(batch(), keep)
    norms = []
    with torch.no_grad():
        for index in range(3):
            parameters = [p for p in reference.module_parameters(index).values() if p.requires_grad]
            norms.append(torch.cat([p.grad.flatten() for p in parameters]).norm().item())
            for parameter in parameters:
                parameter -= 0.5 * min(1.0, 0.03 / (norms[-1] + 1e-6)) * parameter.grad
    wrapper = OptimWrapper(torch.optim.SGD(model.parameters(), lr=0.5), clip_grad=dict(CLIP))
    model.train_step(batch(), wrapper)
    for name, parameter in reference.named_parameters():
        torch.testing.assert_close(model.get_parameter(name), parameter, rtol=1e-5, atol=1e-6)
    hub = wrapper.message_hub
    names = ['train/local_0.grad_norm', 'train/local_1.grad_norm', 'train/grad_norm']
    found = [hub.get_scalar(name).current() for name in names]
    torch.testing.assert_close(found, norms, rtol=1e-4, atol=0.0)
    assert min(norms) > 0.03  # else nothing is clipped


def test_modules_of_their_own_updates_accumulate() -> None:
    """Without clipping the update of each is a part of the one of all."""
    weights = []
    for update in ('module', 'step'):
        model = model_of_own_norms(update)
        wrapper = OptimWrapper(torch.optim.SGD(model.parameters(), lr=0.1), accumulative_counts=2)
        wrapper.initialize_count_status(model, 0, 3)
        for step in range(3):  # the last one updates too, after one batch
            before = {name: p.clone() for name, p in model.named_parameters()}
            model.train_step(batch(size=32, seed=step), wrapper)
            moved = [not torch.equal(before[name], p) for name, p in model.named_parameters()]
            assert any(moved) == (step > 0)
        weights.append(model.state_dict())
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


def test_updates_of_modules_that_cannot_be_are_refused() -> None:
    model = model_of_own_norms()
    with pytest.raises(
        ValueError, match=r"local\.update='module' does not go with the optimizer LB"
    ):
        module_updates(model, OptimWrapper(torch.optim.LBFGS(model.parameters())))
