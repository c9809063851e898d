"""Weights of local losses that make their gradients equally strong at the border."""

import pytest
import torch
from torch import nn

from mmseg_infopro.local_heads.balance import Strength
from tests.local.by_formula import CONFIGS, Formula
from tests.models import HEADS, KeepGradients, batch, build, gradients

BALANCED = [HEADS[0], dict(HEADS[1], loss_weight='balanced')]


def strengths_by_hand(model):
    """Return the norms of the gradients of both losses at the border, by plain autograd."""
    formula = Formula(model)
    state, _ = formula.f(0, formula.image)
    leaf = state.detach().requires_grad_()
    task, reconstruction = model.local_heads[model.boundaries[0].replace('.', '-')]
    losses = [
        task.loss([leaf], formula.samples, {})['loss_ce'],
        reconstruction.loss([leaf], formula.samples, {}, formula.image)['loss_rec'],
    ]
    return [torch.autograd.grad(loss, leaf)[0].norm().item() for loss in losses]


def test_a_balanced_loss_is_as_strong_as_the_one_with_a_number():
    model, plain = (build(CONFIGS['resnet'](2, heads=heads)) for heads in (BALANCED, HEADS))
    # A weight of 1.5 in place of the balanced one, which is 1.
    plain.load_state_dict(model.state_dict(), strict=False)
    task, reconstruction = strengths_by_hand(build(CONFIGS['resnet'](2, heads=BALANCED)))
    log = model.train_step(batch(), KeepGradients.wrap(model))
    weight = task / reconstruction
    assert log['local_0.lambda_balance'].item() == pytest.approx(weight, rel=1e-4)
    plain.local_heads['layer2-1'][1].loss_weight = weight
    plain.train_step(batch(), KeepGradients.wrap(plain))
    expected = gradients(plain)
    for name, gradient in gradients(model).items():
        torch.testing.assert_close(gradient, expected[name], rtol=1e-3, atol=1e-6, msg=name)


def test_balanced_losses_among_themselves_meet_in_the_middle():
    heads = [
        dict(HEADS[0], loss_decode=dict(type='CrossEntropyLoss', loss_weight='balanced')),
        BALANCED[1],
    ]
    model = build(CONFIGS['resnet'](2, heads=heads))
    norms = strengths_by_hand(build(CONFIGS['resnet'](2, heads=heads)))
    log = model.train_step(batch(), KeepGradients.wrap(model))
    mean = sum(norms) / 2
    assert log['local_0.lambda_balance'].item() == pytest.approx(mean / norms[0], rel=1e-4)
    assert log['local_0.1.lambda_balance'].item() == pytest.approx(mean / norms[1], rel=1e-4)


def test_it_is_measured_now_and_then_and_averaged(monkeypatch):
    model = build(CONFIGS['resnet'](2, heads=BALANCED, balance_interval=2))
    seen, iteration = [], [0]
    monkeypatch.setattr('mmseg_infopro.local.local_losses.current_iteration', lambda: iteration[0])
    for iteration[0] in range(4):
        model.train_step(batch(seed=iteration[0]), KeepGradients.wrap(model))
        seen.append(model.local_heads['layer2-1'][1].strength.count.item())
    assert seen == [1, 1, 2, 2]


def test_measuring_leaves_norms_and_random_numbers_alone():
    heads = [dict(HEADS[0], dropout_ratio=0.5), HEADS[1]]
    balanced = [heads[0], dict(HEADS[1], loss_weight='balanced')]
    plain, model = (build(CONFIGS['resnet'](2, heads=h)) for h in (heads, balanced))
    draws = []
    for net in (plain, model):
        torch.manual_seed(7)
        net.train_step(batch(), KeepGradients.wrap(net))
        draws.append(torch.rand(()).item())
    assert draws[0] == draws[1]
    buffers = dict(model.named_buffers())
    assert all(torch.equal(b, buffers[n]) for n, b in plain.named_buffers())


def test_the_average_is_saved_and_ignores_what_is_no_number():
    strength = Strength()
    for value in (2.0, float('inf'), 0.0, 3.0):
        strength.add(torch.tensor(value))
    assert strength.norm.item() == pytest.approx(0.9 * 2 + 0.1 * 3)
    other = Strength()
    other.load_state_dict(strength.state_dict())
    assert (other.norm, other.count) == (strength.norm, 2)


class Deaf(nn.Module):
    """A head whose loss has nothing to do with the border."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(()))

    def loss(self, inputs, data_samples, train_cfg):
        return dict(loss_deaf=self.weight.square())


def test_a_head_without_gradient_at_the_border_is_refused():
    model = build(CONFIGS['resnet'](2, heads=[BALANCED[1], dict(type=Deaf)]))
    with pytest.raises(ValueError, match='the local head Deaf gives none there'):
        model.train_step(batch(), KeepGradients.wrap(model))


def test_another_word_is_refused():
    heads = [dict(HEADS[1], loss_weight='balance')]
    with pytest.raises(ValueError, match=r"must be a number, \(first, last\) or 'balanced'"):
        build(CONFIGS['resnet'](2, heads=heads))
