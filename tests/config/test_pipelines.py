"""Crop, edges and range of the training images are found in any nest of data sets."""

import pytest
from mmcv.transforms import RandomFlip
from mmengine.config import Config
from mmseg.datasets.transforms import GenerateEdge, RandomCrop

from mmseg_infopro.config.edit import set_crop
from mmseg_infopro.config.pipelines import makes_bytes, training_size, training_transforms
from mmseg_infopro.config.step import image_channels, step_shape, training_crop
from mmseg_infopro.config.walk import type_name

LOAD = dict(type='LoadImageFromFile')


def crop(*size):
    return dict(type='RandomCrop', crop_size=size)


def leaf(*transforms):
    return dict(type='BaseSegDataset', pipeline=[LOAD, *transforms])


RESIZE = dict(type='Resize', scale=(96, 64), keep_ratio=False)
DATASETS = {
    'plain': (leaf(crop(64, 96)), (64, 96)),
    'a class': (leaf(dict(type=RandomCrop, crop_size=(64, 96))), (64, 96)),
    'one length': (leaf(dict(type='RandomCrop', crop_size=64)), (64, 64)),
    'fixed resize': (leaf(RESIZE), (64, 96)),
    'resize before a crop': (leaf(RESIZE, crop(32, 32)), (32, 32)),
    'of another size': (leaf(crop(64, 96), dict(type='RandomResize', scale=(9, 9))), None),
    'keeps its ratio': (leaf(dict(RESIZE, keep_ratio=True)), None),
    'centre crop': (leaf(dict(type='CenterCrop', crop_size=(96, 64))), (64, 96)),
    'padded': (leaf(crop(32, 96), dict(type='Pad', size=(80, 64))), (64, 96)),
    'repeated': (dict(type='RepeatDataset', times=2, dataset=leaf(crop(64, 96))), (64, 96)),
    'joined': (
        dict(type='ConcatDataset', datasets=[leaf(crop(64, 32)), leaf(crop(32, 96))]),
        (64, 96),
    ),
    'joined and repeated': (
        dict(
            type='ConcatDataset',
            datasets=[leaf(), dict(type='RepeatDataset', dataset=leaf(crop(64, 96)))],
        ),
        (64, 96),
    ),
    'mosaic': (
        dict(
            type='MultiImageMixDataset',
            dataset=dict(type='ConcatDataset', datasets=[leaf(crop(512, 512)), leaf()]),
            pipeline=[dict(type='RandomMosaic', img_scale=(96, 96)), crop(64, 96)],
        ),
        (64, 96),
    ),
    'mosaic alone': (
        dict(
            type='MultiImageMixDataset',
            dataset=leaf(),
            pipeline=[dict(type='RandomMosaic', img_scale=(32, 48))],
        ),
        (64, 96),
    ),
    "a wrapper of one's own": (dict(type='Half', source=leaf(crop(64, 96))), (64, 96)),
    'two pipelines': (
        dict(type='Pairs', weak_pipeline=[crop(64, 32)], strong_pipeline=[crop(32, 96)]),
        (64, 96),
    ),
    'one of several': (
        leaf(dict(type='RandomChoice', transforms=[[crop(64, 32)], [RESIZE]])),
        (64, 96),
    ),
}


def config(dataset, **preprocessor):
    return Config(
        dict(
            model=dict(backbone=dict(type='ResNetV1c'), data_preprocessor=preprocessor),
            train_dataloader=dict(batch_size=2, dataset=dataset),
            optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.1)),
        )
    )


@pytest.mark.parametrize(('dataset', 'expected'), DATASETS.values(), ids=DATASETS)
def test_the_size_of_the_images_is_found(dataset, expected):
    assert training_size(config(dataset)) == expected


@pytest.mark.parametrize(('dataset', 'expected'), DATASETS.values(), ids=DATASETS)
def test_another_crop_is_set_wherever_it_stands(dataset, expected):
    cfg = config(dataset, size=(64, 96))
    set_crop(cfg, (128, 160))
    fixed = ('keeps its ratio', 'of another size', 'padded', 'mosaic alone')
    if dataset not in [DATASETS[name][0] for name in fixed]:
        assert training_size(cfg) == (128, 160)
    assert tuple(cfg.model.data_preprocessor.size) == (128, 160)


@pytest.mark.parametrize(
    ('preprocessor', 'expected'),
    [
        (dict(size=(64, 96)), (64, 96)),
        (dict(size=(128, 64)), (128, 96)),  # it only pads
        (dict(size=(32, 32)), (64, 96)),
        (dict(size_divisor=50), (100, 100)),
        (dict(), (64, 96)),
    ],
)
def test_the_step_is_planned_for_what_the_network_sees(preprocessor, expected):
    assert training_crop(config(leaf(crop(64, 96)), **preprocessor)) == expected


@pytest.mark.parametrize('size', [(0, 0), (64, -1), (64.5, 64), 'large', (1, 2, 3)])
def test_what_is_no_size_is_named(size):
    with pytest.raises(ValueError, match=r'model\.data_preprocessor\.size: a size must be one or'):
        training_crop(config(leaf(), size=size))


@pytest.mark.parametrize('edge', ['GenerateEdge', GenerateEdge, 'mmseg.GenerateEdge'])
def test_edges_are_found_in_a_wrapped_data_set(edge):
    inner = leaf(crop(64, 96), dict(type=edge))
    dataset = dict(type='ConcatDataset', datasets=[leaf(crop(64, 96)), inner])
    assert step_shape(config(dataset)).has_edges
    assert not step_shape(config(leaf(crop(64, 96)))).has_edges


BYTES = {
    'photos': (leaf(crop(4, 4), dict(type='PhotoMetricDistortion')), True),
    'classes': (leaf(dict(type=RandomFlip)), True),
    'normalized': (leaf(dict(type='Normalize', mean=[0], std=[1])), False),
    'unchanged': (dict(pipeline=[dict(LOAD, color_type='unchanged')]), False),
    'tiff': (dict(pipeline=[dict(LOAD, imdecode_backend='tifffile')]), False),
    'own loader': (dict(pipeline=[dict(type='LoadBands')]), False),
    'own transform': (leaf(dict(type='ToReflectance')), False),
    'one of two': (dict(datasets=[leaf(), dict(pipeline=[dict(type='LoadBands')])]), False),
}


@pytest.mark.parametrize(('dataset', 'expected'), BYTES.values(), ids=BYTES)
def test_8_bit_images_are_known_by_their_transforms(dataset, expected):
    assert makes_bytes(config(dataset)) is expected


def test_transforms_within_others_count():
    inner = dict(type='RandomApply', transforms=[dict(type='Albu')])
    assert 'Albu' in map(type_name, training_transforms(config(leaf(inner))))


@pytest.mark.parametrize(
    ('backbone', 'expected'),
    [
        (dict(type='ResNetV1c'), 3),
        (dict(type='ResNetV1c', in_channels=5), 5),
        (dict(type='SwinTransformer', in_channels=1), 1),
        (dict(type='Unknown'), 3),
    ],
)
def test_channels_are_the_backbones(backbone, expected):
    assert image_channels(dict(backbone=backbone)) == expected
