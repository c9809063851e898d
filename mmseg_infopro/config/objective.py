"""What the partition of a config is judged by."""

from __future__ import annotations

from math import log2

from mmengine.config import Config

from ..local.settings import LocalSettings
from ..planning.borders import Borders
from ..planning.device import Device
from ..planning.objective import Objective, ShortestStage, SmallestPeak
from .speeds import device_at_hand
from .step import step_shape


def objective_of(cfg: Config, settings: LocalSettings, cap: int | None = None) -> Objective:
    """Return what the partition of a config is judged by.

    A pipeline is as fast as its slowest process, on the device at hand.

    Args:
        cfg: The config.
        settings: Its ``model.local``.
        cap: Bytes of tensors that a process may hold; None is no limit.
    """
    if settings.placement != 'pipeline':
        return SmallestPeak()
    device = rounded(device_at_hand(step_shape(cfg).autocast))
    return ShortestStage(device, Borders.of(settings), cap)


def rounded(device: Device) -> Device:
    """Return a device with the ratio of its speeds as a power of two.

    Partitions depend on nothing else, and so are the same when the speeds are measured again.
    """
    ratio = device.flops_per_second / device.bytes_per_second
    return Device(device.name, 2.0 ** round(log2(ratio)), 1.0, device.source)
