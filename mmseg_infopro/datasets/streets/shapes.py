"""Coloured polygons, the camera that puts them on the image, and small geometry helpers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Colour = tuple[float, float, float]
"""Red, green, blue in [0, 255]."""
Points = NDArray[np.float64]
"""Polygon corners (N, 2) in pixels, or (N, 3) in metres: right, up, ahead of the camera."""


@dataclass(frozen=True)
class Patch:
    """A polygon of one colour, in pixels."""

    points: Points
    colour: Colour


@dataclass(frozen=True)
class Shape:
    """One labelled object: the union of its parts is its outline, its details are clipped to it.

    Attributes:
        label: Cityscapes label name.
        parts: Patches whose union is the outline.
        details: Patches painted afterwards, inside the outline only.
        depth: Distance in metres for the haze; None where each image row has its own (ground).
        see_through: Leave what is behind visible between the details (fences, spokes).
    """

    label: str
    parts: tuple[Patch, ...]
    details: tuple[Patch, ...] = ()
    depth: float | None = None
    see_through: bool = False


@dataclass(frozen=True)
class Shadow:
    """A soft dark polygon on whatever was painted before it; it has no label."""

    points: Points
    strength: float


@dataclass(frozen=True)
class Camera:
    """A pinhole camera above a flat ground, looking ahead.

    Attributes:
        focal: Focal length in pixels.
        centre: Column of the vanishing point, in pixels.
        horizon: Row of the horizon, in pixels.
        eye: Height above the ground in metres.
    """

    focal: float
    centre: float
    horizon: float
    eye: float

    def project(self, points: ArrayLike) -> Points:
        """Pixels (N, 2) of world points (N, 3); what is nearer than a metre is put there."""
        right, up, ahead = np.asarray(points, dtype=np.float64).T
        scale = self.focal / np.maximum(ahead, 1.0)
        pixels = np.stack([self.centre + right * scale, self.horizon + (self.eye - up) * scale], 1)
        return np.clip(pixels, -8000, 8000)

    def ground(self, right: tuple[float, float], ahead: tuple[float, float]) -> Points:
        """Pixels of a rectangle on the ground."""
        (x0, x1), (z0, z1) = right, ahead
        return self.project([(x0, 0, z0), (x1, 0, z0), (x1, 0, z1), (x0, 0, z1)])


def rectangle(x0: float, y0: float, x1: float, y1: float) -> Points:
    """The corners of an axis-parallel rectangle."""
    return np.array([(x0, y0), (x1, y0), (x1, y1), (x0, y1)], dtype=np.float64)


def ellipse(x: float, y: float, radius: float, radius_y: float = 0.0, corners: int = 16) -> Points:
    """A polygon for an ellipse, or for a circle when `radius_y` is 0."""
    angle = np.linspace(0, 2 * np.pi, corners, endpoint=False)
    return np.stack([x + radius * np.cos(angle), y + (radius_y or radius) * np.sin(angle)], 1)


def bar(start: tuple[float, float], end: tuple[float, float], thickness: float) -> Points:
    """A straight bar between two points."""
    a, b = np.array(start, dtype=np.float64), np.array(end, dtype=np.float64)
    along = (b - a) / max(float(np.hypot(*(b - a))), 1e-6)
    side = np.array([-along[1], along[0]]) * thickness / 2
    return np.stack([a + side, b + side, b - side, a - side])


def shade(colour: Colour, gain: float) -> Colour:
    """The colour, lighter (gain above 1) or darker."""
    red, green, blue = (min(255.0, channel * gain) for channel in colour)
    return red, green, blue


def pick(rng: np.random.Generator, colours: tuple[Colour, ...], spread: float = 12.0) -> Colour:
    """One of the colours, a little varied."""
    chosen = np.array(colours[int(rng.integers(len(colours)))])
    red, green, blue = np.clip(chosen + rng.normal(0, spread, 3), 0, 255).tolist()
    return red, green, blue
