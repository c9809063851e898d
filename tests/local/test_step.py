"""The local training step against plain mmseg and against autograd written out by hand."""

import weakref
from copy import deepcopy

import pytest
import torch
import torch.nn.functional as F
from mmengine.optim import OptimWrapper
from mmseg.registry import MODELS

from mmseg_infopro.local.processes import Alone
from mmseg_infopro.local.schedule import Pass
from mmseg_infopro.local.step import local_train_step
from mmseg_infopro.measure.dry_step import DryAmpOptimWrapper
from tests.models import (
    BACKBONES,
    BN,
    GN,
    HEADS,
    KeepGradients,
    batch,
    build,
    gradients,
    model_config,
)

BOUNDARIES = {
    1: [],
    2: ['layer3.0'],
    3: ['layer1.1', 'layer3.1'],
    4: ['stem', 'layer2.0', 'layer4.0'],
}


def local(num_modules: int, **settings):
    return dict(boundaries=BOUNDARIES[num_modules], **settings)


def assert_equal(actual, expected, **tolerance):
    assert actual.keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(
            actual[name], value, msg=lambda m, n=name: f'{n}: {m}', **tolerance
        )


@pytest.mark.parametrize('norm', [BN, GN])
def test_one_module_is_plain_mmseg_bit_for_bit(norm):
    plain = build(model_config(norm=norm))
    ours = build(model_config(norm=norm, local=dict(num_modules=1)))
    logs = []
    for model in (plain, ours):
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-4)
        wrapper = OptimWrapper(optimizer)
        logs.append([model.train_step(batch(seed=step), wrapper) for step in range(3)])
    assert_equal(ours.state_dict(), plain.state_dict(), rtol=0, atol=0)
    for expected, actual in zip(*logs, strict=True):
        assert_equal(actual, expected, rtol=0, atol=0)


def test_one_module_gives_plain_mmsegs_gradients_bit_for_bit():
    results = []
    for local_settings in (None, dict(num_modules=1)):
        model = build(model_config(local=local_settings))
        model.train_step(batch(), KeepGradients.wrap(model))
        results.append(gradients(model))
    assert_equal(results[1], results[0], rtol=0, atol=0)


@pytest.mark.parametrize('num_modules', [1, 2, 3, 4])
@pytest.mark.parametrize('backbone', BACKBONES)
def test_views_partition_the_parameters(backbone, num_modules):
    model = build(model_config(backbone, local(num_modules)))
    names = [name for index in range(num_modules) for name in model.module_parameters(index)]
    assert len(names) == len(set(names))
    assert set(names) == {name for name, _ in model.named_parameters()}


@pytest.mark.parametrize('num_modules', [2, 3, 4])
@pytest.mark.parametrize('backbone', BACKBONES)
def test_a_modules_loss_reaches_its_own_parameters_only(backbone, num_modules):
    model = build(model_config(backbone, local(num_modules)))
    data = model.data_preprocessor(batch(), True)
    for index, losses in enumerate(model.pass_losses(data['inputs'], data['data_samples'])):
        model.zero_grad()
        model.parse_losses(losses)[0].backward()
        assert gradients(model).keys() == model.module_parameters(index).keys()
        assert all(gradient.isfinite().all() for gradient in gradients(model).values())


def hand_written_gradients(model, data):
    """Compute what the local step should, from plain layers and losses, one module at a time."""
    data = model.data_preprocessor(deepcopy(data), True)
    image, samples = data['inputs'], data['data_samples']
    labels = torch.cat([sample.gt_sem_seg.data for sample in samples])
    mean = torch.tensor([123.675, 116.28, 103.53]).view(1, 3, 1, 1)
    std = torch.tensor([58.395, 57.12, 57.375]).view(1, 3, 1, 1)
    unit_image = ((image * std + mean) / 255).clamp(0, 1)

    def task_loss(logits):
        logits = F.interpolate(logits, labels.shape[1:], mode='bilinear', align_corners=False)
        loss = F.cross_entropy(logits, labels, ignore_index=255, reduction='none')
        return loss.mean()

    backbone = model.backbone
    stem = (
        backbone.stem
        if backbone.deep_stem
        else lambda x: backbone.relu(backbone.norm1(backbone.conv1(x)))
    )
    x, total = backbone.maxpool(stem(image)), 0.0
    aux, decode = model.auxiliary_head, model.decode_head
    layers = [('stem', None)] + [
        (f'layer{stage}.{block}', layer)
        for stage in range(1, 5)
        for block, layer in enumerate(getattr(backbone, f'layer{stage}'))
    ]
    for name, layer in layers:
        x = layer(x) if layer is not None else x
        if layer is backbone.layer3[-1]:
            total = total + 0.4 * task_loss(aux.conv_seg(aux.convs(x)))
        if name in model.boundaries:
            task, reconstruction = model.local_heads[name.replace('.', '-')]
            total = total + task_loss(task.conv_seg(task.convs(x)))
            rebuilt = torch.sigmoid(reconstruction([x], unit_image.shape[2:]))
            total = total + 1.5 * F.binary_cross_entropy(rebuilt, unit_image)
            x = x.detach()
    total = total + task_loss(decode.conv_seg(decode.convs(x)))
    total.backward()
    return gradients(model)


@pytest.mark.parametrize('num_modules', [2, 3, 4])
@pytest.mark.parametrize('backbone', BACKBONES)
def test_gradients_are_those_of_independent_autograd(backbone, num_modules):
    model = build(model_config(backbone, local(num_modules)))
    twin = deepcopy(model)
    model.train_step(batch(), KeepGradients.wrap(model))
    expected = hand_written_gradients(twin, batch())
    assert_equal(gradients(model), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize('num_modules', [2, 4])
def test_loss_mode_gives_the_gradients_of_the_step(num_modules):
    model = build(model_config(local=local(num_modules)))
    twin = deepcopy(model)
    model.train_step(batch(), KeepGradients.wrap(model))
    data = twin.data_preprocessor(batch(), True)
    twin.parse_losses(twin(**data, mode='loss'))[0].backward()
    assert_equal(gradients(model), gradients(twin), rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize('num_modules', [1, 2, 3, 4])
def test_one_image_per_batch_trains_with_group_norm(num_modules):
    model = build(model_config(local=local(num_modules), norm=GN))
    log_vars = model.train_step(batch(batch_size=1), KeepGradients.wrap(model))
    assert log_vars['loss'].isfinite()
    assert gradients(model).keys() == {name for name, _ in model.named_parameters()}


@pytest.mark.parametrize('num_modules', [1, 2, 4])
def test_two_accumulated_steps_are_a_batch_twice_as_large(num_modules):
    whole = build(model_config(local=local(num_modules), norm=GN))
    halves = deepcopy(whole)
    both = batch(batch_size=4)
    whole.train_step(deepcopy(both), KeepGradients.wrap(whole))
    wrapper = KeepGradients.wrap(halves, accumulative_counts=2)
    for part in (slice(0, 2), slice(2, 4)):
        halves.train_step({key: value[part] for key, value in both.items()}, wrapper)
    assert_equal(gradients(halves), gradients(whole), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize('num_modules', [1, 3])
def test_a_step_counts_once(num_modules):
    model = build(model_config(local=local(num_modules)))
    wrapper = OptimWrapper(torch.optim.SGD(model.parameters(), lr=0.1), accumulative_counts=3)
    before = model.state_dict()['decode_head.conv_seg.weight'].clone()
    moved = []
    for _ in range(6):
        model.train_step(batch(), wrapper)
        after = model.state_dict()['decode_head.conv_seg.weight'].clone()
        moved.append(not torch.equal(before, after))
        before = after
    assert moved == [False, False, True, False, False, True]
    assert wrapper.inner_count == 6


def test_every_modules_losses_are_logged_and_no_constants():
    heads = deepcopy(HEADS)
    heads[1]['loss_weight'] = (2.0, 1.0)
    model = build(model_config(local=local(4, heads=heads)))
    log_vars = model.train_step(batch(), KeepGradients.wrap(model))
    assert not [name for name in log_vars if 'lambda' in name]
    for index in range(3):
        assert {f'local_{index}.loss_ce', f'local_{index}.loss_rec'} <= log_vars.keys()
    parts = [value for name, value in log_vars.items() if 'loss_' in name]
    torch.testing.assert_close(log_vars['loss'], torch.stack(parts).sum())


@pytest.mark.parametrize('num_modules', [2, 4])
def test_a_trained_checkpoint_gives_plain_mmsegs_logits_bit_for_bit(num_modules):
    model = build(model_config(local=local(num_modules)))
    wrapper = OptimWrapper(torch.optim.SGD(model.parameters(), lr=0.1))
    for seed in range(2):
        model.train_step(batch(seed=seed), wrapper)
    plain = build(model_config(), seed=1)
    missing, unexpected = plain.load_state_dict(model.state_dict(), strict=False)
    assert not missing
    assert all(name.startswith('local_heads.') for name in unexpected)
    image = torch.randn(1, 3, 64, 96)
    model.eval()
    plain.eval()
    assert torch.equal(model(image), plain(image))


def test_a_modules_activations_are_gone_before_the_next_one_starts():
    model = build(model_config(local=local(3)))
    data = model.data_preprocessor(batch(), True)
    alive = []
    model.backbone.layer1[0].register_forward_hook(
        lambda layer, args, output: alive.append(weakref.ref(output.untyped_storage()))
    )
    for index, losses in enumerate(model.pass_losses(data['inputs'], data['data_samples'])):
        assert (alive[0]() is None) == (index > 0)
        model.parse_losses(losses)[0].backward()


def test_unread_features_are_not_kept():
    model = build(model_config(local=local(2)))
    assert [view.reads for view in model.local_modules] == [frozenset(), frozenset({2, 3})]


def test_a_feature_of_an_earlier_module_reaches_the_tail_detached():
    cfg = model_config(local=local(2))
    channels = cfg['backbone']['base_channels']
    cfg['decode_head'].update(
        in_index=(0, 3), in_channels=(channels, 8 * channels), input_transform='resize_concat'
    )
    model = build(cfg)
    assert model.local_modules[1].reads == {0, 2, 3}
    data = model.data_preprocessor(batch(), True)
    *_, tail = model.pass_losses(data['inputs'], data['data_samples'])
    model.parse_losses(tail)[0].backward()
    assert gradients(model).keys() == model.module_parameters(1).keys()


@pytest.mark.parametrize('settings', [local(2), dict(num_modules=2)])
def test_a_cascade_trains(settings):
    cfg = model_config(local=settings)
    first = dict(cfg['decode_head'])
    ocr = dict(
        type='OCRHead',
        in_channels=first['in_channels'],
        in_index=3,
        channels=8,
        ocr_channels=8,
        num_classes=5,
        norm_cfg=BN,
        dropout_ratio=0,
    )
    cfg |= dict(type='InfoProCascadeEncoderDecoder', num_stages=2, decode_head=[first, ocr])
    model = build(cfg)
    log_vars = model.train_step(batch(), KeepGradients.wrap(model))
    assert {'decode_0.loss_ce', 'decode_1.loss_ce', 'local_0.loss_rec'} <= log_vars.keys()
    assert gradients(model).keys() == {name for name, _ in model.named_parameters()}
    assert MODELS.get('CascadeEncoderDecoder') in type(model).__mro__


@pytest.mark.parametrize('settings', [local(2), dict(num_modules=2)])
def test_a_neck_is_in_the_tail(settings):
    cfg = model_config(local=settings)
    widths = [8, 16, 32, 64]
    cfg['neck'] = dict(type='FPN', in_channels=widths, out_channels=8, num_outs=4)
    cfg['decode_head']['in_channels'] = cfg['auxiliary_head']['in_channels'] = 8
    model = build(cfg)
    assert model.local_modules[1].aux_heads == (0,)
    model.train_step(batch(), KeepGradients.wrap(model))
    unused = {name for name, _ in model.named_parameters()} - gradients(model).keys()
    assert all(name.startswith('neck.') for name in unused)


def test_many_auxiliary_heads_train_where_their_features_are():
    cfg = model_config(local=dict(boundaries=['layer2.1', 'layer4.0']))
    aux = cfg['auxiliary_head']
    cfg['auxiliary_head'] = [
        dict(aux, in_index=index, in_channels=channels)
        for index, channels in enumerate((8, 16, 32, 64))
    ]
    model = build(cfg)
    assert [view.aux_heads for view in model.local_modules] == [(0, 1), (2,), (3,)]
    log_vars = model.train_step(batch(), KeepGradients.wrap(model))
    assert {f'aux_{index}.loss_ce' for index in range(4)} <= log_vars.keys()
    assert gradients(model).keys() == {name for name, _ in model.named_parameters()}


class ScalingWrapper(OptimWrapper):
    """Scales losses in its own backward, as mixed precision does."""

    def backward(self, loss, **kwargs):
        super().backward(1024 * loss, **kwargs)


@pytest.mark.parametrize('num_modules', [1, 3])
def test_every_modules_loss_goes_through_the_wrappers_scaling(num_modules):
    plain = build(model_config(local=local(num_modules)))
    scaled = deepcopy(plain)
    plain.train_step(batch(), KeepGradients.wrap(plain))
    wrapper = ScalingWrapper(torch.optim.SGD(scaled.parameters(), lr=0.0))
    wrapper.zero_grad = lambda **_: None
    scaled.train_step(batch(), wrapper)
    expected = {name: 1024 * gradient for name, gradient in gradients(plain).items()}
    assert_equal(gradients(scaled), expected, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize('num_modules', [1, 3])
def test_bfloat16_trains(num_modules):
    model = build(model_config(local=local(num_modules)))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    wrapper = DryAmpOptimWrapper(dtype='bfloat16', optimizer=optimizer)
    losses = [model.train_step(batch(), wrapper)['loss'].item() for _ in range(8)]
    assert losses[-1] < losses[0]


def test_a_frozen_module_is_passed():
    model = build(model_config(local=local(3)))
    for parameter in model.module_parameters(0).values():
        parameter.requires_grad_(False)
    model.train_step(batch(), KeepGradients.wrap(model))
    trained = model.module_parameters(1).keys() | model.module_parameters(2).keys()
    assert gradients(model).keys() == trained


def test_the_step_frees_a_modules_activations_before_the_next_one():
    model = build(model_config(local=local(3)))
    alive = []
    model.backbone.layer1[0].register_forward_hook(
        lambda layer, args, output: alive.append(weakref.ref(output.untyped_storage()))
    )
    seen = []
    model.backbone.layer2[0].register_forward_pre_hook(
        lambda layer, args: seen.append(alive[0]() is None)
    )
    model.train_step(batch(), KeepGradients.wrap(model))
    assert seen == [True]


@pytest.mark.parametrize(
    ('passes', 'wanted'),
    [
        ([Pass(0, 0, {0: 1}), Pass(1, 2, {2: 1})], [{0}, {1, 2}]),
        ([Pass(0, 1, {1: 1}), Pass(1, 2, {2: 1})], [{0}, {1, 2}]),
        ([Pass(0, 2, {2: 1}), Pass(0, 1, trains=False)], [{2}, {0, 1}]),
    ],
)
def test_every_module_with_gradients_is_averaged_once(passes, wanted):
    averaged = []

    class Recorded(Alone):
        def averaging(self, modules):
            averaged.append(set(modules))
            return super().averaging(modules)

    model = build(model_config(local=local(3)))
    model.schedule = lambda iteration, num_modules: passes
    local_train_step(model, batch(size=32), KeepGradients.wrap(model), Recorded())
    assert averaged == wanted
