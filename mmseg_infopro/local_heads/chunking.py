"""The form of a decode head that computes its loss in chunks, for every head that can have one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmseg.models import decode_heads
from mmseg.models.decode_heads.decode_head import BaseDecodeHead
from mmseg.registry import MODELS, TASK_UTILS
from mmseg.structures import OHEMPixelSampler

from .arguments import constructor_arguments
from .chunked_branches import OWN_LOSSES
from .chunked_loss import ChunkedLoss
from .summed_aspp import SUMMED

CHUNKED = 'Chunked'
CALL_THE_PARENTS_LOSS = ('DAHead', 'EncHead', 'STDCHead')
"""Heads of mmseg whose ``loss_by_feat`` ends in the parent's, once per output."""


def chunked_class(head: type) -> type[ChunkedLoss] | None:
    """Return the class that computes a head's loss in chunks, registered as ``Chunked<Name>``.

    None if the head has a ``loss_by_feat`` that is not known here. One that chunks is its own.
    """
    if issubclass(head, ChunkedLoss):
        return head
    loss = getattr(head, 'loss_by_feat', None)
    known = [getattr(decode_heads, name).loss_by_feat for name in CALL_THE_PARENTS_LOSS]
    if loss not in (BaseDecodeHead.loss_by_feat, *known, *OWN_LOSSES):
        return None
    name = f'{CHUNKED}{head.__name__}'
    # Not by `get`, which makes mmengine's logger for what is missing: too early while we import.
    found = MODELS.module_dict.get(name)
    if found is not None and head in found.__bases__:
        return found
    doc = f':class:`{head.__module__}.{head.__name__}` with :class:`ChunkedLoss`.'
    bases = (*SUMMED.get(head, ()), head, ChunkedLoss)
    if loss in OWN_LOSSES:
        bases = (OWN_LOSSES[loss], head)
    made: type[ChunkedLoss] = type(name, bases, {'__module__': __name__, '__doc__': doc})
    if found is None:
        MODELS.register_module(module=made)
        globals()[name] = made  # pickle finds a class by its name in its module
    return made


def chunked(cfg: Any) -> Any:
    """Return a decode head's config, or a cascade's, with losses in chunks where they can be."""
    if isinstance(cfg, (list, tuple)):
        return [chunked(item) for item in cfg]
    if not isinstance(cfg, Mapping):
        return cfg
    head = MODELS.get(cfg['type']) if isinstance(cfg['type'], str) else cfg['type']
    if not isinstance(head, type) or not issubclass(head, BaseDecodeHead):
        return cfg
    kind = chunked_class(head)
    if kind is None or kind is head:
        return cfg
    criteria = _criteria(cfg, head)
    if not criteria or kind.obstacle(criteria) or not _can_sample(cfg.get('sampler')):
        return cfg
    return type(cfg)({**cfg, 'type': kind})  # type: ignore[call-arg]


def unchunked(cfg: dict[str, Any]) -> dict[str, Any]:
    """Name mmseg's head in place of one that computes its loss in chunks."""
    name = str(cfg.get('type'))
    if name.startswith(CHUNKED) and name.removeprefix(CHUNKED) in MODELS:
        cfg['type'] = name.removeprefix(CHUNKED)
    return cfg


def _can_sample(cfg: Mapping[str, Any] | None) -> bool:
    if cfg is None:
        return True
    kind = cfg['type']
    return (TASK_UTILS.get(kind) if isinstance(kind, str) else kind) is OHEMPixelSampler


def _criteria(cfg: Mapping[str, Any], head: type) -> list[Any]:
    """Build the losses that a decode head will have, without random numbers; none if unknown."""
    argument = constructor_arguments(head).get('loss_decode')
    if argument is None:
        return []
    losses = cfg.get('loss_decode', argument.default)
    losses = losses if isinstance(losses, (list, tuple)) else [losses]
    return [MODELS.build(loss) for loss in losses]


for _name in sorted(set(decode_heads.__all__)):
    chunked_class(getattr(decode_heads, _name))
