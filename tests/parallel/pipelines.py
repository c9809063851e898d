"""Tiny networks, and steps of them, of pipelines and of one process."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

import torch
from mmengine.config import ConfigDict
from mmengine.logging import MessageHub
from mmengine.optim import OptimWrapper
from torch import Tensor
from torch.distributed.distributed_c10d import PrefixStore

from mmseg_infopro.local.streams import SEED
from mmseg_infopro.parallel import LocalDataParallel, ModuleParallel
from mmseg_infopro.upstream import job_store
from tests.backbones.test_hrnet import EXTRA
from tests.backbones.test_mit import TINY
from tests.cpu_amp import CpuLocalAmpOptimWrapper
from tests.local.by_formula import RESNET, swin_config
from tests.models import BN, HEADS, NUM_CLASSES, batch, build, model_config

HRNET = {
    2: ['transition2'],
    3: ['transition1', 'transition2'],
    4: ['layer1.0', 'transition1', 'stage3.0'],
}
SEGFORMER = {
    2: ['layers.1.1.0'],
    3: ['layers.0.1.1', 'layers.1.1.0'],
    4: ['layers.0.1.0', 'layers.1.1.0', 'layers.2.1.0'],
}
DROPS = [dict(HEADS[0], dropout_ratio=0.3), HEADS[1]]
HEAD = dict(num_classes=NUM_CLASSES, channels=8, dropout_ratio=0.1, align_corners=False)


def resnet(num_modules: int, **local: Any) -> dict[str, Any]:
    """Return an FCN with an auxiliary head on a ResNet."""
    return model_config(local={'boundaries': RESNET[num_modules], 'heads': DROPS, **local})


def swin(num_modules: int, **local: Any) -> dict[str, Any]:
    """Return a UPerNet, an FPN over all stages of a Swin Transformer, with dropped paths."""
    cfg = swin_config(num_modules, heads=DROPS, **local)
    cfg['backbone']['drop_path_rate'] = 0.2
    return cfg


def hrnet(num_modules: int, **local: Any) -> dict[str, Any]:
    """Return an FCN on all branches of an HRNet."""
    cfg = model_config(local={'boundaries': HRNET[num_modules], 'heads': DROPS, **local})
    del cfg['auxiliary_head']
    cfg['backbone'] = dict(type='InfoProHRNet', extra=EXTRA, norm_cfg=BN)
    cfg['decode_head'] = dict(
        HEAD, type='FCNHead', in_channels=[4, 8, 12, 16], in_index=(0, 1, 2, 3), norm_cfg=BN,
        input_transform='resize_concat', num_convs=1, concat_input=False,
    )  # fmt: skip
    return cfg


def segformer(num_modules: int, **local: Any) -> dict[str, Any]:
    """Return a SegFormer, with dropout and dropped paths."""
    cfg = model_config(local={'boundaries': SEGFORMER[num_modules], 'heads': DROPS, **local})
    del cfg['auxiliary_head']
    cfg['backbone'] = dict(TINY)
    cfg['decode_head'] = dict(
        HEAD, type='SegformerHead', in_channels=[4, 8, 8, 16], in_index=[0, 1, 2, 3], norm_cfg=BN
    )
    return cfg


NETWORKS = {'resnet': resnet, 'hrnet': hrnet, 'segformer': segformer, 'swin': swin}
ADAM = 'adamw'


@dataclass
class Case:
    """Some steps of a network.

    Attributes:
        network: One of :data:`NETWORKS`.
        local: Of ``model.local``.
        optimizer: ``'sgd'`` or :data:`ADAM`.
        wrapper: Arguments of the optimizer wrapper.
        amp: Whether losses are scaled, so that the first updates overflow somewhere.
        sizes: Of the images, step by step, over and over.
    """

    network: str = 'resnet'
    local: dict[str, Any] = field(default_factory=dict)
    optimizer: str = 'sgd'
    wrapper: dict[str, Any] = field(default_factory=dict)
    amp: bool = False
    sizes: tuple[int, ...] = (32,)

    def model(self, num_modules: int) -> Any:
        """Return the model, with the same weights each time."""
        cfg = NETWORKS[self.network](num_modules, **self.local)
        cfg['test_cfg'] = ConfigDict(mode='whole')
        return build(cfg)

    def optim_wrapper(self, model: Any) -> OptimWrapper:
        """Return what updates it."""
        parameters = list(model.parameters())
        optimizer: torch.optim.Optimizer = (
            torch.optim.AdamW(parameters, lr=1e-3)
            if self.optimizer == ADAM
            else torch.optim.SGD(parameters, lr=0.02, momentum=0.9)
        )
        if self.amp:
            scale = dict(init_scale=2.0**127, growth_interval=2)
            return CpuLocalAmpOptimWrapper(loss_scale=scale, optimizer=optimizer, **self.wrapper)
        return OptimWrapper(optimizer, **self.wrapper)


CLIP = dict(clip_grad=dict(max_norm=0.5))
MODULE = dict(update='module')
CASES = {
    'resnet': Case(sizes=(32, 32, 48)),
    'hrnet': Case('hrnet'),
    'segformer': Case('segformer', optimizer=ADAM),
    'swin': Case('swin', optimizer=ADAM),
    'accumulation': Case(wrapper=dict(accumulative_counts=2)),
    'clipping': Case(local=MODULE, wrapper=CLIP),
    'all of it': Case(local=MODULE, wrapper={**CLIP, 'accumulative_counts': 2}, amp=True),
    'overflows': Case(local=MODULE, amp=True, optimizer=ADAM),
    'context': Case(local=dict(context=dict(type='ContextSupply', history=2))),
    'channels last': Case(local=dict(channels_last=True)),
}


def take_steps(
    model: Any,
    optim_wrapper: OptimWrapper,
    case: Case,
    steps: int,
    rank: int = 0,
    batch_size: int = 2,
) -> list[dict[str, Tensor]]:
    """Return what each step logs.

    Args:
        model: A segmentor, or a wrapper of it.
        optim_wrapper: Updates it.
        case: Of the sizes of images.
        steps: How many.
        rank: Of the replica; its batches are others.
        batch_size: Images.
    """
    hub = MessageHub.get_current_instance()
    hub.update_info(SEED, 5)
    optim_wrapper.initialize_count_status(model, 0, steps)
    logs = []
    for step in range(steps):
        hub.update_info('iter', step)
        data = batch(case.sizes[step % len(case.sizes)], batch_size, seed=step + 1000 * rank)
        logs.append(model.train_step(data, optim_wrapper))
    return logs


def results(model: Any, optim_wrapper: Any, logs: list[dict[str, Tensor]]) -> dict[str, Any]:
    """Return what of some steps must be the same everywhere."""
    return dict(
        weights={k: v for k, v in model.state_dict().items() if not v.is_meta},
        optimizer=optim_wrapper.optimizer.state_dict()['state'],
        scales={
            **{k: s.state_dict() for k, s in getattr(optim_wrapper, 'module_scalers', {}).items()},
            'tail': getattr(optim_wrapper, 'loss_scaler', None)
            and optim_wrapper.loss_scaler.state_dict(),
        },
        logs=logs,
    )


WINDOWS = dict(mode='slide', crop_size=(32, 32), stride=(16, 24))


@torch.no_grad()
def predictions(model: Any, segmentor: Any) -> list[Tensor | None]:
    """Return the logits of images of several sizes, whole and by windows.

    Args:
        model: A segmentor, or a wrapper of it; a process of a pipeline may have none of them.
        segmentor: The same, unwrapped.
    """
    model.eval()
    found: list[Tensor | None] = []
    for test_cfg in (dict(mode='whole'), WINDOWS):
        segmentor.test_cfg = ConfigDict(test_cfg)
        for number, size in enumerate((32, 48, 48)):
            for sample in model.val_step(batch(size, 1 + number, seed=number)):
                logits = sample.get('seg_logits')
                found.append(None if logits is None else logits.data)
    model.train()
    return found


def of_one_process(name: str, num_modules: int, steps: int) -> dict[str, Any]:
    """Return the results of a case on this process."""
    case = CASES[name]
    model = case.model(num_modules)
    optim_wrapper = case.optim_wrapper(model)
    logs = take_steps(model, optim_wrapper, case, steps)
    predicted = predictions(model, model)
    logs += take_steps(model, optim_wrapper, case, 1)
    return results(model, optim_wrapper, logs) | dict(predicted=predicted)


def of_pipeline(
    rank: int, name: str, num_modules: int, steps: int, **kwargs: Any
) -> dict[str, Any]:
    """Return the results of a case on one process of a pipeline."""
    case = CASES[name]
    wrapper = ModuleParallel(case.model(num_modules), timeout=60, **kwargs)
    optim_wrapper = case.optim_wrapper(wrapper.module)
    logs = take_steps(wrapper, optim_wrapper, case, steps, rank=wrapper.replica)
    predicted = predictions(wrapper, wrapper.module)
    logs += take_steps(wrapper, optim_wrapper, case, 1, rank=wrapper.replica)
    wrapper.link.finish()
    return results(wrapper.module, optim_wrapper, logs) | dict(predicted=predicted)


def steps_ahead(rank: int, in_flight: int, step: int, wanted: int, steps: int = 8) -> int:
    """Return how many steps the first process of two can take while the second is in a step.

    Args:
        rank: Of the process.
        in_flight: Of the pipeline.
        step: Of the second process, from 1.
        wanted: So many are waited for, and whether one more comes.
        steps: Of each.
    """
    case = CASES['swin']  # with images of one size
    wrapper = ModuleParallel(case.model(2), in_flight=in_flight, timeout=60)
    optim_wrapper = case.optim_wrapper(wrapper.module)
    store = PrefixStore(f'ahead {in_flight} {step}', job_store())
    found: list[int] = []
    begun: list[None] = []

    def wait(*_: Any) -> None:
        begun.append(None)
        if len(begun) != step:
            return
        deadline = time.monotonic() + 30
        while store.add('steps', 0) < wanted and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(0.3)
        found.append(store.add('steps', 0))

    if wrapper.index:
        wrapper.module.backbone.stages[3].blocks[0].register_forward_pre_hook(wait)
    for _ in range(steps):
        take_steps(wrapper, optim_wrapper, case, 1)
        store.add('steps', 1 - wrapper.index)
    wrapper.link.finish()
    return found[0] if found else 0


def of_replicas(rank: int, name: str, num_modules: int, steps: int, group: Any) -> dict[str, Any]:
    """Return the results of a case in data parallel within a group of processes."""
    case = CASES[name]
    wrapper = LocalDataParallel(case.model(num_modules), process_group=group)
    optim_wrapper = case.optim_wrapper(wrapper.module)
    logs = take_steps(wrapper, optim_wrapper, case, steps, rank=rank)
    logs += take_steps(wrapper, optim_wrapper, case, 1, rank=rank)
    return results(wrapper.module, optim_wrapper, logs)
