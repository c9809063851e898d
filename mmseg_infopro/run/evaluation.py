"""What an evaluation needs before a Runner exists; partitions play no part in it."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from typing import Any

from mmengine.config import Config, ConfigDict
from mmengine.registry import init_default_scope

from ..config.build import build_model, for_prediction
from ..config.check_config import check_testing_config
from ..config.edit import fill_scope
from ..config.pretrained import without_pretrained
from ..config.walk import type_name
from ..datasets import check_data, check_first_samples
from ..parallel import choose_model_wrapper
from ..parallel.pipeline_config import forget_pipeline
from ..segmentors.chunked_argmax import check_keeps_logits
from .checkpoints import check_checkpoint, loadable
from .weights import check_context, check_weights_fit, checkpoint_weights


def prepare_testing(cfg: Config, checkpoint: str, tta: str | None = None) -> Config:
    """Check all that an evaluation needs; local heads and the partition play no part in it.

    Args:
        cfg: With a ``work_dir``; not changed.
        checkpoint: Of this model, trained in any partition or end to end.
        tta: One of :data:`infopro.words.TTA_MODES`, or None for a single scale.

    Returns:
        The config to give to a Runner. It has another file name, so that its dump does not
        replace that of the training run.

    Raises:
        TypeError: A value in the config is of the wrong type.
        ValueError: Something is missing, broken or does not fit; the message says what.
    """
    name = f'test_{Path(cfg.filename or "config").stem}.py'
    cfg = Config(deepcopy(cfg.to_dict()), cfg_text=cfg.text or name, filename=name)
    fill_scope(cfg)
    init_default_scope(cfg.default_scope)
    missing = [key for key in ('dataloader', 'cfg', 'evaluator') if not cfg.get(f'test_{key}')]
    if missing:
        raise ValueError(f'the config has no {", ".join(f"test_{key}" for key in missing)}')
    check_testing_config(cfg)
    weights = checkpoint_weights(check_checkpoint(checkpoint))
    check_context(cfg.model, weights, checkpoint)
    if 'local' in cfg.model:
        cfg.model.local = for_prediction(cfg.model.local)
    check_weights_fit(build_model(without_pretrained(cfg.model)), weights, checkpoint)
    cfg.load_from, cfg.resume = loadable(checkpoint), False
    if tta is not None:
        use_tta(cfg, tta)
    cfg.pop('model_wrapper_cfg', None)
    forget_pipeline(cfg)
    choose_model_wrapper(cfg, cfg.get('launcher', 'none'))
    data = Config(dict(test_dataloader=cfg.test_dataloader))
    check_data(data, ('test',))
    check_first_samples(data, ('test',))
    return cfg


def use_tta(cfg: Config, mode: str) -> None:
    """Test on the views of the config's ``tta_pipeline``, merged by its ``tta_model``.

    Args:
        cfg: The config.
        mode: ``ms`` leaves the flipped views out.

    Raises:
        ValueError: The config has no such views.
    """
    check_keeps_logits(cfg.model)
    missing = [key for key in ('tta_pipeline', 'tta_model') if not cfg.get(key)]
    if missing:
        raise ValueError(f'--tta needs {" and ".join(missing)}, which the config lacks')
    pipeline = deepcopy(cfg.tta_pipeline)
    views = [transform for transform in pipeline if type_name(transform) == 'TestTimeAug']
    if len(views) != 1:
        raise ValueError(f'tta_pipeline must hold one TestTimeAug, got {len(views)}')
    if mode == 'ms':
        views[0].transforms = _without_flips(views[0].transforms)
    dataset = cfg.test_dataloader.dataset
    while 'dataset' in dataset:
        dataset = dataset.dataset
    dataset.pipeline = pipeline
    cfg.model = ConfigDict(**cfg.tta_model, module=cfg.model)


def _without_flips(transforms: list[list[Any]]) -> list[list[Any]]:
    kept = [
        [view for view in views if type_name(view) != 'RandomFlip' or not view.get('prob')]
        for views in transforms
    ]
    return [views for views in kept if views]
