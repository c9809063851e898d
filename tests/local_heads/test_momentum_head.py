"""Momentum auxiliary networks against their formula in plain autograd."""

from copy import deepcopy

import pytest
import torch
from mmengine.model import ExponentialMovingAverage
from mmengine.optim import OptimWrapper

from mmseg_infopro.upstream import tree_leaves, tree_map
from tests.cpu_amp import CpuAmpOptimWrapper, CpuLocalAmpOptimWrapper
from tests.local.by_formula import CONFIGS, Formula, assert_close, gradients_of, stop, twins
from tests.models import KeepGradients, batch, build, dry_step_peak, gradients

MLP = dict(type='MLPHead', channels=8)
COPIED = {
    ('resnet', 'next'): [['layer2.0'], ['layer3.0'], ['layer4.0']],
    ('swin', 'next'): [['stages.0.downsample'], ['stages.1.downsample'], ['stages.2.downsample']],
    ('resnet', 'stage'): [['layer2.0'], ['layer3.0'], ['layer4.0']],
    ('swin', 'stage'): [
        ['stages.0.downsample', 'stages.1.blocks.0'],
        ['stages.1.downsample', 'stages.2.blocks.0'],
        ['stages.2.downsample', 'stages.3.blocks.0'],
    ],
}


def settings(**kwargs):
    return [dict(type='MomentumHead', head=MLP, **kwargs)]


def config(kind, num_modules, head=None, **local):
    return CONFIGS[kind](num_modules, heads=settings(**(head or {})), **local)


def head_of(model, index=0):
    return model.local_heads[model.boundaries[index].replace('.', '-')][0]


class ByHand(Formula):
    """The formula with copies of whole backbones, of which only the named units run."""

    def __init__(self, model, copied, scaled):
        super().__init__(model)
        self.copied, self.scaled = copied, scaled
        self.lb, self.ema = ([deepcopy(model.backbone) for _ in model.boundaries] for _ in range(2))

    def run(self, backbone, names, state):
        for unit in self.units:
            if unit.name in names:
                state = unit.apply(backbone, state)
        return state

    def local(self, index, state):
        scale = head_of(self.model, index).scale if self.scaled else 1.0
        names = self.copied[index]
        pair = [self.run(copies[index], names, state) for copies in (self.lb, self.ema)]
        both = tree_map(
            lambda a, b: scale * a + (2 - scale) * b if torch.is_tensor(a) else a, *pair
        )
        border = self.model.backbone.border_features(both)
        return head_of(self.model, index).head.loss(border, self.samples, {})['loss_ce']


@pytest.mark.parametrize(
    ('kind', 'unit', 'num_modules'),
    [('resnet', 'next', 4), ('resnet', 'stage', 2), ('swin', 'next', 2), ('swin', 'stage', 4)],
)
def test_losses_and_gradients_are_those_of_the_formula(kind, unit, num_modules):
    head = dict(unit=unit, scaled=unit == 'stage')
    model, twin = twins(kind, num_modules, heads=settings(**head))
    copied = COPIED[kind, unit] if num_modules == 4 else COPIED[kind, unit][1:]
    formula = ByHand(twin, copied, head['scaled'])
    state, total, read_off, values = formula.image, 0.0, {}, []
    for index in range(num_modules):
        state, own = formula.f(index, stop(state))
        read_off = {**stop(read_off), **own}
        values.append(formula.loss(index, state, read_off))
        total = total + values[-1]
    expected = gradients_of(twin, total)
    log = model.train_step(batch(), KeepGradients.wrap(model))
    for index in range(num_modules - 1):
        lb = formula.lb[index]
        names = {f'{name}.' for name in copied[index]}
        own = {n: p for n, p in lb.named_parameters() if n.startswith(tuple(names))}
        found = torch.autograd.grad(formula.local(index, stop_at(formula, index)), own.values())
        prefix = f'local_heads.{model.boundaries[index].replace(".", "-")}.0.lb.parts.'
        expected |= {prefix + name: g for name, g in zip(own, found, strict=True)}
    assert_close(gradients(model), expected)
    torch.testing.assert_close(log['loss'], total.detach(), rtol=1e-4, atol=1e-5)


def stop_at(formula, index):
    """Return h_index, detached."""
    state = formula.image
    for module in range(index + 1):
        state, _ = formula.f(module, stop(state))
    return stop(state)


def train(model, steps=range(3), lr=0.1, fused=False, **kwargs):
    wrapper = OptimWrapper(torch.optim.SGD(model.parameters(), lr=lr, fused=fused), **kwargs)
    weights = []
    for step in steps:
        model.train_step(batch(size=32, seed=step), wrapper)
        weights.append(deepcopy(model.backbone.layer3[0].state_dict()))
    return weights


@pytest.mark.parametrize('fused', [False, True])
@pytest.mark.parametrize('local', [{}, dict(update_per_module=True)])
def test_the_average_follows_each_update(local, fused):
    model = build(config('resnet', 2, **local))
    expected = {n: p.detach().clone() for n, p in model.backbone.layer3[0].named_parameters()}
    for weights in train(model, lr=100, fused=fused):
        expected = {n: 0.995 * e + 0.005 * weights[n] for n, e in expected.items()}
    check_average(model, expected)
    own = dict(head_of(model).lb.parts.layer3[0].named_parameters())
    assert all(not torch.equal(own[name], expected[name]) for name in expected)


def check_average(model, expected):
    own = dict(head_of(model).ema.parts.layer3[0].named_buffers())
    for name, value in expected.items():
        torch.testing.assert_close(own[name], value, rtol=1e-6, atol=1e-7)


def test_the_average_moves_once_per_update():
    model = build(config('resnet', 2))
    expected = {n: p.detach().clone() for n, p in model.backbone.layer3[0].named_parameters()}
    weights = train(model, range(4), accumulative_counts=2)
    for step in (1, 3):
        expected = {n: 0.995 * e + 0.005 * weights[step][n] for n, e in expected.items()}
    check_average(model, expected)


@pytest.mark.parametrize('fused', [False, True])
@pytest.mark.parametrize('wrapper', [CpuAmpOptimWrapper, CpuLocalAmpOptimWrapper])
def test_the_average_stays_where_an_overflow_skips_the_update(wrapper, fused):
    model = build(config('resnet', 2, update_per_module=True))
    optimizer = torch.optim.SGD(model.parameters(), lr=100, fused=fused)
    weight = model.backbone.layer3[0].conv1.weight
    begun = weight.detach().clone()
    model.train_step(batch(), wrapper(optimizer=optimizer))
    average = deepcopy(head_of(model).ema.state_dict())
    expected = 0.995 * begun + 0.005 * weight
    torch.testing.assert_close(average['parts.layer3.0.conv1.weight'], expected)
    weight.register_hook(lambda gradient: gradient / 0)
    model.train_step(batch(), wrapper(optimizer=optimizer))
    assert all(
        torch.equal(v, average[n])
        for n, v in head_of(model).ema.state_dict().items()
        if 'running' not in n and 'tracked' not in n
    )


def test_it_is_saved_and_goes_on():
    model, other = build(config('resnet', 2)), build(config('resnet', 2), seed=1)
    train(model)
    other.load_state_dict(model.state_dict())
    train(model, range(3, 5))
    train(other, range(3, 5))
    ours, theirs = model.state_dict(), other.state_dict()
    assert all(torch.equal(value, theirs[name]) for name, value in ours.items())


def test_copies_begin_with_the_weights_of_the_first_loss():
    model = build(config('resnet', 2))
    model.backbone.layer3.requires_grad_(False)
    for parameter in model.backbone.layer3.parameters():
        parameter.fill_(0.25)
    model.train_step(batch(), KeepGradients.wrap(model))
    copies = head_of(model).lb.parts.layer3, head_of(model).ema.parts.layer3
    assert all((layer[0].conv1.weight == 0.25).all() for layer in copies)


def test_the_average_is_no_parameter_and_the_scale_learns():
    model = build(config('resnet', 2, dict(scaled=True)))
    assert not list(head_of(model).ema.parameters())
    assert sum('.lb.' in name for name, _ in model.named_parameters()) == 9
    train(model, range(2))  # at the first loss both copies are equal
    assert head_of(model).scale.item() != 1


def test_the_rest_of_the_network_forgets_nothing_in_an_average_of_weights():
    model = build(config('resnet', 2))
    average = ExponentialMovingAverage(model, update_buffers=True)
    train(model, range(1))
    average.update_parameters(model)
    ours, theirs = model.state_dict(), average.module.state_dict()
    assert all(torch.equal(value, theirs[name]) for name, value in ours.items())


def test_it_runs_dry_and_in_mixed_precision():
    model = build(config('swin', 2))
    cfg = dict(type='OptimWrapper', optimizer=dict(type='SGD', lr=0.1))
    assert dry_step_peak(model, cfg, batch).total
    assert not head_of(model).follows
    log = model.train_step(
        batch(), CpuAmpOptimWrapper(optimizer=torch.optim.SGD(model.parameters(), 0.1))
    )
    assert log['loss'].isfinite()


@pytest.mark.parametrize(('kind', 'unit'), [('resnet', 'next'), ('swin', 'stage')])
def test_partitions_are_planned_with_it(kind, unit):
    cfg = config(kind, 2, dict(unit=unit))
    cfg['local'].pop('boundaries')
    cfg['local']['num_modules'] = 3
    assert len(build(cfg).boundaries) == 2


def test_a_wrong_word_and_a_wrong_share_are_refused():
    with pytest.raises(ValueError, match="unit must be 'next' or 'stage', got 'last'"):
        build(config('resnet', 2, dict(unit='last')))
    with pytest.raises(ValueError, match='momentum must be from 0 to 1, got 2'):
        build(config('resnet', 2, dict(momentum=2)))


def test_tensors_of_the_state_are_all_summed():
    model = build(config('swin', 2))
    head = head_of(model)
    state = torch.randn(2, 64, 32), (8, 8)
    expected = [head.lb(state)[0] + head.ema(state)[0]]
    found = head.features(state, [])
    assert len(tree_leaves(expected)) == len(found) == 1
    torch.testing.assert_close(found[0].flatten(2).mT, expected[0])
