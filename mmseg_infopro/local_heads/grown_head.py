"""AugLocal's local head: a short network of fresh blocks, shaped like a sample of later units."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from mmseg.registry import MODELS
from mmseg.utils import OptMultiConfig
from torch import Tensor, nn

from ..backbones import State, Unit
from ..measure.fake import UpperBounds, as_fake
from ..upstream import tree_flatten, tree_unflatten
from .border import Border
from .joint import Joint, is_size
from .unit_copy import UnitCopy
from .wrapping_head import WrappingHead

TASK = {'type': 'FCNHead', 'num_convs': 1, 'concat_input': False}
"""InfoPro's task head, with which a config without local heads trains."""


@MODELS.register_module()
class GrownHead(WrappingHead):
    """Another head behind fresh blocks that are shaped like later units, and end as those do.

    The auxiliary network of AugLocal, https://arxiv.org/abs/2402.17318: of N units, a module that
    ends with unit l gets blocks like units ``l + round(i (N - l - 1) / d_l)``, i = 1 ... d_l, with
    ``d_l = max(1, round(depth (1 - tau p) + tau p))`` for a module at position p, from 0 to 1: the
    first modules have the deepest heads. A :class:`Joint` stands where a block takes another shape
    than what is before it leaves. Blocks are drawn anew, layer by layer; bare parameters begin with
    what the backbone's constructor gave them.

    The last units of a network are its widest, so wholly sampled blocks can cost as much as the
    network. While the sampled units exceed their share of the backbone's FLOPs, the latest of them
    is left out; one stays. What joins the blocks is not counted.

    Args:
        border: Where the head stands.
        head: The other head; what its configuration lacks is filled in, for the features behind
            the last block.
        depth: Number of blocks of the first module; there are no more than later units.
        tau: How much fewer the last module has: 0 is none, 1 leaves one.
        max_flops_ratio: The blocks' share of the backbone's FLOPs, at most.
        defaults: What the model knows.
        init_cfg: As in mmengine.

    Raises:
        ValueError: There is no later unit, the state that one takes cannot be made, or an argument
            is not among those above.
    """

    def __init__(
        self,
        border: Border,
        head: Mapping[str, Any] = TASK,
        depth: int = 4,
        tau: float = 0.5,
        max_flops_ratio: float = 0.25,
        defaults: Mapping[str, Any] | None = None,
        init_cfg: OptMultiConfig = None,
    ) -> None:
        super().__init__(init_cfg)
        if not 0 <= tau <= 1:
            raise ValueError(f'tau must be from 0 to 1, got {tau!r}')
        if type(depth) is not int or depth < 1:
            raise ValueError(f'depth must be an int of at least 1, got {depth!r}')
        if max_flops_ratio <= 0:
            raise ValueError(f'max_flops_ratio must be positive, got {max_flops_ratio!r}')
        if not border.later:
            raise ValueError('its blocks are shaped like later units, and there is none')
        defaults = defaults or {}
        number = depth_at(border.position, depth, tau)
        chosen = sampled(border.later, number)
        units = affordable(chosen, border.trace.flops, max_flops_ratio)
        self.blocks = UnitCopy(border.backbone, units)
        self.blocks.requires_grad_()
        _draw_anew(self.blocks)
        self.joints = _joints(border, units, defaults.get('norm_cfg'))
        self.wrap(head, border, units[-1].name, defaults)
        _drop_unread(self, border)

    def features(self, state: State, border: Sequence[Tensor]) -> list[Tensor]:
        """Return the features behind the last block."""
        backbone, maps = self.blocks.parts, list(border)
        for unit, joint in zip(self.blocks.units, self.joints, strict=True):
            if isinstance(joint, Joint):
                state = joint(maps)
            state = unit.apply(backbone, state)
            maps = backbone.border_features(state)
        return maps


def depth_at(position: float, depth: int, tau: float) -> int:
    """Return the number of blocks of a module at a position from 0, the first, to 1, the last."""
    return max(1, round(depth * (1 - tau * position) + tau * position))


def sampled(later: Sequence[Unit], number: int) -> tuple[Unit, ...]:
    """Return ``number`` of the later units, at even distances, the last one among them."""
    number = min(number, len(later))
    return tuple(later[int(len(later) * i / number + 0.5) - 1] for i in range(1, number + 1))


def affordable(
    units: Sequence[Unit], flops: Mapping[str, int], max_ratio: float
) -> tuple[Unit, ...]:
    """Return the units without the latest ones, which exceed a share of all FLOPs."""
    limit, kept = max_ratio * sum(flops.values()), list(units)
    while len(kept) > 1 and sum(flops[unit.name] for unit in kept) > limit:
        kept.pop()
    return tuple(kept)


def _joints(border: Border, units: Sequence[Unit], norm_cfg: Any) -> nn.ModuleList:
    """Return what stands before each block; nothing where it takes what is there as it is."""
    names = [unit.name for unit in border.backbone.units()]
    trace, before = border.trace, border.boundary
    width = trace.states[''][-1]
    joints = nn.ModuleList()
    for unit in units:
        taken = trace.states[names[names.index(unit.name) - 1]]
        fits = trace.states[before] == taken
        joints.append(
            nn.Identity() if fits else Joint(trace.borders[before], taken, width, norm_cfg)
        )
        before = unit.name
    return joints


def _drop_unread(head: GrownHead, border: Border) -> None:
    """Take out projections of what no block reads, as a skip whose decoder is not among them.

    They would never get a gradient. A map that is alone is read.
    """
    if not any(isinstance(joint, Joint) and len(joint.projections) > 1 for joint in head.joints):
        return
    fake, mode = as_fake(head)
    fake.train()
    parameters = dict(fake.joints.named_parameters())
    with mode, torch.enable_grad(), UpperBounds():
        state = _zeros(border.trace.states[border.boundary])
        maps = fake.features(state, border.backbone.border_features(state))
        total = torch.stack([x.sum() for x in maps]).sum()
        found: Any = torch.autograd.grad(total, list(parameters.values()), allow_unused=True)
    for name, gradient in zip(parameters, found, strict=True):
        if gradient is None:
            number, _, projection, *_ = name.split('.')
            joint: Any = head.joints[int(number)]
            joint.projections[int(projection)] = nn.Identity()


def _zeros(sizes: Any) -> State:
    """Return a state of some sizes, a nest with plain values in it."""
    leaves, structure = tree_flatten(sizes, is_leaf=is_size)
    return tree_unflatten([torch.zeros(x) if is_size(x) else x for x in leaves], structure)


def _draw_anew(copy: UnitCopy) -> None:
    for layer in copy.modules():
        reset = getattr(layer, 'reset_parameters', None)
        if reset is not None:
            reset()
