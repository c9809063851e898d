"""The penalty on residual branches in whole steps: gradients, recompute, bytes, refusals."""

import pytest
import torch
import torch.nn.functional as F
from mmseg.registry import MODELS

from mmseg_infopro.local.clock import at_iteration
from mmseg_infopro.planning.batch import StepShape
from mmseg_infopro.planning.unit_costs import measure_step
from tests.local.by_formula import assert_close, resnet_config
from tests.local.test_local_losses import KINDS, KS, border_of, linear, step_and_formula
from tests.models import KeepGradients, batch, build, gradients

TAU = 0.5
BALANCED = dict(type='CrossEntropyLoss', loss_weight='balanced')
HEADS = [dict(type='LinearHead'), dict(type='ResidualPenalty', tau=TAU)]


def normalized(layer, x):
    return F.batch_norm(x, None, None, layer.weight, layer.bias, training=True)


def branches_of_resnet(block, x):
    x = F.relu(normalized(block.norm1, block.conv1(x)))
    return [normalized(block.norm2, block.conv2(x))]


def branches_of_swin(block, state):
    tokens, size = state
    attention = block.attn(block.norm1(tokens), size)
    return [attention, block.ffn.layers(block.norm2(tokens + attention))]


BRANCHES = {'resnet': branches_of_resnet, 'swin': branches_of_swin}
BLOCKS = {'resnet': 'BasicBlock', 'swin': 'SwinBlock'}


@KINDS
@KS
def test_a_step_penalizes_the_branches_of_its_modules(kind, num_modules):
    def local_loss(formula, index, state):
        backbone, state_before = formula.model.backbone, formula.start
        squares = []
        for position in range(*formula.spans[index]):
            unit = formula.units[position]
            block = backbone.get_submodule(unit.owns[0])
            if type(block).__name__ == BLOCKS[kind]:
                squares += [r.square().mean() for r in BRANCHES[kind](block, state_before)]
            state_before = unit.apply(backbone, state_before)
        assert squares
        tau = TAU / 2 if index < num_modules / 2 else TAU
        head, _ = formula.model.border_heads(index)
        task = linear(formula, head, index, border_of(formula, state), None)
        return task + torch.stack(squares).sum() / (2 * tau)

    found, expected = step_and_formula(kind, num_modules, HEADS, local_loss)
    assert_close(found, expected)


@pytest.mark.parametrize('recompute', ['cheap', 'units'])
def test_recomputing_changes_nothing_bit_for_bit(recompute):
    found = []
    for setting in ('none', recompute):
        model = build(resnet_config(3, heads=HEADS, recompute=setting))
        model.train_step(batch(), KeepGradients.wrap(model))
        found.append({**gradients(model), **dict(model.named_buffers())})
    plain, recomputed = found
    assert plain.keys() == recomputed.keys()
    assert all(torch.equal(value, recomputed[name]) for name, value in plain.items())


def test_a_global_pass_measures_nothing():
    schedule = dict(type='PeriodicGlobal', period=2)
    model = build(resnet_config(2, heads=HEADS, schedule=schedule))
    with at_iteration(1):
        log = model.train_step(batch(), KeepGradients.wrap(model))
    assert not any('residual' in name for name in log)


def test_a_plan_counts_a_copy_of_each_branch():
    model = build(resnet_config(2))
    shape = StepShape(batch_size=2, crop=(64, 64))
    saved = [
        {unit.name: unit.saved for unit in
         measure_step(model, heads, model.head_defaults(), shape).units}
        for heads in (HEADS[:1], HEADS)
    ]  # fmt: skip
    more = {name: saved[1][name] - num_bytes for name, num_bytes in saved[0].items()}
    assert more['stem'] == 0
    assert more['layer1.0'] == 4 * 2 * 8 * 16 * 16
    assert more['layer2.1'] == 4 * 2 * 16 * 8 * 8


def test_a_compiled_module_cannot_be_measured():
    with pytest.raises(ValueError, match=r'local.compile and the local head ResidualPenalty excl'):
        MODELS.build(resnet_config(2, heads=HEADS, compile=True))


def test_it_does_not_stand_beside_a_balanced_head():
    heads = [dict(type='LinearHead', loss_decode=dict(BALANCED)), HEADS[1]]
    with pytest.raises(ValueError, match=r"ResidualPenalty cannot stand beside .*'balanced'"):
        build(resnet_config(2, heads=heads))
