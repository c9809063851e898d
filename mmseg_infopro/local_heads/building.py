"""Builds the local heads of a border: whatever the model already says is filled in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mmseg.utils import SampleList
from torch import Tensor, nn

from ..backbones import State
from .balance import BALANCED, Strength
from .border import Border
from .filling import Config, build_head


def build_local_heads(
    head_cfgs: Sequence[Config], border: Border, defaults: Config
) -> nn.ModuleList:
    """Build the heads at one boundary.

    A head's ``at=[0, 2]`` names the modules that have it, all others having all; its ``name`` is
    what schedules and the log call it, the name of its class if not given. A head whose
    ``loss_weight`` is ``'balanced'`` is weighted by :func:`~.balance.balanced_weight`.

    Args:
        head_cfgs: ``local.heads``; not mutated.
        border: Where they stand.
        defaults: What the model knows (class count, norm, ...); a head takes what it accepts.

    Raises:
        ValueError: A head does not fit, two have one name, or the border has none.
    """
    heads = nn.ModuleList()
    for number, cfg in enumerate(head_cfgs):
        name = f'local.heads[{number}] ({_type_name(cfg)})'
        where = _checked_places(name, cfg.get('at'))
        if where is not None and border.index is not None and border.index not in where:
            continue
        own = {key: value for key, value in cfg.items() if key not in ('at', 'name')}
        is_balanced = asks_for_balance(own)
        try:
            own = interpolate_loss_weights(own, border.position)
            head = build_head(own, border, defaults)
        except (ArithmeticError, AssertionError, LookupError, TypeError, ValueError) as error:
            raise ValueError(
                f'{name} does not fit at boundary {border.boundary!r}: {error}'
            ) from error
        if not hasattr(head, 'loss'):
            raise ValueError(f'{name} is not a head: it has no loss method')
        vars(head).update(
            local_name=cfg.get('name', _type_name(cfg).rpartition('.')[2]),
            is_named='name' in cfg,
            is_balanced=is_balanced,
        )
        if any(head.is_named and head.local_name == other.local_name for other in heads):
            raise ValueError(
                f'{name}: another head at boundary {border.boundary!r} is named '
                f'{head.local_name!r} already, and its losses would be lost'
            )
        heads.append(head)
    if any(head.is_balanced for head in heads):
        for head in heads:
            if getattr(head, 'reads_residuals', False):
                raise ValueError(
                    f'{type(head).__name__} cannot stand beside a head with '
                    "loss_weight='balanced': "
                    'the strength of what reads residual branches cannot be measured at the border'
                )
            head.strength = Strength()
    if not len(heads):
        raise ValueError(
            f'local.heads leaves local module {border.index} without a head: a local module needs '
            "a loss; name it in a head's at=[...]"
        )
    return heads


def _type_name(cfg: Config) -> str:
    kind = cfg['type']
    return kind if isinstance(kind, str) else kind.__name__


def check_places(head_cfgs: Sequence[Config], num_borders: int) -> None:
    """Check that heads stand at modules that have a border.

    Raises:
        ValueError: One does not.
    """
    for number, cfg in enumerate(head_cfgs):
        name = f'local.heads[{number}] ({_type_name(cfg)})'
        for place in _checked_places(name, cfg.get('at')) or ():
            if num_borders and place >= num_borders:
                raise ValueError(
                    f'{name}: at names module {place}; those with local heads are 0 to '
                    f'{num_borders - 1}'
                )


def _checked_places(name: str, places: Any) -> Sequence[int] | None:
    """Check a head's ``at``.

    Raises:
        ValueError: It is no list of numbers of modules.
    """
    is_list = isinstance(places, Sequence) and not isinstance(places, str)
    if places is not None and not (is_list and all(type(i) is int and i >= 0 for i in places)):
        raise ValueError(f'{name}: at must be a list of numbers of local modules, got {places!r}')
    return places


def interpolate_loss_weights(cfg: Config, position: float) -> dict[str, Any]:
    """Replace every ``loss_weight=(first, last)`` by its value at ``position`` in [0, 1].

    One that is ``'balanced'`` becomes 1.
    """

    def value(key: str, item: Any) -> Any:
        if isinstance(item, Mapping):
            return interpolate_loss_weights(item, position)
        if key == 'loss_weight' and item == BALANCED:
            return 1.0
        if key == 'loss_weight' and isinstance(item, str):
            raise ValueError(
                f"loss_weight must be a number, (first, last) or '{BALANCED}', got {item!r}"
            )
        if key == 'loss_weight' and isinstance(item, (list, tuple)):
            if len(item) != 2:
                raise ValueError(f'loss_weight must be a number or (first, last), got {item}')
            return item[0] + (item[1] - item[0]) * position
        if isinstance(item, (list, tuple)):
            return type(item)(value('', element) for element in item)
        return item

    return {key: value(key, item) for key, item in cfg.items()}


def asks_for_balance(value: Any) -> bool:
    """Whether a head's configuration has a ``loss_weight='balanced'`` anywhere in it."""
    if isinstance(value, Mapping):
        return value.get('loss_weight') == BALANCED or any(map(asks_for_balance, value.values()))
    return isinstance(value, (list, tuple)) and any(map(asks_for_balance, value))


def loss_weights(head: Any) -> dict[str, float]:
    """Return the weight of each loss of a head by the loss's name, for the log."""
    losses = getattr(head, 'loss_decode', head)
    parts: list[Any] = list(losses) if isinstance(losses, nn.ModuleList) else [losses]
    return {
        part.loss_name: float(part.loss_weight)
        for part in parts
        if hasattr(part, 'loss_name') and hasattr(part, 'loss_weight')
    }


def head_losses(
    head: Any,
    features: Sequence[Tensor],
    data_samples: SampleList,
    image: Tensor,
    entry: Sequence[Tensor] = (),
    residuals: Sequence[Tensor] = (),
    state: State = None,
) -> dict[str, Tensor]:
    """Call a head's loss.

    Args:
        head: One with ``reads_image`` gets the normalized image as well, one with ``reads_entry``
            what its module starts from, one with ``reads_residuals`` how large the module's
            residual branches are, one with ``reads_state`` what its module leaves.
        features: Of the border.
        data_samples: With the label maps.
        image: Normalized, ``(B, C, H, W)``.
        entry: The features at the border before, detached; the image for the first module.
        residuals: ``mean(r^2)`` of each residual branch r, scalars.
        state: At the border, with its graph.
    """
    read: dict[str, Any] = {}
    if getattr(head, 'reads_image', False):
        read['image'] = image
    if getattr(head, 'reads_entry', False):
        read['entry'] = entry
    if getattr(head, 'reads_residuals', False):
        read['residuals'] = residuals
    if getattr(head, 'reads_state', False):
        read['state'] = state
    return head.loss(features, data_samples, {}, **read)
