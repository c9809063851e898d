"""Situations from public reports, each against what plain mmseg does in it."""

from __future__ import annotations

import gc
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.optim import OptimWrapper
from mmengine.structures import PixelData
from mmseg.registry import DATASETS, MODELS
from PIL import Image

from mmseg_infopro import localize, resolve
from mmseg_infopro.config.step import step_shape
from mmseg_infopro.local_heads.bounded_loss import bound_losses
from mmseg_infopro.measure.dry_step import dry_step
from mmseg_infopro.measure.tracker import MemoryTracker
from tests.models import BN, HEADS, KeepGradients, batch, build, gradients, model_config

SGD = dict(type='OptimWrapper', optimizer=dict(type='SGD', lr=0.01, momentum=0.9))
CE = 'CrossEntropyLoss'
OHEM = 'OHEMPixelSampler'


def config(decode_head: dict[str, Any], num_modules: int | None = 2) -> dict[str, Any]:
    """A network with one decode head; plain mmseg's own for None."""
    local = None
    if num_modules is not None:
        local = dict(boundaries=['layer2.0'][: num_modules - 1], heads=HEADS[:1])
    cfg = model_config(local=local)
    cfg['auxiliary_head'] = None
    cfg['decode_head'].update(decode_head)
    return cfg


# ---- losses that look at data

LOSSES = {
    'lovasz of those present': dict(loss_decode=dict(type='LovaszLoss', reduction='none')),
    'lovasz by image': dict(loss_decode=dict(type='LovaszLoss', per_image=True)),
    'lovasz of all': dict(loss_decode=dict(type='LovaszLoss', classes='all', reduction='none')),
    'three': dict(
        loss_decode=[
            dict(type=CE, class_weight=[0.5, 1.0, 2.0, 1.0, 3.0]),
            dict(type='DiceLoss', loss_name='loss_dice', loss_weight=3.0),
            dict(type='LovaszLoss', loss_name='loss_lovasz', per_image=True),
        ]
    ),
    'tversky': dict(loss_decode=dict(type='TverskyLoss')),
    'hard pixels': dict(sampler=dict(type=OHEM, thresh=0.7, min_kept=500)),
    'the hardest pixels': dict(sampler=dict(type=OHEM, min_kept=500)),
    'several sigmoids': dict(loss_decode=dict(type=CE, use_sigmoid=True)),
    'edges of the labels': dict(type='STDCHead', boundary_threshold=0.1),
}


def real_peak(model: Any, batch: Callable[[], dict[str, Any]] = batch) -> int:
    """Count the bytes of real tensors in the second of two steps."""
    wrapper = OptimWrapper(torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9))
    tracker = MemoryTracker()
    tracker.track([*model.buffers(), *model.parameters()], 'parameters')
    with tracker:
        for _ in range(2):
            model.train_step(batch(), wrapper)
            gc.collect()
    return tracker.peak_bytes.total()


@pytest.mark.parametrize('name', LOSSES)
def test_a_plan_covers_a_real_step_whatever_the_loss_looks_at(name: str) -> None:
    cfg = config(LOSSES[name])
    planned = MODELS.build(deepcopy(cfg))
    bound_losses(planned)
    found = dry_step(planned, SGD, batch).peak.total
    assert real_peak(build(cfg)) <= 1.001 * found


@pytest.mark.parametrize('name', LOSSES)
def test_one_module_trains_as_plain_mmseg_whatever_the_loss_looks_at(name: str) -> None:
    ours, plain = build(config(LOSSES[name], 1)), build(config(LOSSES[name], None))
    ours.load_state_dict(plain.state_dict())
    logs = [model.train_step(batch(), KeepGradients.wrap(model)) for model in (ours, plain)]
    assert logs[0].keys() == logs[1].keys()
    assert all(torch.equal(logs[0][key], logs[1][key]) for key in logs[0])
    expected = gradients(plain)
    assert all(torch.equal(value, expected[key]) for key, value in gradients(ours).items())


def with_edges() -> dict[str, Any]:
    """A batch with maps of edges, as `GenerateEdge` makes them; few pixels are one."""
    data = batch(64)
    for sample in data['data_samples']:
        labels = sample.gt_sem_seg.data
        sample.gt_edge_map = PixelData(data=(labels == 1).long())
    return data


def test_a_plan_covers_a_real_step_with_losses_at_edges() -> None:
    task = dict(type='OhemCrossEntropy', thres=0.9, min_kept=100)
    losses = [dict(type=CE), task, dict(type='BoundaryLoss', loss_weight=20.0), task]
    backbone = dict(type='InfoProPIDNet', channels=4, ppm_channels=5, num_branch_blocks=2)
    head = dict(type='PIDHead', in_channels=16, channels=16, num_classes=5, loss_decode=losses)
    cfg = config({})
    cfg |= dict(backbone=backbone | dict(norm_cfg=BN), decode_head=head | dict(norm_cfg=BN))
    cfg['local']['boundaries'] = ['exchange_1']
    planned = MODELS.build(deepcopy(cfg))
    bound_losses(planned)
    found = dry_step(planned, SGD, with_edges).peak.total
    assert real_peak(build(cfg), with_edges) <= 1.001 * found


# ---- heads that end in a sigmoid, weights, ignored labels

TASKS = {
    'one logit': dict(
        num_classes=2, out_channels=1, threshold=0.4, loss_decode=dict(type=CE, use_sigmoid=True)
    ),
    'one class': dict(
        num_classes=1, out_channels=1, threshold=0.4, loss_decode=dict(type=CE, use_sigmoid=True)
    ),
    'several labels': dict(loss_decode=dict(type=CE, use_sigmoid=True)),
    'average of labelled pixels': dict(
        ignore_index=3, loss_decode=dict(type=CE, avg_non_ignore=True)
    ),
    'class weights': dict(loss_decode=dict(type=CE, class_weight=[0.5, 1.0, 2.0, 1.0, 3.0])),
}


@pytest.mark.parametrize('name', TASKS)
def test_the_local_task_is_that_of_a_plain_head_with_the_same_weights(name: str) -> None:
    model = build(config(TASKS[name]))
    (head,) = model.border_heads(0)
    own = dict(in_channels=16, in_index=0, norm_cfg=model.decode_head.norm_cfg)
    plain = MODELS.build(dict(dict(HEADS[0], num_classes=5), **own, **TASKS[name])).train()
    plain.load_state_dict(head.state_dict())
    data = batch()
    for sample in data['data_samples']:
        label = sample.gt_sem_seg.data
        if model.decode_head.out_channels == 1:
            label[label != 255] %= 2
        label[label == 255] = model.decode_head.ignore_index
    prepared = model.data_preprocessor(data, True)
    with torch.no_grad():
        features = model.border_features(prepared['inputs'], 0)
        found = head.loss(features, prepared['data_samples'], {})
        expected = plain.loss(features, prepared['data_samples'], {})
    assert found.keys() == expected.keys() == {'loss_ce', 'acc_seg'}
    assert all(torch.equal(found[key], expected[key]) for key in found)
    assert found['loss_ce'] > 0.1


# ---- images that are not 8-bit RGB

PHOTO = torch.rand(2, 5, 64, 64, generator=torch.Generator().manual_seed(0))
PHOTO[:, :, 0, 0], PHOTO[:, :, 0, 1] = 0, 1
IMAGES: dict[str, tuple[Any, dict[str, Any], Any]] = {
    'bytes, one mean for all': (lambda x: 255 * x, dict(mean=[120.0], std=[60.0]), None),
    '16 bits': (lambda x: 1e4 * x, dict(mean=[3e3], std=[2e3]), (0, 1e4)),
    '16 bits, measured': (lambda x: 1e4 * x, dict(mean=[3e3], std=[2e3]), 'measured'),
    'normalized in the pipeline': (lambda x: (x - 0.4) / 0.2, {}, None),
    '0 to 1': (lambda x: x, {}, None),
    'decibels': (lambda x: 30 * x - 30, {}, None),
}


@pytest.mark.parametrize('name', IMAGES)
def test_what_is_rebuilt_of_the_plain_preprocessors_images_is_the_photo(name: str) -> None:
    scale, normalization, image_range = IMAGES[name]
    cfg = model_config(local=dict(boundaries=['layer2.0'], heads=HEADS, image_range=image_range))
    cfg['backbone']['in_channels'] = 5
    cfg['data_preprocessor'] = dict(type='SegDataPreProcessor', size=(64, 64), **normalization)
    plain = MODELS.build(deepcopy(cfg['data_preprocessor']))
    data = dict(batch(), inputs=[scale(image) for image in PHOTO])
    model = build(cfg)
    head = model.border_heads(0)[1]
    target = head.target(plain(data, True)['inputs'])
    assert (target - PHOTO).abs().max() < 0.03
    model.train_step(data, KeepGradients.wrap(model))
    assert gradients(model)['local_heads.layer2-0.1.predict_image.weight'].shape[0] == 5


# ---- data sets in one another


@pytest.fixture
def leaf(tmp_path: Path) -> dict[str, Any]:
    """Two images of 40x60 pixels."""
    for folder, shape in (('img', (40, 60, 3)), ('ann', (40, 60))):
        (tmp_path / folder).mkdir()
        pixels = np.random.default_rng(0).integers(2, size=shape, dtype=np.uint8)
        for number in range(2):
            Image.fromarray(pixels).save(tmp_path / folder / f'{number}.png')
    prefix = dict(img_path='img', seg_map_path='ann')
    own = dict(type='BaseSegDataset', data_root=str(tmp_path), img_suffix='.png')
    return dict(own, data_prefix=prefix, metainfo=dict(classes=('a', 'b')))


LOAD = [dict(type='LoadImageFromFile'), dict(type='LoadAnnotations')]
CROP = dict(type='RandomCrop', crop_size=(16, 24))
RESIZE = dict(type='Resize', scale=(48, 32), keep_ratio=False)
EDGE, PACK = dict(type='GenerateEdge'), dict(type='PackSegInputs')


def mosaic(leaf: dict[str, Any], *transforms: dict[str, Any]) -> dict[str, Any]:
    loaded = dict(leaf, pipeline=LOAD)
    first = dict(type='RandomMosaic', prob=1.0, img_scale=(20, 30))
    return dict(
        type='MultiImageMixDataset',
        dataset=dict(type='ConcatDataset', datasets=[loaded, loaded]),
        pipeline=[first, *transforms],
    )


DATA = {
    'joined and repeated': lambda leaf: dict(
        type='ConcatDataset',
        datasets=[
            dict(leaf, pipeline=[*LOAD, CROP, PACK]),
            dict(
                type='RepeatDataset',
                times=2,
                dataset=dict(leaf, pipeline=[*LOAD, RESIZE, PACK]),
            ),
        ],
    ),
    'mosaic': lambda leaf: mosaic(leaf, PACK),
    'mosaic with edges': lambda leaf: mosaic(leaf, CROP, EDGE, PACK),
    'seeded': lambda leaf: dict(
        type='SeededDataset', dataset=dict(leaf, pipeline=[*LOAD, CROP, EDGE, PACK])
    ),
}


@pytest.mark.parametrize('name', DATA)
def test_planned_images_and_labels_are_those_that_the_data_set_yields(name, leaf) -> None:
    cfg = Config(
        dict(
            model=model_config(),
            train_dataloader=dict(batch_size=2, dataset=DATA[name](leaf)),
            optim_wrapper=SGD,
        )
    )
    cfg.model.data_preprocessor.size = None
    dataset = DATASETS.build(cfg.train_dataloader.dataset)
    samples = [dataset[index] for index in range(len(dataset))]
    shape = step_shape(cfg)
    sizes = [sample['inputs'].shape[1:] for sample in samples]
    assert shape.crop == (max(h for h, _ in sizes), max(w for _, w in sizes))
    assert shape.has_edges is all('gt_edge_map' in sample['data_samples'] for sample in samples)


# ---- one image in each process


def test_synchronized_norms_with_one_image_in_each_process_are_planned() -> None:
    """Plain mmseg trains so on several GPUs; on one process it finds one value per channel."""
    norm = dict(type='SyncBN', requires_grad=True)
    cfg = config({}, None)
    own = {key: cfg['decode_head'][key] for key in ('in_channels', 'in_index', 'num_classes')}
    cfg['decode_head'] = dict(own, type='PSPHead', channels=8, pool_scales=(1, 2), norm_cfg=norm)
    cfg['backbone']['norm_cfg'] = norm
    whole = Config(dict(model=cfg, train_dataloader=dict(batch_size=1), optim_wrapper=SGD))
    assert len(resolve(localize(whole, num_modules=2)).model.local.boundaries) == 1
    model = build(cfg)
    with pytest.raises(ValueError, match='more than 1 value per channel'):
        model.train_step(batch(batch_size=1), KeepGradients.wrap(model))
