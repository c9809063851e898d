"""What fitted heads cost, on any network, wherever they stand."""

from functools import cache

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from mmseg_infopro import localize
from mmseg_infopro.backbones import boundary_names, flops_per_pixel, trace_backbone
from mmseg_infopro.config.build import build_end_to_end
from mmseg_infopro.config.read import read_config
from mmseg_infopro.local.infopro_heads import default_heads
from mmseg_infopro.local_heads import build_local_heads
from mmseg_infopro.local_heads.border import borders_of
from mmseg_infopro.local_heads.filling import build_head, fit_of
from mmseg_infopro.measure.fake import fake_copy
from mmseg_infopro.measure.undrawn import undrawn_weights
from mmseg_infopro.upstream import FakeTensorMode
from tests.models import build, model_config

NETWORKS = (
    'bisenetv1_r18-d32', 'fast_scnn', 'segformer_mit-b0', 'upernet_swin', 'stdc', 'cgnet',
    'erfnet_fcn', 'bisenetv2', 'lraspp_m-v3-d8', 'upernet_vit-b16_ln_mln',
)  # fmt: skip
SHARE = 0.01


@cache
def borders(network):
    """All borders of a network of mmseg, and what its local heads take over."""
    cfg = localize(read_config(f'mmseg::_base_/models/{network}.py'), 2)
    with undrawn_weights():
        model = build_end_to_end(cfg)
    trace = trace_backbone(model.backbone)
    names = boundary_names(model.backbone)
    return borders_of(model.backbone, trace, names, 3), model.head_defaults()


@pytest.mark.parametrize('network', NETWORKS)
def test_heads_stay_within_their_share_of_the_flops_at_stride_8_or_coarser(network):
    found, defaults = borders(network)
    for border in found[:: len(found) // 3 + 1]:
        with undrawn_weights():
            heads = build_local_heads(default_heads(), border, defaults)
        with FakeTensorMode() as mode:
            heads = fake_copy(heads, mode)
            sizes = [round(512 / shape.stride) for shape in border.shapes]
            maps = [
                torch.empty(1, shape.channels, size, size)
                for shape, size in zip(border.shapes, sizes, strict=True)
            ]
            with FlopCounterMode(display=False) as counter:
                logits = [head(maps) for head in heads]
        assert counter.get_total_flops() <= SHARE * border.flops_per_pixel * 512**2
        assert logits[0].shape[-1] <= 512 / 8
        assert logits[0].shape[1] == defaults['num_classes']
        assert logits[1].shape[-1] == logits[1].shape[-2] <= 512 / 4


def test_what_is_rebuilt_has_the_channels_of_the_image():
    """FLOPs as torch counts them are those that the width was chosen by."""
    cfg = model_config(local=dict(boundaries=['layer2.1'], heads='fitted'))
    cfg['backbone']['in_channels'] = 12
    cfg['data_preprocessor'].update(mean=None, std=None, bgr_to_rgb=False)
    model = build(cfg)
    trace = trace_backbone(model.backbone, 12)
    (border,) = borders_of(model.backbone, trace, ['layer2.1'], 12)
    head = model.border_heads(0)[1]
    found = fit_of(dict(type='FittedReconstructionHead'), border, model.head_defaults())
    (shape,) = border.shapes
    size = round(256 / shape.stride)
    with FlopCounterMode(display=False) as counter:
        assert head([torch.randn(1, shape.channels, size, size)]).shape[1] == 12
    counted = counter.get_total_flops() / 256**2 / border.flops_per_pixel
    assert found.share == pytest.approx(counted)


def test_a_wider_share_makes_wider_heads():
    found, defaults = borders('stdc')
    kind = dict(type='FittedTaskHead')
    narrow, wide = (fit_of({**kind, **more}, found[0], defaults) for more in ({}, dict(share=0.05)))
    assert wide.channels > narrow.channels
    assert wide.share <= 0.05


def test_what_is_written_or_given_is_not_fitted():
    (border, *_), defaults = borders('stdc')
    written = {border.boundary: dict(channels=24, min_stride=32.0)}
    for cfg in (dict(fitted=written), dict(channels=24, min_stride=32.0)):
        head = build_head(dict(type='FittedTaskHead', **cfg), border, defaults)
        assert head.channels == 24
        assert head([torch.randn(2, 32, 32, 32)]).shape == (2, 19, 2, 2)


def test_a_frozen_unit_costs_a_third():
    backbone = build(model_config(local=dict(boundaries=['layer2.1']))).backbone
    trace, area = trace_backbone(backbone), 2 * 256 * 256
    whole = flops_per_pixel(backbone, trace)
    assert whole == sum(trace.flops.values()) / area
    backbone.layer4.requires_grad_(False)
    last = sum(value for name, value in trace.flops.items() if name.startswith('layer4'))
    assert flops_per_pixel(backbone, trace) == pytest.approx(whole - last * 2 / 3 / area)
