"""From a trained model in local modules to a plain mmsegmentation model, bit for bit the same."""

from __future__ import annotations

import inspect
import os
import shutil
from collections.abc import Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import torch
from mmengine.config import Config, ConfigDict
from mmengine.registry import DefaultScope, Registry
from mmengine.runner import Runner, save_checkpoint
from mmseg import registry
from mmseg.registry import MODELS
from torch import Tensor, nn

from ..backbones.supported import image_channels
from ..config.build import build_end_to_end, build_model, for_prediction, has_context
from ..config.edit import fill_scope
from ..config.pretrained import without_pretrained
from ..config.walk import DROPPED, replaced, walk
from ..files.whole import naming, write_whole
from .checkpoints import check_checkpoint
from .weights import check_context, check_weights_fit, checkpoint_weights

PACKAGE = __name__.partition('.')[0]
PROBE_SIZE = (128, 128)
"""Height and width of the image that both models must agree on, in pixels."""
REGISTRIES = [value for value in vars(registry).values() if isinstance(value, Registry)]
OWN_ARGUMENTS = {'LoadCheckedAnnotations': {'num_classes'}, 'PhasedPolyLR': {'phases', 'length'}}
"""Arguments that the plain type of the same work does not take."""
OWN_NETWORKS = ('EfficientNetLite',)
"""Networks that no other package has: their configs import this one."""
READ_KEYS = {*inspect.signature(Runner).parameters, 'tta_model', 'tta_pipeline'}
"""Entries of a config that are read; others are variables."""
OF_A_RUN = ('work_dir', 'launcher', 'load_from', 'resume', 'model_wrapper_cfg', 'custom_imports')


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
        ours = build_model(without_pretrained(_model_of_prediction(cfg)))
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


def plain_config(cfg: Config) -> Config:
    """Return a self-contained config of the same model and data in mmseg's own types.

    Pretrained weights and checkpoints to start from are left out: the exported checkpoint has
    all weights. A type without plain equivalent stays, and with it ``custom_imports``.

    Raises:
        ValueError: A part of the model has no plain equivalent.
    """
    content = {key: value for key, value in cfg.to_dict().items() if key not in OF_A_RUN}
    if has_context(cfg.model.get('local')):
        model = without_pretrained(_model_of_prediction(cfg)).to_dict()
        content.pop('model')
    else:
        model = replaced(without_pretrained(content.pop('model')), _plain)
    content = {**replaced(content, _plain), 'model': model}
    kept = [name for name in own_types(content['model']) if name not in OWN_NETWORKS]
    if kept and not has_context(cfg.model.get('local')):
        raise ValueError(f'the model has no plain equivalent: it uses {", ".join(kept)}')
    imports = dict(cfg.get('custom_imports') or {})
    modules = imports.get('imports') or []
    modules = [modules] if isinstance(modules, str) else list(modules)
    # A variable's value is in what it was used for by now.
    content = {k: v for k, v in content.items() if k in READ_KEYS or not list(own_types(v))}
    if not list(own_types(content)):
        modules = [name for name in modules if name.partition('.')[0] != PACKAGE]
    if modules:
        content['custom_imports'] = {**imports, 'imports': modules}
    return Config(content)


def _model_of_prediction(cfg: Config) -> ConfigDict:
    return ConfigDict({**cfg.model, 'local': for_prediction(cfg.model.local)})


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


def own_types(value: Any) -> Iterator[str]:
    """Yield the names of this package's types, and of their subclasses, that a config uses."""
    for _, part in walk(value):
        own = _own_class(part.get('type'))
        if own is not None:
            yield own.__name__


def _plain(cfg: dict[str, Any]) -> Any:
    """Return what does the work of one of this package's types in mmseg's own, if anything does."""
    own = _own_class(cfg.get('type'))
    is_hook = own is not None and registry.HOOKS.get(own.__name__) is own
    if cfg.get('backend') == 'atomic' or (is_hook and own and plain_class(own) is None):
        return DROPPED
    if own is not None and own.__name__ == 'SeededDataset':
        return cfg['dataset']
    if cfg.get('_scope_') == PACKAGE:
        del cfg['_scope_']
    if own is None:
        return cfg
    cfg.pop('local', None)
    plain = plain_class(own)
    if plain is None:
        return cfg
    unknown = OWN_ARGUMENTS.get(own.__name__, set())
    kept = {key: value for key, value in cfg.items() if key not in unknown}
    return {**kept, 'type': _registered_name(plain)}


def plain_class(own: type) -> type | None:
    """Return the registered class that one of ours does the work of, or None.

    It is the first parent outside of this package that can be built by its name. A parent that
    is there to be derived from, as a data set's base, does not do the same work.
    """
    if issubclass(own, registry.DATASETS.get('BaseSegDataset')):
        return None
    for parent in own.__mro__[1:]:
        is_plain = not _is_own(parent) or parent.__name__ in OWN_NETWORKS
        if is_plain and _registered_name(parent):
            return parent
    return None


def _registered_name(cls: type) -> str | None:
    """Return what a config calls a class of another package, with its scope where it needs one."""
    names = (cls.__name__, f'mmpretrain.{cls.__name__}')
    scoped = names if cls.__module__.startswith('mmpretrain.') else names[:1]
    found = (name for name in scoped if any(reg.get(name) is cls for reg in REGISTRIES))
    return next(found, None)


def _own_class(name: Any) -> type | None:
    """Return the class that a ``type`` stands for, if it or a parent of it is of this package."""
    found = name
    if isinstance(name, str):
        found = next((cls for reg in REGISTRIES if (cls := reg.get(name)) is not None), None)
    return found if inspect.isclass(found) and any(map(_is_own, found.__mro__)) else None


def _is_own(cls: type) -> bool:
    return cls.__module__.partition('.')[0] == PACKAGE


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
