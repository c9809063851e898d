"""One config of every family that mmseg ships trains for a step in two local modules."""

from __future__ import annotations

from copy import deepcopy

import pytest
import torch
from mmengine.registry import DefaultScope

from mmseg_infopro import localize, resolve
from mmseg_infopro.config.build import build_model
from mmseg_infopro.config.edit import override_step
from mmseg_infopro.config.pretrained import without_pretrained
from mmseg_infopro.config.read import read_config
from mmseg_infopro.config.step import step_shape
from mmseg_infopro.local.prediction import predict_module
from mmseg_infopro.parallel.prediction import predict_part
from mmseg_infopro.planning.batch import training_batch
from mmseg_infopro.report.coverage import installed_configs
from tests.models import KeepGradients, disable_logging, gradients

CROPS = {'mobilenet_v3': 512}  # its head pools over 49 pixels at stride 8
SAMPLE = {
    'ann': 'ann_r50-d8_4xb2-40k_cityscapes-512x1024',
    'apcnet': 'apcnet_r50-d8_4xb2-40k_cityscapes-512x1024',
    'beit': 'beit-base_upernet_8xb2-160k_ade20k-640x640',
    'bisenetv1': 'bisenetv1_r18-d32_4xb4-160k_cityscapes-1024x1024',
    'bisenetv2': 'bisenetv2_fcn_4xb4-160k_cityscapes-1024x1024',
    'cgnet': 'cgnet_fcn_4xb8-60k_cityscapes-512x1024',
    'danet': 'danet_r50-d8_4xb2-40k_cityscapes-512x1024',
    'ddrnet': 'ddrnet_23-slim_in1k-pre_2xb6-120k_cityscapes-1024x1024',
    'deeplabv3': 'deeplabv3_r18-d8_4xb2-80k_cityscapes-512x1024',
    'deeplabv3plus': 'deeplabv3plus_r18-d8_4xb2-80k_cityscapes-512x1024',
    'dmnet': 'dmnet_r50-d8_4xb2-40k_cityscapes-512x1024',
    'dnlnet': 'dnl_r50-d8_4xb2-40k_cityscapes-512x1024',
    'dpt': 'dpt_vit-b16_8xb2-160k_ade20k-512x512',
    'emanet': 'emanet_r50-d8_4xb2-80k_cityscapes-512x1024',
    'encnet': 'encnet_r50-d8_4xb2-40k_cityscapes-512x1024',
    'erfnet': 'erfnet_fcn_4xb4-160k_cityscapes-512x1024',
    'fastfcn': 'fastfcn_r50-d32_jpu_aspp_4xb2-80k_cityscapes-512x1024',
    'fastscnn': 'fast_scnn_8xb4-160k_cityscapes-512x1024',
    'fcn': 'fcn_r18-d8_4xb2-80k_cityscapes-512x1024',
    'gcnet': 'gcnet_r50-d8_4xb2-40k_cityscapes-512x1024',
    'hrnet': 'fcn_hr18s_4xb2-40k_cityscapes-512x1024',
    'icnet': 'icnet_r50-d8_4xb2-80k_cityscapes-832x832',
    'isanet': 'isanet_r50-d8_4xb2-40k_cityscapes-512x1024',
    'knet': 'knet-s3_r50-d8_fcn_8xb2-adamw-80k_ade20k-512x512',
    'mae': 'mae-base_upernet_8xb2-amp-160k_ade20k-512x512',
    'mobilenet_v2': 'mobilenet-v2-d8_deeplabv3_4xb2-80k_cityscapes-512x1024',
    'mobilenet_v3': 'mobilenet-v3-d8-s_lraspp_4xb4-320k_cityscapes-512x1024',
    'nonlocal_net': 'nonlocal_r50-d8_4xb2-40k_cityscapes-512x1024',
    'ocrnet': 'ocrnet_hr18s_4xb2-40k_cityscapes-512x1024',
    'pidnet': 'pidnet-s_2xb6-120k_1024x1024-cityscapes',
    'pspnet': 'pspnet_r18-d8_4xb2-80k_cityscapes-512x1024',
    'resnest': 'resnest_s101-d8_fcn_4xb2-80k_cityscapes-512x1024',
    'segformer': 'segformer_mit-b0_8xb2-160k_ade20k-512x512',
    'segmenter': 'segmenter_vit-t_mask_8xb1-160k_ade20k-512x512',
    'segnext': 'segnext_mscan-t_1xb16-adamw-160k_ade20k-512x512',
    'sem_fpn': 'fpn_r50_4xb2-80k_cityscapes-512x1024',
    'stdc': 'stdc1_4xb12-80k_cityscapes-512x1024',
    'swin': 'swin-tiny-patch4-window7-in1k-pre_upernet_8xb2-160k_ade20k-512x512',
    'twins': 'twins_svt-s_fpn_fpnhead_8xb4-80k_ade20k-512x512',
    'unet': 'unet-s5-d16_fcn_4xb4-40k_drive-64x64',
    'upernet': 'upernet_r18_4xb2-40k_cityscapes-512x1024',
    'vit': 'vit_deit-s16_upernet_8xb2-80k_ade20k-512x512',
}
NOT_HERE = {
    'ccnet': 'compiled ops',
    'convnext': 'mmpretrain',
    'dsdl': 'the models of deeplabv3',
    'mask2former': 'mmdet',
    'maskformer': 'mmdet',
    'point_rend': 'compiled ops',
    'poolformer': 'mmpretrain',
    'psanet': 'compiled ops',
    'san': 'refused',
    'setr': '300 million parameters',
    'vpd': 'refused',
}
"""Families without a step here, and what it would take; refusals have tests of their own."""


def small_config(family: str):
    """Return a config of the family, its network as it is, on a small crop."""
    cfg = read_config(f'mmseg::{family}/{SAMPLE[family]}.py')
    cfg.model = without_pretrained(cfg.model)
    crop = CROPS.get(family, 64)
    override_step(cfg, batch_size=2, crop=(crop, crop), amp='none')
    if cfg.model.backbone.type in ('BEiT', 'MAE'):  # they take images of one size
        cfg.model.backbone.img_size = crop
    return cfg


def test_every_family_is_here_or_says_why_not():
    families = {name.partition('/')[0] for name in installed_configs()}
    assert families == SAMPLE.keys() | NOT_HERE.keys()


@pytest.mark.parametrize('family', SAMPLE)
def test_a_family_trains_in_two_local_modules(family):
    cfg = resolve(localize(small_config(family), 2))
    cfg.model.local.update_per_module = False  # which drops the gradients
    torch.manual_seed(0)
    with DefaultScope.overwrite_default_scope('mmseg'), disable_logging():
        model = build_model(deepcopy(cfg.model)).train()
    log = model.train_step(training_batch(step_shape(cfg)), KeepGradients.wrap(model))
    assert any(name.startswith('local_0') for name in log)
    assert any(name.startswith('decode') for name in log)
    assert log['loss'].isfinite()
    reached = gradients(model)
    assert all(gradient.isfinite().all() for gradient in reached.values())
    for index in range(2):
        own = {n for n, p in model.module_parameters(index).items() if p.requires_grad}
        assert len(own & reached.keys()) > 0.9 * len(own)
    check_prediction(model.eval(), training_batch(step_shape(cfg)))


class Before:
    """In place of a link: runs all modules before the last one on this process."""

    def __init__(self, model):
        self.model = model

    def receive(self, own, backbone):
        for index in range(len(self.model.boundaries)):
            own = predict_module(self.model, index, own)
        return own


def check_prediction(model, data):
    """Module by module a prediction is the plain one, bit for bit."""
    batch = model.data_preprocessor(deepcopy(data), False)
    sizes = [batch['inputs'].shape[2:]] * len(batch['data_samples'])
    for sample, size in zip(data['data_samples'], sizes, strict=True):
        sample.set_metainfo(dict(img_shape=tuple(size), ori_shape=tuple(size)))
    with torch.no_grad():
        torch.manual_seed(0)  # SegNeXt's head draws its bases anew in each prediction
        wanted = model.val_step(deepcopy(data))
        torch.manual_seed(0)
        found = predict_part(model, len(model.boundaries), Before(model), deepcopy(data))
    for one, other in zip(found, wanted, strict=True):
        assert torch.equal(one.seg_logits.data, other.seg_logits.data)
