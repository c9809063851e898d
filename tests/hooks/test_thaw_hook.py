"""Parameters freeze and thaw in the middle of a run."""

from types import SimpleNamespace

import pytest
import torch
from mmengine.optim import OptimWrapper
from torch import nn
from torch.optim import SGD

from mmseg_infopro.hooks import FirstStepCheckHook, ThawHook
from mmseg_infopro.local.thaw import may_thaw
from tests.models import HEADS, batch, build, model_config


def runner(frozen_stages=-1, lr=0.01, **local):
    cfg = model_config(local=dict(boundaries=['layer2.0'], heads=HEADS[:1], **local))
    cfg['backbone']['frozen_stages'] = frozen_stages
    model = build(cfg)
    optimizer = SGD(model.parameters(), lr=lr, momentum=0.9, fused=True)
    logger = SimpleNamespace(warning=print, info=print)
    return SimpleNamespace(
        model=model, optim_wrapper=OptimWrapper(optimizer), logger=logger, iter=0
    )


def require_gradient(model, value, *names):
    for name, parameter in model.named_parameters():
        if name.startswith(names):
            parameter.requires_grad = value


def train(run, change, steps=4):
    """Steps with the hooks of a run around them; `change(step)` is another hook's."""
    hooks = [FirstStepCheckHook(), ThawHook()]
    for hook in hooks:
        hook.before_train(run)
    for step in range(steps):
        hooks[0].before_train_iter(run, step)
        change(step)
        hooks[1].before_train_iter(run, step)
        run.model.train_step(batch(seed=step), run.optim_wrapper)
        for hook in hooks:
            hook.after_train_iter(run, step)


FROZEN = 'backbone.stem', 'backbone.layer1'


@pytest.mark.parametrize('value', [False, True], ids=['frozen later', 'thawed later'])
@pytest.mark.parametrize('at', [0, 2])
def test_the_parameters_that_train_are_those_of_that_step(value, at):
    run = runner()
    if value:
        require_gradient(run.model, False, *FROZEN)

    def change(step):
        if step == at:
            require_gradient(run.model, value, *FROZEN)
            weights.append(run.model.backbone.layer1[0].conv1.weight.clone())

    weights = []
    train(run, change)
    moved = not torch.equal(weights[0], run.model.backbone.layer1[0].conv1.weight)
    assert moved is value


def test_a_momentum_that_begins_late_is_a_first_step():
    run, plain = runner(), runner()
    require_gradient(run.model, False, *FROZEN)
    train(run, lambda step: require_gradient(run.model, step == 1, *FROZEN), steps=2)
    weight = run.model.backbone.layer1[0].conv1.weight
    kept = run.optim_wrapper.optimizer.state[weight]['momentum_buffer']
    fresh = plain.model.backbone.layer1[0].conv1.weight
    torch.testing.assert_close(weight, fresh - 0.01 * kept)  # the gradient alone


def test_a_module_that_was_frozen_is_not_thawed_by_chance():
    run = runner(frozen_stages=2)
    with pytest.raises(ValueError, match=r"as \['backbone\.layer1'\]") as refused:
        train(run, lambda step: require_gradient(run.model, step == 2, *FROZEN))
    assert 'it has no local heads' in str(refused.value)


def adapt(layer):
    """Put a convolution behind another one, as adapters are put in."""
    channels = layer.conv1.out_channels
    layer.conv1 = nn.Sequential(layer.conv1, nn.Conv2d(channels, channels, 1))
    return layer.conv1[1].parameters()


def test_adapters_in_a_module_that_was_frozen_are_not_trained_by_chance():
    run = runner(frozen_stages=2)
    added = adapt(run.model.backbone.layer1[0])
    run.optim_wrapper.optimizer.add_param_group(dict(params=list(added)))
    with pytest.raises(ValueError, match=r'as backbone\.layer1\.0\.conv1\.1\.bias.*may_thaw'):
        train(run, lambda step: None, steps=1)


def test_adapters_that_no_optimizer_has_are_named():
    run = runner()
    adapt(run.model.backbone.layer1[0])
    with pytest.raises(
        ValueError, match=r'not in the optimizer: backbone\.layer1\.0\.conv1\.1\.weight'
    ):
        train(run, lambda step: None, steps=1)


def test_a_module_that_may_thaw_has_heads_and_trains():
    run = runner(frozen_stages=2, may_thaw=['backbone.layer*', 'backbone.stem'])
    assert run.model.border_heads(0)
    before = run.model.backbone.layer1[0].conv1.weight.clone()
    train(run, lambda step: None, steps=1)
    assert torch.equal(before, run.model.backbone.layer1[0].conv1.weight)
    train(run, lambda step: require_gradient(run.model, True, 'backbone'), steps=2)
    assert not torch.equal(before, run.model.backbone.layer1[0].conv1.weight)


@pytest.mark.parametrize(
    ('pattern', 'expected'),
    [
        ('backbone', True),
        ('backbone.layer1', True),
        ('backbone.layer1.0.conv1.weight', True),
        ('backbone.layer*', True),
        ('backbone.layer', False),
        ('neck', False),
    ],
)
def test_names_stand_for_what_is_below(pattern, expected):
    assert may_thaw('backbone.layer1.0.conv1.weight', [pattern]) is expected
