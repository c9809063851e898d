"""How many of a model's tensors a file of weights has filled: none or few is an error."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from mmengine.logging import MMLogger
from torch import Tensor, nn

from ..config.pretrained import ALLOW_FEW, INITIALIZERS, ZOOS
from ..config.walk import type_name
from .checkpoints import SCHEME, check_checkpoint
from .weights import checkpoint_weights

FRESH = ('local_heads.', 'context.')
"""What of a model no other model has."""
ENOUGH = 0.5


@dataclass(frozen=True)
class Taken:
    """What a file has filled of a model, or of a part of it.

    Attributes:
        count: Tensors that are from the file.
        total: Tensors that could be.
        other_shapes: Names that the file has with another shape.
        unknown: Names that only the file has.
    """

    count: int
    total: int
    other_shapes: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()


def matching(model: Mapping[str, Tensor], weights: Mapping[str, Tensor]) -> Taken:
    """Compare names and shapes, by which mmengine loads a checkpoint."""
    own = {name: weight for name, weight in model.items() if not _is_fresh(name)}
    other = tuple(n for n in own if n in weights and weights[n].shape != own[n].shape)
    count = sum(name in weights for name in own) - len(other)
    unknown = tuple(name for name in weights if name not in model)
    return Taken(count, len(own), other, unknown)


def equal(part: nn.Module, weights: Mapping[str, Tensor]) -> Taken:
    """Compare values: backbones load pretrained weights by names of their own making.

    Tensors of one number throughout, as fresh biases, tell nothing and do not count.
    """
    prints = {_print(weight) for weight in weights.values()}
    own = [
        weight
        for name, weight in part.state_dict().items()
        if not _is_fresh(name) and weight.is_floating_point() and weight.numel() > 1
    ]
    telling = [weight for weight in own if weight.min() != weight.max()]
    count = sum(_print(weight) in prints for weight in telling)
    return Taken(count, len(telling), unknown=tuple(weights))


def say_taken(taken: Taken, source: str, allow_few: bool = False, part: str = 'the model') -> None:
    """Log how many tensors were taken.

    Raises:
        ValueError: None or few were, and that was not asked for.
    """
    source = source.removeprefix(SCHEME)
    message = f"{taken.count} of {part}'s {taken.total} tensors are taken from {source}"
    notes = []
    if taken.other_shapes:
        notes.append(f'{len(taken.other_shapes)} have another shape, as {taken.other_shapes[0]}')
    if taken.unknown and taken.count < taken.total:
        notes.append(f'it also holds {taken.unknown[0]}')
    message += f' ({"; ".join(notes)})' if notes else ''
    if taken.total and taken.count < ENOUGH * taken.total and not allow_few:
        raise ValueError(
            f'only {message}: they are of another network or width, or have other names. To train '
            f'on with so few, set {ALLOW_FEW}=True'
        )
    MMLogger.get_current_instance().info(message)


def check_pretrained(model: nn.Module, allow_few: bool = False) -> None:
    """Say how many tensors each part of a model that was initialized has from its files.

    Files of model zoos, which mmengine looks up, are not opened again.

    Raises:
        ValueError: None or few, and that was not asked for.
    """
    for name, part, file in _pretrained_parts(model):
        weights = checkpoint_weights(check_checkpoint(file))
        say_taken(equal(part, weights), file, allow_few, name or 'the model')


def _pretrained_parts(model: nn.Module) -> Iterator[tuple[str, nn.Module, str]]:
    for name, part in model.named_modules():
        found: Any = getattr(part, 'init_cfg', None)
        for cfg in found if isinstance(found, (list, tuple)) else [found]:
            if isinstance(cfg, Mapping) and type_name(cfg) in INITIALIZERS:
                file = cfg.get('checkpoint')
                if isinstance(file, str) and not file.startswith(ZOOS):
                    yield name, part, file


def _is_fresh(name: str) -> bool:
    return name.startswith(FRESH) or name.endswith('num_batches_tracked')


def _print(weight: Tensor) -> tuple[Any, ...]:
    """Return what tells weights of training apart without keeping them."""
    flat = weight.detach().flatten().double().cpu()
    return tuple(weight.shape), float(flat.sum()), float(flat[:1].sum()), float(flat[-1:].sum())
