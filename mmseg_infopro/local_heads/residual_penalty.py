"""TRGL's penalty: residual branches of a local module shall move what passes through it little."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from mmengine.model import BaseModule
from mmseg.registry import MODELS
from mmseg.utils import SampleList
from torch import Tensor

from ..backbones.residuals import WITH_RESIDUALS
from .border import Border


@MODELS.register_module()
class ResidualPenalty(BaseModule):
    """Penalizes the size of a local module's residual branches; stands beside a task head.

    ``1 / (2 tau) * sum_r mean(r^2)`` over the residual branches r of the module's units, the
    kinetic energy of https://arxiv.org/abs/2309.17357, which adds it to the cross-entropy of each
    module. Its tau is halved in the first half of the modules. It acts on modules 0 ... K-2: the
    tail has no local heads. There is nothing to train in it.

    Args:
        border: Where it stands; its backbone must name residual branches.
        tau: Large values penalize little. The paper takes 1 to 100 on small networks, 10 for a Swin
            Transformer and 1e6 for a ResNet-152.
        loss_weight: The weight of the penalty.

    Raises:
        ValueError: The backbone names no residual branches, or tau is not positive.
    """

    loss_name = 'loss_residual'
    reads_residuals = True

    def __init__(self, border: Border, tau: float, loss_weight: float = 1.0) -> None:
        super().__init__()
        if tau <= 0:
            raise ValueError(f'tau must be positive, got {tau}')
        if not any(unit.residuals for unit in border.backbone.units()):
            raise ValueError(
                f'the units of {type(border.backbone).__name__} do not name their residual '
                f'branches; valid: {", ".join(WITH_RESIDUALS)}'
            )
        self.tau = tau / 2 if border.position <= 0.5 else tau
        self.loss_weight = loss_weight

    def loss(
        self,
        inputs: Sequence[Tensor],
        data_samples: SampleList,
        train_cfg: dict,
        residuals: Sequence[Tensor],
    ) -> dict[str, Tensor]:
        """Sum up ``residuals``, the scalars ``mean(r^2)``; none, as of a stem, are 0."""
        total = torch.stack(list(residuals)).sum() if residuals else inputs[0].new_zeros(())
        return {self.loss_name: self.loss_weight / (2 * self.tau) * total}
