"""Mixed precision on a machine without accelerator."""

from __future__ import annotations

from typing import Any

import torch
from mmengine.optim import AmpOptimWrapper, OptimWrapper
from mmengine.registry import OPTIM_WRAPPERS

from mmseg_infopro.local.scaling import ScaledModules


@OPTIM_WRAPPERS.register_module()
class CpuAmpOptimWrapper(AmpOptimWrapper):
    """mmengine's own, whose constructor refuses to run here, with bfloat16 and loss scaling."""

    def __init__(self, loss_scale: dict[str, Any] | None = None, **kwargs: Any) -> None:
        OptimWrapper.__init__(self, **kwargs)
        self._scale_update_param = None
        self.loss_scaler = torch.amp.GradScaler('cpu', **(loss_scale or {}))
        self.cast_dtype = torch.bfloat16


@OPTIM_WRAPPERS.register_module()
class CpuLocalAmpOptimWrapper(ScaledModules, CpuAmpOptimWrapper):
    """The same with a loss scale for each module."""
