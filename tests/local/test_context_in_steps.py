"""Contexts in steps of every kind: recomputed, accumulated, updated module by module, frozen."""

from copy import deepcopy

import pytest
import torch
from mmengine.model import ExponentialMovingAverage
from mmengine.optim import OptimWrapper

from tests.local.by_formula import CONFIGS, Formula, assert_close, gradients_of, stop
from tests.local.test_context_supply import context, supplied
from tests.models import KeepGradients, batch, build, gradients


def model_of(**local):
    return build(CONFIGS['resnet'](3, context=context('R1E'), **local))


def test_recomputing_changes_no_gradient():
    plain, cheap = model_of(), model_of(recompute='cheap')
    for model in (plain, cheap):
        model.train_step(batch(), KeepGradients.wrap(model))
    expected = gradients(plain)
    assert gradients(cheap).keys() == expected.keys()
    assert all(torch.equal(g, expected[name]) for name, g in gradients(cheap).items())
    buffers = dict(plain.named_buffers())
    assert all(torch.equal(b, buffers[name]) for name, b in cheap.named_buffers())


def test_a_batch_in_two_steps_gives_its_gradient():
    once, twice = model_of(), model_of()
    once.train_step(batch(), KeepGradients.wrap(once))
    wrapper = KeepGradients.wrap(twice, accumulative_counts=2)
    for _ in range(2):
        twice.train_step(batch(), wrapper)
    assert_close(gradients(twice), gradients(once))


def test_updates_per_module_are_those_of_the_end():
    late, early = model_of(), model_of(update_per_module=True)
    for model in (late, early):
        wrapper = OptimWrapper(torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9))
        before = deepcopy(model.context.state_dict())
        for step in range(2):
            model.train_step(batch(seed=step), wrapper)
    expected = late.state_dict()
    assert all(torch.equal(value, expected[name]) for name, value in early.state_dict().items())
    weights = [name for name in before if name.endswith('weight')]
    assert not any(torch.equal(before[name], early.context.state_dict()[name]) for name in weights)


def test_a_frozen_module_has_no_context_and_is_one_for_later_modules():
    cfg = CONFIGS['resnet'](3, context=context('R1E'))
    cfg['backbone']['frozen_stages'] = 2
    model, twin = build(cfg), build(cfg)
    assert list(model.context) == ['layer2-1']
    formula, states, read_off = Formula(twin), [], {}
    states.append(formula.image)
    for index in (0, 1):
        state, own = formula.f(index, states[-1])
        read_off |= stop(own)
        states.append(state)
    state, own = formula.f(2, supplied(formula, 'R1E', 2, states[2], states[:2]))
    total = formula.loss(2, state, {**read_off, **own})
    model.train_step(batch(), KeepGradients.wrap(model))
    assert_close(gradients(model), gradients_of(twin, total))


@pytest.mark.parametrize('kind', ['resnet', 'swin'])
def test_an_average_of_the_model_predicts_in_its_own_contexts(kind):
    model = build(CONFIGS[kind](3, context=context('R1E'))).eval()
    average, image = ExponentialMovingAverage(model), torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        expected = model._forward(image)
        average.update_parameters(model)
        for parameter in model.context.parameters():
            parameter.add_(1.0)
        assert torch.equal(average.module._forward(image), expected)
        assert not torch.equal(model._forward(image), expected)
