"""Vehicles on the road, each on free ground."""

from __future__ import annotations

import numpy as np

from .shapes import Patch, Shape
from .street import Street, Thing
from .vehicles import LENGTH, vehicle


class Traffic:
    """Fills the lanes of a street.

    Args:
        street: Its plan.
    """

    def __init__(self, street: Street) -> None:
        self.street, self.rng, self.camera = street, street.rng, street.camera
        self.taken: dict[float, list[tuple[float, float]]] = {}

    def moving(self) -> list[Thing]:
        """Moving vehicles: ours ahead of us, theirs towards us, sometimes one across."""
        things: list[Thing] = []
        ours, theirs = 0.0, -3.4
        if self.street.wants('train', 0.12):
            rails = [
                Patch(self.camera.ground((x - 0.06, x + 0.06), (2, 120)), (70, 66, 64))
                for x in (theirs - 0.72, theirs + 0.72)
            ]
            bed = self.camera.ground((theirs - 1.3, theirs + 1.3), (2, 120))
            track = Shape('rail track', (Patch(bed, (122, 112, 106)),), tuple(rails))
            things += [(200.0, [track]), *self._drive('train', theirs, np.pi, 9, 18)]
        for kind, chance in (('bus', 0.2), ('truck', 0.25)):
            if self.street.wants(kind, chance):
                lane, yaw = (ours, 0.0) if self.rng.random() < 0.5 else (theirs, np.pi)
                things += self._drive(kind, lane, yaw, 9, 22)
        for lane, yaw in ((ours, 0.0), (theirs, np.pi), (theirs, np.pi)):
            if self.rng.random() < 0.7:
                things += self._drive('car', lane, yaw, 9, 50)
        if self.rng.random() < 0.12:
            at = (self.rng.uniform(-7, 5), self.rng.uniform(22, 40))
            kind = str(self.rng.choice(['car', 'truck', 'bus']))
            crossing = vehicle(kind, self.rng, self.camera, at, np.pi / 2, lit=self.street.mood.lit)
            things.append((at[1], crossing))
        return things

    def parked(self) -> list[Thing]:
        """Cars in the parking lanes."""
        things: list[Thing] = []
        for side in (-1, 1):
            if self.street.parking[side]:
                lane = self.street.edge[side] - side * 1.1
                yaw = 0.0 if side == 1 else np.pi
                for near in np.arange(5, 60, 6.2):
                    if self.rng.random() < 0.55:
                        things += self._drive('car', lane, yaw, near, near + 0.8)
        return things

    def _drive(self, kind: str, lane: float, yaw: float, near: float, far: float) -> list[Thing]:
        at = self._free(lane, LENGTH[kind], near, far)
        if at is None:
            return []
        yaw += self.rng.normal(0, 0.03)
        drawn = vehicle(kind, self.rng, self.camera, (lane, at), yaw, lit=self.street.mood.lit)
        return [(at - LENGTH[kind] / 2, drawn)]

    def _free(self, lane: float, length: float, near: float, far: float) -> float | None:
        """A free place of that length in the lane, or None when none was found."""
        taken = self.taken.setdefault(lane, [])
        for _ in range(8):
            start = self.rng.uniform(near, far)
            if all(start + length < low or start > high for low, high in taken):
                taken.append((start - 1.5, start + length + 1.5))
                return float(start + length / 2)
        return None
