"""The task in a decode head's own loss: what local heads classify by, where theirs say no more."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from typing import Any

from mmseg.models import losses as mmseg_losses
from mmseg.models.losses import CrossEntropyLoss
from torch import nn

Loss = Mapping[str, Any]
TAKEN: dict[str, Any] = dict(
    use_sigmoid=False, use_mask=False, class_weight=None, avg_non_ignore=False
)
"""Settings of a cross-entropy that belong to the task, and what mmseg takes without them."""


def task_loss(decode_head: Any) -> dict[str, Any] | None:
    """Return the loss of local heads that name none; None if mmseg's own default is the task's.

    It is the cross-entropy of the decode head, as far as it belongs to the task, and binary where
    the head has one output channel. A decode head without a cross-entropy, whose loss mmseg does
    not ship, hands that on.

    Raises:
        ValueError: The decode head's own loss is always 0.
    """
    criteria = losses_of(decode_head)
    is_binary = getattr(decode_head, 'out_channels', None) == 1
    for criterion in criteria:
        check_not_constant(criterion, is_binary)
    entropy = next((item for item in criteria if isinstance(item, CrossEntropyLoss)), None)
    if entropy is None:
        for criterion in criteria:
            if type(criterion).__name__ not in mmseg_losses.__all__:
                return _copies_of(criterion)
    weights = [item.class_weight for item in criteria if _weighs_classes(item)]
    settings = {key: getattr(entropy, key, default) for key, default in TAKEN.items()}
    if entropy is None:
        settings |= dict(use_sigmoid=is_binary, class_weight=weights[0] if weights else None)
    own = {key: value for key, value in settings.items() if _differs(value, TAKEN[key])}
    return dict(type='CrossEntropyLoss', **own) if own else None


def losses_of(head: Any) -> list[Any]:
    """Return the criteria of a decode head."""
    criteria = getattr(head, 'loss_decode', None)
    if criteria is None:
        return []
    return list(criteria) if isinstance(criteria, nn.ModuleList) else [criteria]


def with_task(loss: Any, task: Loss | None) -> Any:
    """Return the ``loss_decode`` of a local head with what its cross-entropies leave open.

    Args:
        loss: A loss's configuration, or several.
        task: Of :func:`task_loss`.
    """
    if not task or task['type'] != 'CrossEntropyLoss':
        return loss
    if isinstance(loss, Sequence) and not isinstance(loss, str):
        return [with_task(item, task) for item in loss]
    kind = loss.get('type') if isinstance(loss, Mapping) else None
    if kind not in ('CrossEntropyLoss', CrossEntropyLoss):
        return loss
    excluded = {'use_sigmoid', 'use_mask'} if {'use_sigmoid', 'use_mask'} & loss.keys() else set()
    taken = {key: value for key, value in task.items() if key not in excluded}
    return {**taken, **loss}


def check_not_constant(criterion: Any, is_binary: bool) -> None:
    """Check that a loss is no softmax over one channel, which is 1 whatever the network says.

    Raises:
        ValueError: It is.
    """
    is_softmax = isinstance(criterion, CrossEntropyLoss) and not criterion.use_sigmoid
    if is_binary and is_softmax and not criterion.use_mask:
        raise ValueError(
            'a softmax over one output channel is always 1, and its loss always 0: set '
            'loss_decode.use_sigmoid=True, or out_channels to the number of classes'
        )


def _copies_of(criterion: nn.Module) -> dict[str, Any]:
    def copied() -> nn.Module:
        return deepcopy(criterion)

    return dict(type=copied)


def _weighs_classes(criterion: Any) -> bool:
    weights = getattr(criterion, 'class_weight', None)
    return isinstance(weights, Sequence) and not isinstance(weights, str)


def _differs(value: Any, default: Any) -> bool:
    return value is not None if default is None else value != default
