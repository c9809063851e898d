"""``compile``, ``channels_last`` and frozen modules change how a step runs, not what it trains."""

from copy import deepcopy

import pytest
import torch

from tests.local.by_formula import CONFIGS
from tests.models import GN, KeepGradients, batch, build, gradients, model_config

SGD = dict(type='OptimWrapper', optimizer=dict(type='SGD', lr=0.1, momentum=0.9))
BOUNDARIES = ['layer1.1', 'layer3.1']


def step(**settings):
    # Batch norm on maps of a few pixels would blow rounding up.
    model = build(model_config(norm=GN, local=dict(boundaries=BOUNDARIES, **settings)))
    # Random numbers fill a channels-last weight in another order.
    same = build(model_config(norm=GN, local=dict(boundaries=BOUNDARIES)))
    model.load_state_dict(same.state_dict())
    model.train_step(batch(), KeepGradients.wrap(model))
    return model, gradients(model)


@pytest.mark.parametrize(
    'settings', [dict(compile=dict(backend='aot_eager')), dict(channels_last=True)]
)
def test_the_gradients_stay(settings):
    (_, expected), (_, actual) = step(), step(**settings)
    assert actual.keys() == expected.keys()
    for name, gradient in expected.items():
        torch.testing.assert_close(actual[name], gradient, rtol=1e-3, atol=1e-5, msg=name)


def test_each_module_is_compiled_once():
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    model, _ = step(compile=dict(backend='aot_eager'))
    model.train_step(batch(seed=1), KeepGradients.wrap(model))
    assert torch._dynamo.utils.counters['stats']['unique_graphs'] == len(BOUNDARIES) + 1
    assert not torch._dynamo.utils.counters['graph_break']


def saved_bytes(share):
    """Step with a budget, and return the bytes that are saved for the backward pass."""
    torch._dynamo.reset()
    sizes = []

    def pack(tensor):
        sizes.append(tensor.numel() * tensor.element_size())
        return tensor

    compiled = dict(backend='aot_eager_decomp_partition')
    if share is not None:
        compiled['activation_memory_budget'] = share
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        _, found = step(compile=compiled)
    return sum(sizes), found


def test_a_compiled_module_keeps_what_its_budget_allows():
    (most, expected), (least, found) = saved_bytes(None), saved_bytes(0.2)
    assert least < 0.9 * most  # heads, which are not compiled, save as before
    for name, gradient in expected.items():
        torch.testing.assert_close(found[name], gradient, rtol=1e-3, atol=1e-5, msg=name)


@pytest.mark.parametrize('share', [-0.1, 1.5, 'half'])
def test_a_budget_is_a_share(share):
    compiled = dict(activation_memory_budget=share)
    with pytest.raises(ValueError, match='must be a share of 0 to 1 of what a module saves, got'):
        build(model_config(local=dict(boundaries=BOUNDARIES, compile=compiled)))


def test_a_copy_of_a_compiled_model_trains_its_own_weights():
    model = build(model_config(local=dict(boundaries=BOUNDARIES, compile=dict(backend='eager'))))
    copy = deepcopy(model)
    copy.train_step(batch(), KeepGradients.wrap(copy))
    assert not gradients(model)
    assert gradients(copy).keys() == {name for name, _ in copy.named_parameters()}


def test_weights_are_kept_channels_last():
    model, _ = step(channels_last=True)
    weight = model.backbone.layer2[0].conv1.weight
    assert weight.is_contiguous(memory_format=torch.channels_last)


def test_compile_and_recompute_exclude_each_other():
    local = dict(boundaries=[], compile=True, recompute='cheap')
    with pytest.raises(ValueError, match='exclude each other'):
        build(model_config(local=local))


def frozen_model(**overrides):
    cfg = model_config(local=dict(boundaries=BOUNDARIES))
    cfg['backbone']['frozen_stages'] = 1
    return build({**cfg, **overrides})


def test_a_frozen_module_has_no_local_heads_and_no_losses():
    model = frozen_model()
    assert [module.frozen for module in model.local_modules] == [True, False, False]
    assert list(model.local_heads) == ['layer3-1']
    log = model.train_step(batch(), KeepGradients.wrap(model))
    assert not any(name.startswith('local_0') for name in log)
    assert any(name.startswith('local_1') for name in log)


def test_stages_that_freeze_in_training_mode_are_frozen():
    swin = CONFIGS['swin'](3)
    swin['backbone']['frozen_stages'] = 1  # frozen by mmseg's train(), not by the constructor
    assert [module.frozen for module in build(swin).local_modules] == [True, False, False]


def test_a_frozen_module_runs_without_a_graph():
    model = frozen_model()
    data = model.data_preprocessor(batch(), True)
    states = []
    handle = model.backbone.layer1[-1].register_forward_hook(lambda *a: states.append(a[-1]))
    list(model.pass_losses(data['inputs'], data['data_samples']))
    handle.remove()
    assert not states[0].requires_grad


def test_what_trains_behind_a_frozen_module_is_what_plain_mmseg_trains():
    model = frozen_model()
    model.train_step(batch(), KeepGradients.wrap(model))
    assert gradients(model).keys() == {n for n, p in model.named_parameters() if p.requires_grad}


def test_a_checkpoint_behind_a_frozen_module_loads():
    frozen_model().load_state_dict(frozen_model().state_dict())


@pytest.mark.parametrize(
    ('settings', 'message'),
    [
        (dict(compile='inductor'), 'local.compile must be True, False or a dict'),
        (dict(channels_last='yes'), "local.channels_last must be True or False, got 'yes'"),
    ],
)
def test_wrong_values_are_refused(settings, message):
    with pytest.raises(TypeError, match=message):
        build(model_config(local=dict(boundaries=[], **settings)))
