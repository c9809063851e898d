"""The plan of one street: its light, its lanes, and what it is sure to have."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .shapes import Camera, Colour, Shadow, Shape

Thing = tuple[float, list[Shape | Shadow]]
"""What stands on the street, with its distance in metres."""


@dataclass(frozen=True)
class Mood:
    """Light and weather.

    Attributes:
        zenith: Sky colour at the top.
        low: Sky colour at the horizon, and of the haze.
        light: Gain for red, green, blue.
        haze: Share of the haze colour per 100 m.
        shadow: Strength of cast shadows in [0, 1].
        lit: Whether windows and lamps are lit.
        cloud: Colour of clouds.
    """

    zenith: Colour
    low: Colour
    light: Colour
    haze: float
    shadow: float
    lit: bool
    cloud: Colour


MOODS = {
    'clear': Mood(
        (74, 132, 204), (190, 214, 234), (1.06, 1.03, 0.97), 0.5, 0.5, False, (244, 246, 250)
    ),
    'overcast': Mood(
        (166, 172, 180), (206, 210, 212), (0.9, 0.92, 0.95), 0.8, 0.15, False, (188, 192, 198)
    ),
    'evening': Mood(
        (92, 100, 160), (246, 188, 132), (1.08, 0.88, 0.72), 0.6, 0.55, True, (240, 176, 150)
    ),
    'dusk': Mood((36, 46, 88), (130, 116, 140), (0.58, 0.6, 0.76), 0.7, 0.1, True, (90, 88, 118)),
}
MOOD_SHARES = (0.45, 0.25, 0.18, 0.12)


class Street:
    """Widths and sides in metres, drawn once; side -1 is left, 1 is right.

    Attributes:
        parking: Width of the parking lane of each side, or 0.
        edge: Where the road ends on each side.
        verge: Width of the grass between road and path, or 0.
        path: Width of the sidewalk.
        line: Where the houses begin.
        crossing: Distance of a zebra crossing, or None.
    """

    def __init__(
        self,
        rng: np.random.Generator,
        camera: Camera,
        mood: Mood,
        height: int,
        width: int,
        featured: str,
    ) -> None:
        self.rng, self.camera, self.mood, self.featured = rng, camera, mood, featured
        self.height, self.width = height, width
        self.parking = {side: float(rng.random() < 0.6) * 2.2 for side in (-1, 1)}
        self.edge = {-1: -5.1 - self.parking[-1], 1: 1.8 + self.parking[1]}
        self.verge = {side: float(rng.random() < 0.45) * rng.uniform(1.2, 2.2) for side in (-1, 1)}
        self.path = {side: rng.uniform(2.0, 3.4) for side in (-1, 1)}
        self.line = {
            side: self.edge[side] + side * (self.verge[side] + self.path[side]) for side in (-1, 1)
        }
        self.crossing = rng.uniform(9, 20) if rng.random() < 0.4 else None

    def wants(self, thing: str, chance: float) -> bool:
        """Whether the scene has the thing: always when featured."""
        return bool(self.rng.random() < chance) or thing == self.featured

    def beside(self, side: int, share: float, near: float, far: float) -> tuple[float, float]:
        """A place on the sidewalk or verge: share 0 is at the kerb, 1 at the house line."""
        across = self.edge[side] * (1 - share) + self.line[side] * share
        in_view = max(near, 2.0 * abs(across))
        return float(across), float(self.rng.uniform(in_view, max(far, in_view + 2)))
