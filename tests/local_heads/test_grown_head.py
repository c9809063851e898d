"""AugLocal's heads against blocks that are put together by hand."""

from copy import deepcopy

import pytest
import torch
import torch.nn.functional as F
from torch.utils.flop_counter import FlopCounterMode

from mmseg_infopro.local_heads import GrownHead
from mmseg_infopro.local_heads.grown_head import depth_at, sampled
from tests.cpu_amp import CpuAmpOptimWrapper
from tests.local.by_formula import CONFIGS, Formula, assert_close, gradients_of, stop, twins
from tests.models import KeepGradients, batch, border_at, build, dry_step_peak, gradients

LINEAR = dict(type='LinearHead')
ALL = dict(max_flops_ratio=100.0)


def settings(**kwargs):
    return [dict(type='GrownHead', head=LINEAR, **kwargs)]


def model_of(kind='resnet', num_modules=2, **kwargs):
    return build(CONFIGS[kind](num_modules, heads=settings(**kwargs)))


def head_of(model, index=0):
    return model.local_heads[model.boundaries[index].replace('.', '-')][0]


def names_of(head):
    return [unit.name for unit in head.blocks.units]


@pytest.mark.parametrize(
    ('position', 'tau', 'expected'), [(0, 0.5, 7), (0.5, 0.5, 6), (1, 0.5, 4), (1, 1, 1), (1, 0, 7)]
)
def test_first_modules_have_the_deepest_heads(position, tau, expected):
    assert depth_at(position, 7, tau) == expected  # 7 (1 - tau p) + tau p: 7, 5.5, 4, 1, 7


@pytest.mark.parametrize(
    ('last', 'number', 'expected'),
    [(3, 3, [7, 11, 15]), (3, 5, [5, 8, 10, 13, 15]), (13, 6, [14, 15]), (0, 1, [15])],
)
def test_later_units_are_sampled_evenly(last, number, expected):
    """Of 16 units: l + i (N - l - 1) / d is, for l = 3 and d = 5, 5.4, 7.8, 10.2, 12.6, 15."""
    assert list(sampled(range(16)[last + 1 :], number)) == expected


class ByHand(Formula):
    """The formula with the blocks as layers of a deep copy of the backbone."""

    def __init__(self, model):
        super().__init__(model)
        self.head, self.backbone = head_of(model), deepcopy(model.backbone)
        weights = self.head.blocks.parts.state_dict(keep_vars=True)
        for name, parameter in weights.items():
            owner, _, leaf = name.rpartition('.')
            if isinstance(parameter, torch.nn.Parameter):
                setattr(self.backbone.get_submodule(owner), leaf, parameter)


class ResNetByHand(ByHand):
    def local(self, index, state):
        first, second = self.head.joints
        x = self.backbone.layer3[1](first.projections[0](state))
        x = self.backbone.layer4[1](second.projections[0](x))
        return self.head.head.loss([x], self.samples, {})['loss_ce']


class SwinByHand(ByHand):
    def local(self, index, state):
        first, second = self.head.joints
        tokens = first.projections[0](pooled(state[0], 8, 4))
        tokens = self.backbone.stages[2].blocks[0](tokens, (4, 4))
        tokens = second.projections[0](pooled(tokens, 4, 2))
        tokens = self.backbone.stages[3].blocks[0](tokens, (2, 2))
        x = tokens.mT.unflatten(2, (2, 2))
        return self.head.head.loss([x], self.samples, {})['loss_ce']


def pooled(tokens, size, to):
    return F.avg_pool2d(tokens.mT.unflatten(2, (size, size)), size // to).flatten(2).mT


@pytest.mark.parametrize(
    ('kind', 'cls', 'blocks'),
    [
        ('resnet', ResNetByHand, ['layer3.1', 'layer4.1']),
        ('swin', SwinByHand, ['stages.2.blocks.0', 'stages.3.blocks.0']),
    ],
)
def test_losses_and_gradients_are_those_of_blocks_put_together_by_hand(kind, cls, blocks):
    model, twin = twins(kind, 2, heads=settings(depth=2, **ALL))
    assert names_of(head_of(model)) == blocks
    formula = cls(twin)
    state, read_off = formula.f(0, formula.image)
    total = formula.loss(0, state, read_off)
    state, own = formula.f(1, stop(state))
    total = total + formula.loss(1, state, {**stop(read_off), **own})
    expected = gradients_of(twin, total)
    log = model.train_step(batch(), KeepGradients.wrap(model))
    assert_close(gradients(model), expected)
    torch.testing.assert_close(log['loss'], total.detach(), rtol=1e-4, atol=1e-5)


def test_blocks_are_fresh_and_hold_nothing_else():
    head, backbone = (model := model_of(depth=2, **ALL)).local_heads['layer2-1'][0], model.backbone
    names = list(head.blocks.parts.state_dict())
    assert {name.rsplit('.', 2)[0] for name in names} == {'layer3.1', 'layer4.1'}
    own, others = head.blocks.parts.layer4[1].conv2.weight, backbone.layer4[1].conv2.weight
    assert not torch.equal(own, others)
    bound = 1 / own[0].numel() ** 0.5  # of the layer's own initialization
    assert bound / 2 < own.abs().max() <= bound


def test_the_latest_blocks_go_first_until_the_rest_is_within_its_share():
    assert names_of(head_of(model_of(depth=4, **ALL))) == [
        'layer3.0', 'layer3.1', 'layer4.0', 'layer4.1',
    ]  # fmt: skip
    model = model_of(depth=4, max_flops_ratio=0.3)
    head, image = head_of(model), torch.randn(2, 3, 64, 64)
    assert names_of(head) == ['layer3.0', 'layer3.1']
    (border,) = model.border_features(image, 0)
    assert flops(lambda: head.features(border, [border])) < 0.3 * flops(
        lambda: model.backbone(image)
    )
    assert names_of(head_of(model_of(depth=4, max_flops_ratio=1e-9))) == ['layer3.0']


def flops(run):
    with FlopCounterMode(display=False) as counter:
        run()
    return counter.get_total_flops()


def test_a_plan_draws_nothing():
    cfg = CONFIGS['resnet'](2, heads=settings(depth=1))
    cfg['local'] = dict(heads=cfg['local']['heads'], num_modules=3)
    model = build(cfg)
    cfg['local'] = dict(heads=cfg['local']['heads'], boundaries=list(model.boundaries))
    theirs = build(cfg).state_dict()
    assert all(torch.equal(value, theirs[name]) for name, value in model.state_dict().items())


def test_it_runs_dry_and_in_mixed_precision():
    model = model_of(depth=2)
    optimizer = dict(type='OptimWrapper', optimizer=dict(type='SGD', lr=0.1))
    assert dry_step_peak(deepcopy(model), optimizer, batch).total
    wrapper = CpuAmpOptimWrapper(optimizer=torch.optim.SGD(model.parameters(), 0.1))
    assert model.train_step(batch(), wrapper)['loss'].isfinite()


def test_what_no_block_reads_is_not_projected():
    cfg = CONFIGS['resnet'](2, heads=settings(depth=2, **ALL))
    cfg['backbone'] = dict(type='InfoProFastSCNN', downsample_dw_channels=(8, 8))
    cfg['backbone'].update(global_in_channels=8, global_block_channels=(8, 8, 8))
    cfg['backbone'].update(global_block_strides=(2, 2, 1), global_out_channels=8)
    cfg['backbone'].update(higher_in_channels=8, lower_in_channels=8, fusion_out_channels=8)
    cfg['decode_head'].update(in_channels=8, in_index=2)
    cfg.pop('auxiliary_head')
    cfg['local']['boundaries'] = ['learning_to_downsample.conv']
    model = build(cfg)
    model.train_step(batch(), KeepGradients.wrap(model))
    assert gradients(model).keys() == {name for name, _ in model.named_parameters()}


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (dict(depth=0), 'depth must be an int of at least 1, got 0'),
        (dict(tau=2), 'tau must be from 0 to 1, got 2'),
        (dict(max_flops_ratio=0), 'max_flops_ratio must be positive, got 0'),
    ],
)
def test_what_does_not_fit_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        model_of(**arguments)


def test_there_must_be_a_later_unit():
    with pytest.raises(ValueError, match='shaped like later units, and there is none'):
        GrownHead(border_at([]))
