"""How fast a device is: what the work of a step becomes seconds by."""

from __future__ import annotations

from dataclasses import dataclass

from ..measure.work import Work


@dataclass(frozen=True)
class Device:
    """A device, as two speeds that add up: no operation computes while another one waits for bytes.

    Attributes:
        name: Of the preset, or of what was measured.
        flops_per_second: That convolutions and matrix products reach.
        bytes_per_second: That operations read and write.
        source: Of the speeds.
    """

    name: str
    flops_per_second: float
    bytes_per_second: float
    source: str = ''

    def seconds(self, work: Work) -> float:
        """Return how long some work takes."""
        return work.flops / self.flops_per_second + work.moved / self.bytes_per_second


REACHED_FLOPS, REACHED_BYTES = 0.4, 0.8
"""Shares of a data sheet's peaks that training is assumed to reach."""


def _assumed(name: str, tera_flops: float, giga_bytes: float, sheet: str) -> Device:
    return Device(
        name,
        REACHED_FLOPS * tera_flops * 1e12,
        REACHED_BYTES * giga_bytes * 1e9,
        f'{REACHED_FLOPS:.0%} of the FLOPs and {REACHED_BYTES:.0%} of the bytes of the '
        f'{sheet} data sheet, assumed',
    )


DEVICES = {
    device.name: device
    for device in (
        _assumed('a100', 156, 2039, 'NVIDIA A100 80GB SXM (TF32)'),
        _assumed('a100-half', 312, 2039, 'NVIDIA A100 80GB SXM (bfloat16)'),
        _assumed('v100', 15.7, 900, 'NVIDIA V100 SXM2 (float32)'),
        _assumed('h100', 494, 3350, 'NVIDIA H100 SXM (TF32, dense)'),
        _assumed('h100-half', 989, 3350, 'NVIDIA H100 SXM (bfloat16, dense)'),
    )
}
"""Presets. Partitions depend on the ratio of the two speeds alone."""


def find_device(name: str) -> Device:
    """Return a preset.

    Raises:
        ValueError: There is none of this name.
    """
    if name not in DEVICES:
        raise ValueError(f'there is no device named {name!r}; valid: {", ".join(DEVICES)}')
    return DEVICES[name]
