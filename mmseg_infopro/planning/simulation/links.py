"""Links between devices, by name."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Link:
    """What connects a device with the next one, with the same speed in both directions.

    Attributes:
        name: Of the preset.
        bytes_per_second: In one direction.
        latency: Seconds.
        source: Of the speed; latencies are assumed.
    """

    name: str
    bytes_per_second: float
    latency: float = 0.0
    source: str = ''

    def seconds(self, num_bytes: float) -> float:
        """Return how long bytes occupy the link."""
        return num_bytes / self.bytes_per_second

    def all_reduce_seconds(self, num_bytes: float, num_devices: int) -> float:
        """Return what a ring takes to add bytes up over devices: 2 (n - 1) / n of them pass.

        Patarasuk and Yuan, Bandwidth optimal all-reduce algorithms for clusters of workstations.
        """
        rounds = 2 * (num_devices - 1)
        return rounds / num_devices * self.seconds(num_bytes) + rounds * self.latency


LINKS = {
    link.name: link
    for link in (
        Link(
            'nvlink', 300e9, 5e-6, 'NVIDIA A100 data sheet: NVLink 3, 600 GB/s both ways together'
        ),
        Link('pcie', 31.5e9, 10e-6, 'PCI-SIG: PCIe 4.0 x16, 16 GT/s a lane, 128b/130b'),
        Link('25gbe', 3.125e9, 30e-6, 'IEEE 802.3by: 25 Gbit/s'),
    )
}
"""Nominal speeds, which programs do not quite reach."""


def find_link(name: str) -> Link:
    """Return a preset.

    Raises:
        ValueError: There is none of this name.
    """
    if name not in LINKS:
        raise ValueError(f'there is no link named {name!r}; valid: {", ".join(LINKS)}')
    return LINKS[name]
