"""From a trained model in local modules to a plain mmsegmentation model, bit for bit the same."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmengine.runner import save_checkpoint
from mmseg.registry import MODELS
from torch import Tensor, nn

from ..backbones.supported import image_channels
from ..config.build import build_end_to_end, build_model, has_context
from ..config.edit import fill_scope
from ..config.pretrained import without_pretrained
from ..files.whole import naming, write_whole
from .checkpoints import check_checkpoint
from .plain_config import model_of_prediction, own_types, plain_config
from .weights import check_context, check_weights_fit, checkpoint_weights

PROBE_SIZE = (128, 128)
"""Height and width of the image that both models must agree on, in pixels."""


@dataclass(frozen=True)
class Export:
    """What was written, and what of it still needs this package.

    Attributes:
        config: The file.
        checkpoint: The file.
        remaining: Types that mmsegmentation does not have.
        is_plain: Whether the model is mmsegmentation's own; one with contexts is not.
    """

    config: Path
    checkpoint: Path
    remaining: tuple[str, ...]
    is_plain: bool = True


def export(cfg: Config, checkpoint: str, out: Path) -> Export:
    """Write a plain config and a plain checkpoint, read both back, and compare the outputs.

    Nothing appears in ``out`` before all of that has succeeded.

    Args:
        cfg: What was trained; not changed.
        checkpoint: Its weights, of any partition.
        out: A new or empty folder.

    Raises:
        TypeError: The model cannot be built.
        ValueError: The folder is not empty, the checkpoint does not fit, or the model has no
            plain equivalent.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ValueError(f'{out} already holds something: name a new or empty folder')
    opened = check_checkpoint(checkpoint)
    weights = checkpoint_weights(opened)
    check_context(cfg.model, weights, checkpoint)
    if has_context(cfg.model.get('local')):  # whose model has no plain equivalent: all of it stays
        ours = build_model(without_pretrained(model_of_prediction(cfg)))
    else:
        weights, ours = plain_state_dict(weights), build_end_to_end(cfg)
    check_weights_fit(ours, weights, checkpoint)
    ours.load_state_dict(weights, strict=False)
    out.parent.mkdir(parents=True, exist_ok=True)
    folder = Path(mkdtemp(prefix=f'.{out.name}.', dir=out.parent))
    try:
        names = f'{Path(cfg.filename or "config").stem}.py', f'{Path(checkpoint).stem}.pth'
        exported = plain_config(cfg)
        fill_scope(exported)
        with naming(out):
            write_whole(folder / names[0], exported.dump())
            content = dict(meta=_plain_meta(opened), state_dict=weights)
            save_checkpoint(content, str(folder / names[1]), backend_args=dict(backend='atomic'))
        plain = _read_back(folder / names[0], folder / names[1])
        check_same_output(ours, plain)
        remaining = tuple(sorted(set(own_types(Config.fromfile(folder / names[0]).to_dict()))))
        folder.chmod(0o777 & ~_umask())
        os.replace(folder, out)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return Export(
        out / names[0], out / names[1], remaining, not has_context(cfg.model.get('local'))
    )


def plain_state_dict(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the weights that prediction uses: all but those of local heads."""
    return {name: weight for name, weight in weights.items() if not name.startswith('local_heads.')}


def check_same_output(ours: Any, plain: nn.Module) -> None:
    """Check that two models give the same logits, bit for bit, for a random image.

    Raises:
        ValueError: They do not.
    """
    channels = image_channels(ours.backbone)
    image = torch.randn(1, channels, *PROBE_SIZE, generator=torch.Generator().manual_seed(0))
    logits = []
    for model in (ours, plain):
        model.eval()
        with torch.no_grad():
            logits.append(model(image, mode='tensor'))
    if not torch.equal(*logits):
        difference = (logits[0] - logits[1]).abs().max().item()
        raise ValueError(
            f'the plain model gives other logits (difference up to {difference:.3g}): it is not '
            'exported'
        )


def _plain_meta(checkpoint: Mapping[str, Any]) -> dict[str, Any]:
    meta = checkpoint.get('meta') or {}
    return {'dataset_meta': meta['dataset_meta']} if 'dataset_meta' in meta else {}


def _read_back(config: Path, checkpoint: Path) -> nn.Module:
    with DefaultScope.overwrite_default_scope('mmseg'):
        model = MODELS.build(deepcopy(Config.fromfile(config).model))
    try:
        model.load_state_dict(check_checkpoint(checkpoint)['state_dict'])
    except RuntimeError as error:
        raise ValueError(
            f'the weights do not fit the plain model: {" ".join(str(error).split())}'
        ) from error
    return model


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
