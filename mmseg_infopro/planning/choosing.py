"""From ``model.local`` to boundaries."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from mmengine.logging import MMLogger
from mmseg.models.segmentors import EncoderDecoder

from ..backbones import boundary_names
from ..backbones.supported import check_cut
from ..local.settings import LocalSettings, check_boundaries, check_num_modules
from ..measure.sizes import format_bytes
from .batch import StepShape
from .boundaries import module_peaks, plan_boundaries
from .costs import StepBytes
from .objective import Objective, SmallestPeak
from .unit_costs import measure_step

NOMINAL_CROP = (512, 1024)
"""Crop that a model is planned for when nothing says what it will train on."""


def choose_boundaries(
    model: EncoderDecoder,
    settings: LocalSettings,
    head_defaults: Mapping[str, Any],
    shape: StepShape | None = None,
    measure: Callable[[], StepBytes] | None = None,
    objective: Callable[[], Objective] = SmallestPeak,
) -> tuple[str, ...]:
    """Check the boundaries that ``settings`` asks for, or plan the ``num_modules`` it asks for.

    Args:
        model: A segmentor on an unrolled backbone, its heads built.
        settings: ``model.local``.
        head_defaults: What the model fills in for local heads.
        shape: Of the training step. Without it the plan is for two images of the data
            preprocessor's size, since module peaks are almost proportional to the batch.
        measure: Measures the step, where its measurement may be known already.
        objective: Makes what the plan is judged by, where there is one to make.

    Raises:
        ValueError: A boundary does not exist or is out of order, K does not fit the backbone, or
            a memory cap was asked for.
    """
    name = _describe_backbone(model)
    names = boundary_names(model.backbone)
    if settings.memory_cap is not None:
        raise ValueError(
            'local.memory_cap needs the batch and the optimizer of a whole config: '
            'call mmseg_infopro.resolve(cfg), as our tools do, or set num_modules or boundaries'
        )
    if settings.recompute == 'auto':
        raise ValueError(
            "local.recompute='auto' is planned with the boundaries: call mmseg_infopro.resolve, as "
            "our tools do, without local.boundaries, or set local.recompute='units'"
        )
    if settings.num_modules != 1 and settings.boundaries != ():
        check_cut(model.backbone)
    if settings.boundaries is not None:
        check_boundaries(settings.boundaries, names, name)
        return settings.boundaries
    num_modules = settings.num_modules or 0
    check_num_modules(num_modules, len(names) + 1, name)
    if num_modules == 1:
        return ()
    if shape is None:
        size = getattr(model.data_preprocessor, 'size', None) or NOMINAL_CROP
        shape = StepShape(batch_size=2, crop=tuple(size))
    step = measure() if measure else _measure(model, settings, head_defaults, shape)
    judged_by = objective()
    boundaries = judged_by.plan(step, num_modules)
    if boundaries is None:
        raise ValueError(
            f'local.num_modules={num_modules} leaves a module of {name} with nothing to train: '
            'ask for fewer, or freeze less'
        )
    logger = MMLogger.get_current_instance()
    promise = judged_by.describe(step, boundaries)
    logger.info(f'{num_modules} local modules of {name}: boundaries={boundaries}{promise}')
    if isinstance(judged_by, SmallestPeak):
        _warn_if_fewer_suffice(step, num_modules, max(module_peaks(step, boundaries)))
    return tuple(boundaries)


def _measure(
    model: EncoderDecoder,
    settings: LocalSettings,
    head_defaults: Mapping[str, Any],
    shape: StepShape,
) -> StepBytes:
    return measure_step(
        model,
        settings.heads,
        head_defaults,
        shape,
        settings.recompute,
        settings.update_per_module,
        settings.context,
        settings.offload is True,
    )


def _warn_if_fewer_suffice(step: StepBytes, num_modules: int, peak: int) -> None:
    """Warn where local heads weigh more than what cutting once more saves."""
    for fewer in range(1, num_modules):
        smaller = max(module_peaks(step, plan_boundaries(step, fewer)))
        if smaller <= peak:
            MMLogger.get_current_instance().warning(
                f'num_modules={num_modules} needs as much memory as num_modules={fewer}, or more: '
                f'planned are {format_bytes(peak)} and {format_bytes(smaller)}'
            )
            return


def _describe_backbone(model: EncoderDecoder) -> str:
    backbone = model.backbone
    depth = getattr(backbone, 'depth', None)
    name = type(backbone).__name__
    return f'{name} depth {depth}' if depth is not None else name
