"""One tiny network for every method, and its training without a Runner."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from typing import Any

import torch
from mmengine.config import Config
from mmengine.optim import OptimWrapper, build_optim_wrapper
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample
from torch import Tensor

from ..config.build import build_model
from ..config.localize import localize
from ..config.methods import METHODS, find_method
from ..config.resolve import resolve
from ..config.step import step_shape
from ..local.clock import at_iteration
from ..measure.dry_step import without_accelerator
from ..planning.batch import StepShape

NUM_STEPS = 4
"""Iterations of a trial, of which schedules get shares."""
NUM_CLASSES = 3
BOUNDARIES = ('layer1.1', 'layer3.0')


class Differs(AssertionError):
    """A combination runs, but not as it must."""


def tiny_configs(names: Sequence[str] | None = None) -> dict[str, Config]:
    """Return a resolved config of each method, end-to-end training apart, or of some.

    Raises:
        ValueError: There is no such method.
    """
    plain = tiny_plain()
    for name in names or ():
        find_method(name)
    found = [name for name in METHODS if name != 'e2e' and name in (names or METHODS)]
    return {name: _tiny(plain, name) for name in found}


def tiny_plain() -> Config:
    """Return the network before any method: a plain config of mmseg."""
    norm = dict(type='BN', requires_grad=True)
    head = dict(
        type='FCNHead', channels=8, num_convs=1, concat_input=False, norm_cfg=norm,
        num_classes=NUM_CLASSES,
    )  # fmt: skip
    backbone = dict(
        type='ResNetV1c', depth=18, base_channels=8, stem_channels=8, norm_cfg=norm, num_stages=4,
        out_indices=(0, 1, 2, 3), strides=(1, 2, 1, 1), dilations=(1, 1, 2, 4),
    )  # fmt: skip
    model = dict(
        type='EncoderDecoder',
        data_preprocessor=dict(type='SegDataPreProcessor', size=(32, 32), mean=[127.0] * 3,
                               std=[60.0] * 3),
        backbone=backbone,
        decode_head=dict(head, in_channels=64, in_index=3),
        auxiliary_head=dict(head, in_channels=32, in_index=2),
        train_cfg=dict(),
        test_cfg=dict(mode='whole'),
    )  # fmt: skip
    return Config(
        dict(
            model=model,
            train_dataloader=dict(batch_size=2),
            train_cfg=dict(max_iters=NUM_STEPS),
            optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.01, momentum=0.9)),
        )
    )


def _tiny(plain: Config, method: str) -> Config:
    cfg = localize(plain, boundaries=BOUNDARIES, method=method, recipe='plain')
    schedule = cfg.model.local.get('schedule', {})
    if 'period' in schedule:
        schedule['period'] = 2
    return resolve(cfg)


def make_batch(shape: StepShape, seed: int) -> dict[str, Any]:
    """Return a batch of random images and labels."""
    generator = torch.Generator().manual_seed(seed)
    samples = []
    for _ in range(shape.batch_size):
        label = torch.randint(0, NUM_CLASSES, (1, *shape.crop), generator=generator)
        sample = SegDataSample(metainfo=dict(img_shape=shape.crop, ori_shape=shape.crop))
        sample.gt_sem_seg = PixelData(data=label)
        samples.append(sample)
    images = [
        torch.randint(0, 256, (3, *shape.crop), generator=generator, dtype=torch.uint8)
        for _ in range(shape.batch_size)
    ]
    return dict(inputs=images, data_samples=samples)


class Run:
    """A model in training, without a Runner.

    Args:
        cfg: Its config.
        wrapper: Changes to ``optim_wrapper``.
        local: Changes to ``model.local``.
    """

    device = 'cpu'
    """Of all runs."""

    def __init__(self, cfg: Config, wrapper: dict[str, Any] | None = None, **local: Any) -> None:
        self.cfg = deepcopy(cfg)
        self.cfg.model.local.update(local)
        self.cfg.optim_wrapper.update(wrapper or {})
        torch.manual_seed(0)
        self.model = build_model(self.cfg.model)
        self.model.to(self.device).train()
        settings = deepcopy(self.cfg.optim_wrapper)
        if self.device == 'cpu':
            settings = without_accelerator(settings)
        self.optim_wrapper: OptimWrapper = build_optim_wrapper(self.model, settings)

    def train(self, iterations: Sequence[int] = range(NUM_STEPS), wrapped: Any = None) -> Run:
        """Take some steps, each with its own random numbers.

        Raises:
            Differs: A loss or a weight is not finite.
        """
        for iteration in iterations:
            batch = make_batch(step_shape(self.cfg), iteration)
            torch.manual_seed(iteration)
            with at_iteration(iteration):
                log = (wrapped or self.model).train_step(batch, self.optim_wrapper)
            if not log['loss'].isfinite():
                raise Differs(f'the loss of iteration {iteration} is {log["loss"].item()}')
        for name, value in self.model.state_dict().items():
            if not value.isfinite().all():
                raise Differs(f'{name} is not finite')
        return self

    def must_equal(self, other: Run) -> None:
        """Check that two runs ended with the same weights: on a CPU bit for bit.

        On a GPU sums depend on their order, which changes.

        Raises:
            Differs: They did not.
        """
        mine, others = self.model.state_dict(), other.model.state_dict()
        for name in mine:
            same = torch.equal if self.device == 'cpu' else _nearly_equal
            if not same(mine[name], others[name]):
                raise Differs(f'{name} is another')


def _nearly_equal(one: Tensor, other: Tensor) -> bool:
    return torch.allclose(one, other, rtol=1e-3, atol=1e-4)
