"""What a user would pick instead: the configs that a local one is compared with."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from copy import deepcopy
from typing import Any

from mmengine.config import Config
from mmseg.registry import MODELS

from ..config.localize import localize
from ..config.resolve import resolve
from ..config.step import training_pipeline

CHUNKED = 'Chunked'


def alternatives(cfg: Config, num_modules: Sequence[int] | None = None) -> dict[str, Config]:
    """Return end-to-end training, what else a user might pick, and the local forms.

    Args:
        cfg: Local, or any other config of mmseg.
        num_modules: Numbers of local modules; the config's own partition if not given.

    Returns:
        Resolved configs by the name to show, see :func:`end_to_end_forms` for the first ones.
    """
    trials = end_to_end_forms(cfg)
    for count in num_modules or ():
        if count != 1:
            trials[f'K={count}'] = resolve(localize(cfg, count))
    if num_modules is None:
        local = resolve(cfg)
        trials[f'K={len(local.model.local.boundaries) + 1}'] = local
    return trials


def end_to_end_forms(cfg: Config) -> dict[str, Config]:
    """Return what a user would pick instead of local modules, by the name to show.

    ``E2E`` is the config without any of our savings; ``E2E with_cp`` adds mmseg's gradient
    checkpointing, where the backbone has it; ``E2E lean``, where the config asks for them, losses
    in chunks and recomputing.
    """
    lean = localize(cfg, 1)
    if lean.model.local.get('recompute') == 'auto':
        lean.model.local.recompute = 'cheap'
    plain = deepcopy(lean)
    plain.model.local.recompute = 'none'
    plain.model = _without_chunks(plain.model)
    forms = {'E2E': resolve(plain)}
    if takes_argument(plain.model.backbone, 'with_cp'):
        forms['E2E with_cp'] = checkpointed = resolve(plain)
        checkpointed.model.backbone.with_cp = True
    chunks = _without_chunks(lean.model) != lean.model
    if chunks or lean.model.local.get('recompute', 'none') != 'none':
        forms['E2E lean'] = resolve(lean)
    return forms


def _without_chunks(value: Any) -> Any:
    """Replace heads that compute their loss in chunks by mmseg's."""
    if isinstance(value, dict):
        copy = type(value)({key: _without_chunks(item) for key, item in value.items()})
        name = str(copy.get('type'))
        if name.startswith(CHUNKED) and name.removeprefix(CHUNKED) in MODELS:
            copy['type'] = name.removeprefix(CHUNKED)
        return copy
    if isinstance(value, (list, tuple)):
        return type(value)(_without_chunks(item) for item in value)
    return value


def takes_argument(model_cfg: Mapping[str, Any], name: str) -> bool:
    """Say whether the class that a model config names takes an argument of this name."""
    kind = model_cfg['type']
    model_class = MODELS.get(kind) if isinstance(kind, str) else kind
    return any(
        name in inspect.signature(parent.__init__).parameters for parent in model_class.__mro__
    )


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
    if amp == 'none' and cfg.optim_wrapper.get('type') == 'AmpOptimWrapper':
        cfg.optim_wrapper.type = 'OptimWrapper'
        cfg.optim_wrapper.pop('dtype', None)
        cfg.optim_wrapper.pop('loss_scale', None)
    elif amp not in (None, 'none'):
        cfg.optim_wrapper.update(type='AmpOptimWrapper', dtype=amp)


def set_crop(cfg: Config, crop: tuple[int, int]) -> None:
    """Train on crops of another size: data preprocessor and cropping transforms."""
    if min(crop) < 1:
        raise ValueError(f'the crop must be at least 1 pixel high and wide, got {crop}')
    preprocessor = cfg.model.get('data_preprocessor')
    if preprocessor is not None:
        preprocessor.size = crop
    for transform in training_pipeline(cfg):
        if 'crop_size' in transform:
            transform['crop_size'] = crop
