"""How fast a device computes and moves bytes: two speeds, fitted to a few layers that are timed."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median
from time import perf_counter

import numpy as np
import torch
from torch import Tensor, nn

from .tracker import MemoryTracker
from .work import Work, WorkCounter

SECONDS = 0.15
"""That each layer is timed for."""
LARGER_ON_A_GPU = 16
"""Factor by which images are more there, so that its cores have something to do."""


def measure_speeds(
    device: str = 'cpu', autocast: torch.dtype | None = None, seconds: float = SECONDS
) -> tuple[float, float]:
    """Return the FLOPs and the bytes of a second of training on a device.

    What forward and backward passes of convolutions, norms and products of matrices take is fitted
    by ``flops / speed + bytes / bandwidth``; each one's relative error counts as much.

    Args:
        device: ``'cuda'`` or ``'cpu'``.
        autocast: Precision of mixed-precision training.
        seconds: That each layer is timed for.
    """
    works: list[Work] = []
    times: list[float] = []
    for layer, features in _layers(device):
        step = _Step(layer, features, autocast)
        works.append(step.work())
        times.append(step.seconds(seconds))
    return fit_speeds(works, times)


def fit_speeds(works: Sequence[Work], seconds: Sequence[float]) -> tuple[float, float]:
    """Return the FLOPs and the bytes of a second that explain some times best.

    Args:
        works: What was timed.
        seconds: That each took.

    Returns:
        Infinity for one of them, where the other one explains the times alone.
    """
    rows = np.array([(work.flops, work.moved) for work in works]) / np.array(seconds)[:, None]
    best = np.linalg.lstsq(rows, np.ones(len(rows)), rcond=None)[0]
    if min(best) <= 0:
        alone = rows.sum(0) / np.square(rows).sum(0)
        errors = np.square(rows * alone - 1).sum(0)
        best = np.where(np.arange(2) == errors.argmin(), alone, 0.0)
    return tuple(1 / cost if cost > 0 else float('inf') for cost in best)  # type: ignore[return-value]


class _Step:
    """Forward and backward pass of a layer, again and again."""

    def __init__(self, layer: nn.Module, features: Tensor, autocast: torch.dtype | None) -> None:
        self._layer, self._features, self._autocast = layer, features, autocast

    def work(self) -> Work:
        counter = WorkCounter()
        with MemoryTracker(watch=counter):
            self._take()
        return counter.forward + counter.backward

    def seconds(self, budget: float) -> float:
        """Return the median of the times that fit the budget, of three at least."""
        self._take()
        begin = perf_counter()
        times: list[float] = []
        while len(times) < 3 or perf_counter() - begin < budget:
            start = perf_counter()
            self._take()
            times.append(perf_counter() - start)
        return median(times)

    def _take(self) -> None:
        device = self._features.device.type
        with torch.enable_grad(), torch.autocast(device, self._autocast, bool(self._autocast)):
            output = self._layer(self._features)
        output.backward(torch.ones_like(output))
        if device == 'cuda':
            torch.cuda.synchronize()


def _layers(device: str) -> list[tuple[nn.Module, Tensor]]:
    """Return layers of the usual widths, with what goes into each."""
    with torch.random.fork_rng([]):
        images = 2 * (LARGER_ON_A_GPU if device == 'cuda' else 1)
        shapes = [(64, 64), (128, 48), (256, 32)]  # beyond the caches of a core
        found: list[tuple[nn.Module, Tensor]] = []
        for channels, size in shapes:
            features = torch.rand(images, channels, size, size, device=device, requires_grad=True)
            narrow = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
            wide = nn.Conv2d(channels, channels, 1, bias=False)
            norm = nn.Sequential(nn.BatchNorm2d(channels), nn.ReLU())
            found += [(layer.to(device), features) for layer in (narrow, wide, norm)]
        tokens = torch.rand(images, 1024, 256, device=device, requires_grad=True)
        product = nn.Sequential(nn.LayerNorm(256), nn.Linear(256, 1024), nn.GELU())
        return [*found, (product.to(device), tokens)]
