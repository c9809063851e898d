"""Momentum auxiliary networks: a head behind a copy of later units and their slow average."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import torch
from mmseg.registry import MODELS
from mmseg.utils import OptMultiConfig
from torch import Tensor, nn

from ..backbones import State, Unit, UnrolledBackbone
from ..upstream import tree_flatten, tree_unflatten
from .border import Border
from .unit_average import UnitAverage
from .unit_copy import UnitCopy
from .wrapping_head import WrappingHead

MLP = {'type': 'MLPHead'}


@MODELS.register_module()
class MomentumHead(WrappingHead):
    """Another head on ``LB(h) + EMA(h)``, of what the next units would make of the border.

    LB is a copy of units that trains, EMA their average over the steps, which is no parameter:
    ``EMA = momentum EMA + (1 - momentum) theirs`` after each update, of parameters only. The next
    unit's is the auxiliary network of MAN, https://arxiv.org/abs/2407.05623; MAN++,
    https://arxiv.org/abs/2507.16279, reads ``s LB(h) + (2 - s) EMA(h)`` with a scale that learns,
    of the beginning of the next stage. Both copies start from the units' weights at the first loss,
    when pretrained ones are there.

    Args:
        border: Where the head stands.
        head: The other head; what its configuration lacks is filled in, for the features behind
            the units.
        unit: ``'next'``, or ``'stage'``: what leads into the next stage and that stage's first
            block; in the last stage, and where a backbone has no stages, the next unit.
        scaled: Whether ``s`` learns, from 1 on.
        momentum: Share of itself that the average keeps at an update.
        defaults: What the model knows, for the other head.
        init_cfg: As in mmengine.

    Raises:
        ValueError: There is no later unit, the next stage takes another state than the border has,
            or an argument is not among those above.
    """

    scale: Tensor | None
    begun: Tensor

    def __init__(
        self,
        border: Border,
        head: Mapping[str, Any] = MLP,
        unit: Literal['next', 'stage'] = 'next',
        scaled: bool = False,
        momentum: float = 0.995,
        defaults: Mapping[str, Any] | None = None,
        init_cfg: OptMultiConfig = None,
    ) -> None:
        super().__init__(init_cfg)
        if not 0 <= momentum <= 1:
            raise ValueError(f'momentum must be from 0 to 1, got {momentum!r}')
        self.momentum = momentum
        self.follows = False
        self.register_buffer('begun', torch.zeros((), dtype=torch.bool))
        units, self.reads_map = copied_units(border, unit)
        self.lb = UnitCopy(border.backbone, units)
        self.lb.requires_grad_()
        self.ema = UnitAverage(border.backbone, units)
        self.register_parameter('scale', nn.Parameter(torch.ones(())) if scaled else None)
        self.wrap(head, border, units[-1].name, defaults or {})

    def features(self, state: State, border: Sequence[Tensor]) -> list[Tensor]:
        """Return the features of ``s LB(h) + (2 - s) EMA(h)``, summed in every tensor."""
        backbone = self.lb.parts
        if self.reads_map:
            (state,) = border
        learned, structure = tree_flatten(self.lb(state))
        averaged, _ = tree_flatten(self.ema(state))
        scale = 1.0 if self.scale is None else self.scale
        both = [
            scale * a + (2 - scale) * b if isinstance(a, Tensor) else a
            for a, b in zip(learned, averaged, strict=True)
        ]
        return backbone.border_features(tree_unflatten(both, structure))

    def follow(self, backbone: UnrolledBackbone, was_updated: Tensor | None = None) -> None:
        """Begin with the backbone's weights, at the first call, or move the average once.

        Args:
            backbone: Whose units are copied.
            was_updated: A boolean, without which nothing moves.
        """
        self.ema.move(backbone, self.momentum if self.follows else 0.0, was_updated)
        if not self.follows:
            theirs = backbone.state_dict()
            with torch.no_grad():
                for name, value in self.lb.parts.state_dict(keep_vars=True).items():
                    value.copy_(theirs[name])
            self.follows = True
            self.begun.fill_(True)

    def followed(self, backbone: UnrolledBackbone) -> list[nn.Parameter]:
        """Return the parameters that the average is of."""
        theirs = dict(backbone.named_parameters())
        return [theirs[name] for name in self.ema.averaged]

    def _load_from_state_dict(self, *args: Any, **kwargs: Any) -> None:
        super()._load_from_state_dict(*args, **kwargs)
        self.follows = bool(self.begun)


def copied_units(border: Border, unit: str) -> tuple[tuple[Unit, ...], bool]:
    """Return the units that a momentum head copies, and whether they take a map in tokens' place.

    Raises:
        ValueError: There are none, they do not take what the border has, or ``unit`` is another
            word.
    """
    if unit not in ('next', 'stage'):
        raise ValueError(f"unit must be 'next' or 'stage', got {unit!r}")
    if not border.later:
        raise ValueError('it copies a later unit, and there is none')
    units = border.backbone.units()
    names = [item.name for item in units]
    here = units[names.index(border.boundary)].stage
    starts = [i for i, later in enumerate(border.later) if later.stage not in (None, here)]
    if unit == 'next' or not starts:
        return border.later[:1], False
    first, *rest = border.later[starts[0] :]
    begins_only = rest and rest[0].stage == first.stage and not _are_siblings(first, rest[0])
    taken = border.trace.states[names[names.index(first.name) - 1]]
    return (first, rest[0]) if begins_only else (first,), _needs_map(border, taken)


def _are_siblings(first: Unit, second: Unit) -> bool:
    """Whether two units are blocks of one list; downsampling and embeddings are in another one."""
    parents = [unit.name.rpartition('.')[0] for unit in (first, second)]
    return parents[0] == parents[1]


def _needs_map(border: Border, taken: Any) -> bool:
    """Return whether units take the border's feature, not its state.

    Raises:
        ValueError: They take neither.
    """
    state = border.trace.states[border.boundary]
    if state == taken:
        return False
    takes_map = isinstance(taken, torch.Size) and not isinstance(state, torch.Size)
    if takes_map and [taken[1]] == [shape.channels for shape in border.shapes]:
        return True
    raise ValueError(
        "unit='stage' does not fit there: the next stage starts from another state than this "
        "border's; set unit='next'"
    )
