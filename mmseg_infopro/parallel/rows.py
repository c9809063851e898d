"""The groups of processes of a mesh of pipelines."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import torch.distributed as dist
from torch import nn


def control_group(rows: Sequence[Sequence[int]], timeout: float) -> dist.ProcessGroup:
    """Return a gloo group of this process's row (collective).

    Args:
        rows: The ranks of each.
        timeout: Seconds.
    """
    own: list[dist.ProcessGroup] = []
    for ranks in rows:  # all processes open all groups, in the same order
        group = dist.new_group(list(ranks), timeout=timedelta(seconds=timeout), backend='gloo')
        if dist.get_rank() in ranks:
            own.append(group)
    return own[0]


def synchronize_norms(model: nn.Module, group: dist.ProcessGroup) -> None:
    """Let synchronized batch norms average over a group, not over processes of other modules."""
    for layer in model.modules():
        if isinstance(layer, nn.SyncBatchNorm):
            layer.process_group = group
