"""The changes that we make to a config, each in place: callers copy it first."""

from __future__ import annotations

from typing import Any

from mmengine.config import Config, ConfigDict
from mmengine.logging import MMLogger

from ..local.settings import CONTEXT_MARGIN, PARTITION_KEYS, LocalSettings
from ..measure.dry_step import DRY_WRAPPERS
from ..measure.sizes import parse_bytes
from ..recompute.groups import Recompute
from .pipelines import makes_bytes, set_size, training_dataset, training_size
from .walk import type_name


def fill_scope(cfg: Config) -> None:
    """Let a config name types of mmseg and of ours: one whose types are classes needs no scope."""
    if not cfg.get('default_scope'):
        cfg.default_scope = 'mmseg'


def set_partition(cfg: Config, **partition: Any) -> None:
    """Put one of ``num_modules``, ``boundaries`` and ``memory_cap`` in place of what is there.

    Listed groups that recompute were for the old partition: others recompute cheaply.
    """
    replaced = (*PARTITION_KEYS, 'planned_for')
    local = {key: cfg.model.local[key] for key in cfg.model.local if key not in replaced}
    if not isinstance(local.get('recompute', ''), str):
        local['recompute'] = 'cheap'
    cfg.model.local = ConfigDict(**partition, **local)


def set_recompute(cfg: Config, recompute: Recompute) -> None:
    """Write ``local.recompute`` as a config has it."""
    cfg.model.local.recompute = _as_config(recompute)


def _as_config(recompute: Recompute) -> Any:
    if isinstance(recompute, str):
        return recompute
    return [group.as_config() for group in recompute]


def global_recompute(cfg: Config) -> Any:
    """Return what global passes of a config's schedule recompute; None without such passes."""
    return (cfg.model.local.get('schedule') or {}).get('recompute')


def set_global_recompute(cfg: Config, recompute: Recompute) -> None:
    """Write ``local.schedule.recompute`` as a config has it."""
    cfg.model.local.schedule.recompute = _as_config(recompute)


def override_step(
    cfg: Config,
    batch_size: int | None = None,
    crop: tuple[int, int] | None = None,
    amp: str | None = None,
) -> None:
    """Change what the memory of a config's training step depends on, in place.

    Args:
        cfg: The config.
        batch_size: Images per process.
        crop: Height and width of the training crop.
        amp: ``float16`` or ``bfloat16`` for mixed precision, ``none`` for full precision.
    """
    if batch_size is not None:
        if batch_size < 1:
            raise ValueError(f'the batch size must be at least 1, got {batch_size}')
        cfg.train_dataloader.batch_size = batch_size
    if crop is not None:
        set_crop(cfg, crop)
    if amp == 'none' and type_name(cfg.optim_wrapper) in DRY_WRAPPERS:
        cfg.optim_wrapper.type = 'OptimWrapper'
        cfg.optim_wrapper.pop('dtype', None)
        cfg.optim_wrapper.pop('loss_scale', None)
    elif amp not in (None, 'none'):
        cfg.optim_wrapper.update(type='AmpOptimWrapper', dtype=amp)


def set_crop(cfg: Config, crop: tuple[int, int]) -> None:
    """Train on crops of another size: data preprocessor and cropping transforms."""
    if min(crop) < 1:
        raise ValueError(f'the crop must be at least 1 pixel high and wide, got {crop}')
    set_size(cfg, crop)
    preprocessor = cfg.model.get('data_preprocessor')
    if preprocessor is None or (preprocessor.get('size_divisor') and training_size(cfg) == crop):
        return
    preprocessor.pop('size_divisor', None)
    preprocessor.size = crop


def enforce_cap(cfg: Config, settings: LocalSettings, predicted_bytes: int) -> None:
    """Tell the config's MemoryHook of the cap and the predicted peak, where it names none."""
    hooks = list(cfg.get('custom_hooks') or [])
    kinds = list(map(type_name, hooks))
    if 'MemoryHook' not in kinds:
        hooks.append(dict(type='MemoryHook'))
        kinds.append('MemoryHook')
    hook = hooks[kinds.index('MemoryHook')]
    hook.setdefault('memory_cap', settings.memory_cap)
    hook.setdefault('predicted_bytes', predicted_bytes)
    if settings.margin_bytes < parse_bytes(CONTEXT_MARGIN):
        hook.setdefault('margin', settings.memory_margin)
        MMLogger.get_current_instance().warning(
            f'local.memory_margin={settings.memory_margin} leaves too little of memory_cap='
            f"{settings.memory_cap} for what a process holds outside of torch's allocator, about "
            f'{CONTEXT_MARGIN} (the CUDA context, kernels): a card must have that much more'
        )
    cfg.custom_hooks = hooks


def fill_image_range(cfg: Config) -> None:
    """Let local heads measure the range of images, unless it is set or known from the pipeline."""
    if training_dataset(cfg) is not None and not makes_bytes(cfg):
        cfg.model.local.setdefault('image_range', 'measured')
