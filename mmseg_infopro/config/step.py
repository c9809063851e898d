"""The training step that a config describes: its model, its batch, and what it needs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from copy import deepcopy
from functools import partial
from typing import Any

import torch
from mmengine.config import Config, ConfigDict
from mmengine.device import get_device
from mmengine.logging import MMLogger
from mmengine.registry import DefaultScope
from mmseg.registry import OPTIM_WRAPPERS, OPTIMIZERS
from torch import nn
from torch.optim import Optimizer

from ..local.clock import at_iteration
from ..local.eight_bit import needed_package
from ..local.settings import LocalSettings, read_local_settings
from ..local.thaw import thaw
from ..local.update import obstacles
from ..local_heads.arguments import constructor_arguments
from ..local_heads.bounded_loss import bound_losses
from ..measure.dry_optimizers import with_dry_optimizer
from ..measure.dry_step import DRY_WRAPPERS, autocast_dtype, dry_steps, without_accelerator
from ..measure.fake import UpperBounds
from ..measure.peaks import DryStep, PeakBytes
from ..measure.tracker import Watch
from ..measure.undrawn import undrawn_weights
from ..planning.batch import StepShape, training_batch
from ..planning.borders import Borders
from ..upstream import FakeTensorMode, accumulative_counts
from .build import build_model, model_class
from .explain import explained_failure
from .image_size import as_size, largest
from .pipelines import training_size, training_transforms
from .places import named
from .pretrained import without_pretrained
from .recall import recalled
from .stage_steps import dry_stage_steps
from .walk import type_name

LARGE = (1024, 1024)
"""A parameter of many values."""


def dry_config_steps(cfg: Config, *watches: Watch) -> list[DryStep]:
    """Take a dry step of each kind that a config's schedule has; of each process of a pipeline.

    They have the config's own batch size, crop, optimizer and precision.

    Args:
        cfg: The config.
        watches: Is told of every operation; of a pipeline there is one for each process.

    Raises:
        FailedStepError: The model cannot take it.
    """
    model_cfg = without_pretrained(cfg.model)
    model_cfg.get('local', {}).pop('compile', None)  # a dry step runs eagerly
    shape, wrapper = step_shape(cfg), own_wrapper(cfg)

    def measure() -> list[DryStep]:
        with undrawn_weights():
            model = build_model(model_cfg)
        bound_losses(model)
        batch = partial(training_batch, shape)
        prepare = partial(thaw, patterns=getattr(model, 'may_thaw', ()))
        with DefaultScope.overwrite_default_scope('mmseg'), explained_failure(shape):
            if getattr(model, 'boundaries', ()):
                settings = read_local_settings(cfg.model.local)
                if settings.placement == 'pipeline':
                    return dry_stage_steps(
                        model,
                        wrapper,
                        batch,
                        Borders.of(settings),
                        watches or None,
                        prepare,
                    )
            watch = watches[0] if watches else None
            return dry_steps(model, wrapper, batch, _kinds_of_step(model), watch, prepare)

    if watches:
        return measure()
    return recalled(list[DryStep], ('dry steps', model_cfg, wrapper, shape, get_device()), measure)


def _kinds_of_step(model: Any) -> dict[str, Callable[[], AbstractContextManager[None]]]:
    if not getattr(model, 'boundaries', ()):
        return {'': nullcontext}
    phases = model.schedule.phases(len(model.boundaries) + 1)
    return {name: partial(at_iteration, iteration) for name, iteration in phases.items()}


def dry_config_step(cfg: Config) -> DryStep:
    """Return that one of :func:`dry_config_steps` with the largest peak."""
    return max(dry_config_steps(cfg), key=lambda step: step.peak.total)


def config_peak(cfg: Config) -> PeakBytes:
    """Return the peak of :func:`dry_config_step`."""
    return dry_config_step(cfg).peak


def step_shape(cfg: Config) -> StepShape:
    """Read batch size, crop and precision of the training step off a config.

    Raises:
        ValueError: The config does not say them.
    """
    batch_size = (cfg.get('train_dataloader') or {}).get('batch_size')
    if batch_size is None:
        raise ValueError('planning needs train_dataloader.batch_size, which the config lacks')
    wrapper = cfg.get('optim_wrapper')
    if wrapper is None:
        raise ValueError('planning needs optim_wrapper, which the config lacks')
    autocast = None
    if type_name(wrapper) in DRY_WRAPPERS:
        autocast = autocast_dtype(wrapper.get('dtype'))
        if autocast not in (torch.float16, torch.bfloat16, torch.float32):
            raise ValueError(
                f'optim_wrapper.dtype must be float16 or bfloat16, got {wrapper.dtype!r}'
            )
    return StepShape(
        batch_size,
        training_crop(cfg),
        image_channels(cfg.model),
        autocast,
        optimizer_copies(wrapper),
        has_edges='GenerateEdge' in map(type_name, training_transforms(cfg)),
    )


def own_wrapper(cfg: Config, update_per_module: bool | None = None) -> ConfigDict:
    """Return a config's ``optim_wrapper`` with a loss scale for each module that needs one.

    Args:
        cfg: The config.
        update_per_module: In place of its ``local.update_per_module``.
    """
    wrapper = deepcopy(cfg.get('optim_wrapper', ConfigDict()))
    if update_per_module is None:
        local = cfg.get('model', {}).get('local') or {}
        update_per_module = local.get('update_per_module') or local.get('update') == 'module'
    if update_per_module and type_name(wrapper) == 'AmpOptimWrapper':
        wrapper.type = 'LocalAmpOptimWrapper'
    return wrapper


def updates_per_module(cfg: Config, settings: LocalSettings) -> bool:
    """Return whether the optimizer steps after each module: asked for, and nothing hinders it."""
    wrapper_cfg = dict(own_wrapper(cfg, settings.update_per_module))
    parts = wrapper_cfg.values()
    several = any(isinstance(part, Mapping) and 'optimizer' in part for part in parts)
    if not settings.update_per_module or several:
        return False
    # What they say of parameters does not fit the one that is here.
    for key in ('constructor', 'paramwise_cfg'):
        wrapper_cfg.pop(key, None)
    optimizer = _small_optimizer(wrapper_cfg)  # not copied, which leaves out what bitsandbytes adds
    built = {
        **dict(type='OptimWrapper'),
        **without_accelerator(wrapper_cfg),
        'optimizer': optimizer,
    }
    wrapper = OPTIM_WRAPPERS.build(built)
    # Gradients that accumulate stay, whatever the update is.
    return accumulative_counts(wrapper) == 1 and not obstacles(wrapper, settings.norm_per_module)


def optimizer_copies(wrapper: Mapping[str, Any]) -> float:
    """Return how many times a parameter's bytes stay in memory: itself and the optimizer's.

    That of a large one: optimizers of 8 bits keep small ones in full.
    """
    if 'optimizer' not in wrapper:
        return 2.0
    with FakeTensorMode(), UpperBounds():
        optimizer = _small_optimizer(with_dry_optimizer(wrapper), LARGE)
        (parameter,) = optimizer.param_groups[0]['params']
        parameter.grad = torch.zeros_like(parameter)
        optimizer.step()
        kept = [value for value in optimizer.state[parameter].values() if torch.is_tensor(value)]
        return round(1 + sum(value.nbytes for value in kept) / parameter.nbytes, 3)


def _small_optimizer(wrapper: Mapping[str, Any], shape: tuple[int, int] = (2, 3)) -> Optimizer:
    """Return a config's optimizer, of one parameter; SGD where it names none.

    Raises:
        ValueError: It comes with a package that is not there.
    """
    parameter = nn.Parameter(torch.zeros(shape))
    kind = wrapper.get('optimizer', dict(type='SGD', lr=0.1))
    needed = needed_package(kind.get('type'))
    if needed is not None:
        raise ValueError(f'optim_wrapper.optimizer: {needed}')
    return OPTIMIZERS.build({**kind, 'params': [parameter]})


def training_crop(cfg: Config) -> tuple[int, int]:
    """Return (height, width) of what the network sees in training, at most.

    The data preprocessor only pads: what a pipeline makes larger stays.

    Raises:
        ValueError: Neither the data preprocessor nor the training pipeline has a fixed size.
    """
    preprocessor = cfg.model.get('data_preprocessor') or {}
    made, padded = training_size(cfg), preprocessor.get('size')
    with named('model.data_preprocessor.size'):
        sizes = [size for size in (made, padded and as_size(padded)) if size]
    found = largest(sizes)
    if found is None:
        raise ValueError(
            'planning needs the training crop: set model.data_preprocessor.size=(height, width)'
        )
    if made and padded and found != as_size(padded):
        MMLogger.get_current_instance().warning(
            f'the training pipeline makes images of {made}, and model.data_preprocessor.size='
            f'{tuple(as_size(padded))} only pads: the step is planned for {found}'
        )
    divisor = preprocessor.get('size_divisor') if not padded else None
    height, width = (-(-length // (divisor or 1)) * (divisor or 1) for length in found)
    return height, width


def image_channels(model_cfg: Mapping[str, Any]) -> int:
    """Return the channels of the images that a model config's backbone takes."""
    backbone = model_cfg.get('backbone') or {}
    kind = model_class(backbone)
    arguments = constructor_arguments(kind) if kind else {}
    for key in ('in_channels', 'in_chans', 'input_channels'):
        own = backbone.get(key, getattr(arguments.get(key), 'default', None))
        if type(own) is int:
            return own
    return 3
