"""Gradients of a whole step against each method's local loss, by hand, in plain autograd."""

import pytest
import torch
import torch.nn.functional as F

from tests.cpu_amp import CpuAmpOptimWrapper
from tests.local.by_formula import CONFIGS, Formula, assert_close, gradients_of, stop, twins
from tests.models import KeepGradients, batch, build, gradients

KINDS = pytest.mark.parametrize('kind', ['resnet', 'swin'])
KS = pytest.mark.parametrize('num_modules', [2, 4])
ALL = 10_000
"""More pixels than there are: what is drawn is no matter of chance then."""


def cross_entropy(formula, logits):
    labels = torch.cat([sample.gt_sem_seg.data for sample in formula.samples])
    full = F.interpolate(logits, labels.shape[1:], mode='bilinear')
    return F.cross_entropy(full, labels, ignore_index=255, reduction='none').mean()


def convolved(layer, x):
    return F.conv2d(x, layer.weight, layer.bias)


def normalized(layer, x):
    return F.batch_norm(x, None, None, layer.weight, layer.bias, training=True)


def linear(formula, head, index, border, entry):
    return cross_entropy(formula, convolved(head.conv_seg, border))


def mlp(formula, head, index, border, entry):
    x = F.avg_pool2d(border, 4)
    for layer in head.layers:
        x = F.relu(normalized(layer.norm, F.conv2d(x, layer.conv.weight)))
    return cross_entropy(formula, convolved(head.conv_seg, x))


def similarity(formula, head, index, border, entry):
    stride = 64 // border.shape[-1]
    labels = torch.cat([sample.gt_sem_seg.data for sample in formula.samples])
    labels = labels[:, ::stride, ::stride].flatten()
    projected = F.conv2d(border, head.project.weight, padding=1)
    pixels = projected.permute(0, 2, 3, 1).flatten(0, 2)[labels != 255]
    one_hot = F.one_hot(labels[labels != 255], 5).float()
    similar = F.mse_loss(torch.corrcoef(pixels), torch.corrcoef(one_hot))
    return 0.01 * linear(formula, head.classify, index, border, entry) + 0.99 * similar


def feature_reconstruction(formula, head, index, border, entry):
    norm, reduce, _, expand = head.decode
    rebuilt = convolved(expand, F.gelu(convolved(reduce, normalized(norm, border))))
    target = F.avg_pool2d(entry, entry.shape[-1] // border.shape[-1])
    first, last = 10.0, 4.0
    weight = first + (last - first) * index / max(1, formula.num_modules - 2)
    return weight * F.mse_loss(rebuilt, target)


METHODS = {
    'LinearHead': ({}, linear),
    'MLPHead': ({}, mlp),
    'SimilarityHead': (dict(num_samples=ALL), similarity),
    'FeatureReconstructionHead': (dict(loss_weight=(10.0, 4.0)), feature_reconstruction),
}


def border_of(formula, state):
    """Return the only map of a state, or the image."""
    return formula.model.backbone.border_features(state)[0]


def step_and_formula(kind, num_modules, heads, local_loss, **local):
    """Return the gradients of a training step, and those of the losses at detached borders."""
    model, twin = twins(kind, num_modules, heads=heads, **local)
    formula, features = Formula(twin), {}
    formula.local = lambda index, state: local_loss(formula, index, state)
    start, total = formula.image, 0.0
    for index in range(num_modules):
        formula.start = start
        state, own = formula.f(index, start)
        features |= own
        total = total + formula.loss(index, state, features)
        start, features = stop(state), stop(features)
    model.train_step(batch(), KeepGradients.wrap(model))
    return gradients(model), gradients_of(twin, total)


@KINDS
@KS
@pytest.mark.parametrize('name', METHODS)
def test_a_step_trains_with_the_local_loss(name, kind, num_modules):
    settings, by_hand = METHODS[name]

    def local_loss(formula, index, state):
        (head,) = formula.model.border_heads(index)
        entry = formula.image if not index else border_of(formula, formula.start)
        return by_hand(formula, head, index, border_of(formula, state), entry)

    found, expected = step_and_formula(kind, num_modules, [dict(type=name, **settings)], local_loss)
    assert_close(found, expected)


@KINDS
def test_every_head_is_planned_for_and_trains_in_mixed_precision(kind):
    heads = [dict(type=name, **settings) for name, (settings, _) in METHODS.items()]
    cfg = CONFIGS[kind](2)
    cfg['local'] = dict(num_modules=2, heads=[*heads, dict(type='ResidualPenalty', tau=1.0)])
    model = build(cfg)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    log = model.train_step(batch(), CpuAmpOptimWrapper(optimizer=optimizer))
    assert log['loss'].isfinite()
    after = model.state_dict()
    assert all(value.isfinite().all() for value in after.values())
    assert not [n for n in model.module_parameters(0) if torch.equal(after[n], before[n])]
