"""A real Runner that trains a tiny network on a tiny generated data set."""

import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.runner import Runner
from PIL import Image

import mmseg_infopro  # noqa: F401


@pytest.fixture(scope='session')
def data_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp('data')
    rng = np.random.default_rng(0)
    for folder, shape, high in (('images', (40, 48, 3), 256), ('masks', (40, 48), 3)):
        (root / folder).mkdir()
        for index in range(7):
            pixels = rng.integers(high, size=shape, dtype=np.uint8)
            Image.fromarray(pixels).save(root / folder / f'{index}.png')
    return root


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Tiny convolutions are faster, on a busy machine much faster, without more threads."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def build_runner(data_root: Path, one_thread: None) -> Iterator[Callable[..., Runner]]:
    """Builds a Runner for 6 iterations; keyword arguments replace parts of its config."""
    runners: list[Runner] = []

    def build(
        work_dir: Path, num_workers: int = 0, val_interval: int = 100, **parts: Any
    ) -> Runner:
        cfg = dict(
            default_scope='mmseg',
            experiment_name=uuid.uuid4().hex,
            work_dir=str(work_dir),
            log_level='ERROR',
            model=_model(),
            train_dataloader=dict(
                batch_size=2,
                num_workers=num_workers,
                persistent_workers=num_workers > 0,
                sampler=dict(type='StreamSampler', shuffle=True),
                dataset=dict(type='SeededDataset', dataset=_dataset(data_root, _augmentation())),
            ),
            train_cfg=dict(type='IterBasedTrainLoop', max_iters=6, val_interval=val_interval),
            optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.1, momentum=0.9)),
            param_scheduler=[dict(type='PolyLR', power=0.9, begin=0, end=6, by_epoch=False)],
            val_dataloader=dict(
                batch_size=1,
                num_workers=0,
                sampler=dict(type='DefaultSampler', shuffle=False),
                dataset=_dataset(data_root, _preparation()),
            ),
            val_cfg=dict(type='ValLoop'),
            val_evaluator=dict(type='IoUMetric', iou_metrics=['mIoU']),
            default_hooks=dict(checkpoint=_checkpoint_hook()),
            custom_hooks=[dict(type='RNGStateHook')],
        )
        runners.append(Runner.from_cfg(Config({**cfg, **parts})))
        return runners[-1]

    yield build
    # Left to the garbage collector, each worker process takes torch 5 seconds to stop.
    for runner in runners:
        iterator = runner.train_loop.dataloader_iterator._iterator
        getattr(iterator, '_shutdown_workers', lambda: None)()


def _checkpoint_hook() -> dict[str, Any]:
    return dict(
        type='CheckpointHook',
        by_epoch=False,
        interval=3,
        save_best='mIoU',
        backend_args=dict(backend='atomic'),
    )


def _model() -> dict[str, Any]:
    """Two local modules whose heads draw random numbers: dropout and sampled pixels."""
    return dict(
        type='InfoProEncoderDecoder',
        local=dict(
            boundaries=['layer2.0'],
            heads=[
                dict(type='FCNHead', channels=8, num_convs=1, dropout_ratio=0.5),
                dict(type='ReconstructionHead', channels=8),
                dict(type='PixelContrastHead', channels=8, num_samples=16),
            ],
        ),
        data_preprocessor=dict(
            type='SegDataPreProcessor', size=(32, 32), mean=[128.0] * 3, std=[64.0] * 3
        ),
        backbone=dict(type='InfoProResNetV1c', depth=18, base_channels=8, stem_channels=8),
        decode_head=dict(
            type='FCNHead',
            in_channels=64,
            channels=8,
            num_convs=1,
            num_classes=3,
            dropout_ratio=0.5,
        ),
        train_cfg=dict(),
        test_cfg=dict(mode='whole'),
    )


def _dataset(root: Path, pipeline: list[dict[str, Any]]) -> dict[str, Any]:
    return dict(
        type='BaseSegDataset',
        metainfo=dict(classes=('a', 'b', 'c'), palette=[[0] * 3, [1] * 3, [2] * 3]),
        img_suffix='.png',
        data_root=str(root),
        data_prefix=dict(img_path='images', seg_map_path='masks'),
        pipeline=pipeline,
    )


def _augmentation() -> list[dict[str, Any]]:
    return [
        dict(type='LoadImageFromFile'),
        dict(type='LoadAnnotations'),
        dict(type='RandomResize', scale=(48, 40), ratio_range=(0.8, 2.0), keep_ratio=True),
        dict(type='RandomCrop', crop_size=(32, 32), cat_max_ratio=0.75),
        dict(type='RandomFlip', prob=0.5),
        dict(type='PhotoMetricDistortion'),
        dict(type='PackSegInputs'),
    ]


def _preparation() -> list[dict[str, Any]]:
    return [
        dict(type='LoadImageFromFile'),
        dict(type='LoadAnnotations'),
        dict(type='PackSegInputs'),
    ]
