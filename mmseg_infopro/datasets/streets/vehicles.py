"""Cars, trucks, buses and trams: solids on the ground plane with windows, lights and wheels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

from .shapes import Camera, Colour, Patch, Points, Shadow, Shape, ellipse, pick, rectangle, shade

GLASS: Colour = (52, 66, 80)
RUBBER: Colour = (24, 24, 27)
RED_LAMP: Colour = (226, 34, 30)
WHITE_LAMP: Colour = (255, 246, 214)
CAR_PAINT: tuple[Colour, ...] = (
    (188, 30, 34), (32, 62, 142), (212, 214, 218), (46, 48, 54), (120, 126, 134), (28, 98, 96),
    (228, 226, 222),
)  # fmt: skip
CARGO_PAINT: tuple[Colour, ...] = ((226, 222, 208), (150, 108, 70), (92, 124, 84), (202, 140, 60))
BUS_PAINT: tuple[Colour, ...] = ((236, 186, 30), (206, 44, 40))
TRAM_PAINT: tuple[Colour, ...] = ((30, 130, 80), (150, 34, 96))

# Corners 0-3 are the bottom (rear left, rear right, front right, front left), 4-7 the top.
FACES = {
    'rear': (0, 1, 5, 4),
    'right': (1, 2, 6, 5),
    'front': (2, 3, 7, 6),
    'left': (3, 0, 4, 7),
    'top': (4, 5, 6, 7),
}
FACE_GAIN = {'rear': 0.86, 'front': 0.9, 'left': 0.74, 'right': 1.0, 'top': 1.14}
SIDES = ('left', 'right')


@dataclass(frozen=True)
class Marking:
    """A polygon on a face, in face coordinates: (0, 0) bottom left, (1, 1) top right."""

    face: str
    points: Points
    colour: Colour


@dataclass(frozen=True)
class Solid:
    """A box whose top may be smaller than its bottom; sizes in metres, the rear at -length/2."""

    width: float
    rear: float
    front: float
    low: float
    high: float
    colour: Colour
    markings: tuple[Marking, ...] = ()
    inset: tuple[float, float, float] = (0.0, 0.0, 0.0)  # side, rear, front; of the top

    def corners(self) -> Points:
        """Local corners (8, 3): right, up, ahead."""
        half, (side, back, fore) = self.width / 2, self.inset
        floor = [(-half, self.rear), (half, self.rear), (half, self.front), (-half, self.front)]
        top = half - side
        roof = [(-top, self.rear + back), (top, self.rear + back)]
        roof += [(top, self.front - fore), (-top, self.front - fore)]
        return np.array([(a, self.low, b) for a, b in floor] + [(a, self.high, b) for a, b in roof])


def mark(face: str, u0: float, v0: float, u1: float, v1: float, colour: Colour) -> Marking:
    """A rectangular marking."""
    return Marking(face, rectangle(u0, v0, u1, v1), colour)


def _both_ends(v0: float, v1: float, width: float) -> tuple[Marking, ...]:
    lamps = []
    for face, colour in (('rear', RED_LAMP), ('front', WHITE_LAMP)):
        lamps += [mark(face, 0.05, v0, 0.05 + width, v1, colour)]
        lamps += [mark(face, 0.95 - width, v0, 0.95, v1, colour)]
    return tuple(lamps)


def _windows(count: int, low: float, high: float, colour: Colour) -> tuple[Marking, ...]:
    step = 0.94 / count
    return tuple(
        mark(face, 0.03 + i * step, low, 0.03 + (i + 0.88) * step, high, colour)
        for face in SIDES
        for i in range(count)
    )


def car(rng: np.random.Generator, lit: bool) -> tuple[str, float, list[Solid], list[float]]:
    """A passenger car: a body and a glazed cabin."""
    del lit
    paint, length, width = pick(rng, CAR_PAINT), rng.uniform(3.7, 4.7), rng.uniform(1.7, 1.9)
    waist, roof = rng.uniform(0.78, 0.95), rng.uniform(1.4, 1.65)
    back, fore, half = rng.uniform(0.05, 0.6), rng.uniform(0.9, 1.3), length / 2
    ends = tuple(mark(end, 0.09, 0.14, 0.91, 0.84, GLASS) for end in ('rear', 'front'))
    plates = tuple(mark(end, 0.38, 0.3, 0.62, 0.5, (236, 236, 224)) for end in ('rear', 'front'))
    bumpers = tuple(mark(f, 0, 0, 1, 0.18, shade(paint, 0.45)) for f in ('rear', 'front', *SIDES))
    body = Solid(
        width, -half, half, 0.22, waist, paint, (*bumpers, *_both_ends(0.52, 0.82, 0.17), *plates)
    )
    cabin = Solid(
        width * 0.95, -half + back, half - fore, waist, roof, paint,
        (*ends, *_windows(2, 0.1, 0.84, GLASS)), (0.17, 0.35, 0.6),
    )  # fmt: skip
    return 'car', 0.33, [body, cabin], [-half + 0.8, half - 0.8]


def truck(rng: np.random.Generator, lit: bool) -> tuple[str, float, list[Solid], list[float]]:
    """A lorry: a tall plain cargo box on a dark chassis, and a coloured cab in front."""
    del lit
    cargo, cab = pick(rng, CARGO_PAINT), pick(rng, CAR_PAINT)
    length, height, half = 7.5, rng.uniform(3.0, 3.5), 3.75
    seam = shade(cargo, 0.6)
    doors = (mark('rear', 0.49, 0.02, 0.51, 0.98, seam), mark('rear', 0.04, 0.45, 0.96, 0.48, seam))
    ribs = tuple(mark(f, i / 8, 0, i / 8 + 0.012, 1, seam) for f in SIDES for i in range(1, 8))
    stripe = tuple(mark(f, 0.02, 0.0, 0.98, 0.05, (210, 60, 40)) for f in ('rear', *SIDES))
    chassis = Solid(2.2, -half, half, 0.4, 0.95, (50, 50, 54), _both_ends(0.3, 0.8, 0.14))
    box = Solid(2.45, -half, half - 2.1, 0.9, height, cargo, (*doors, *ribs, *stripe))
    screen = (mark('front', 0.07, 0.45, 0.93, 0.85, GLASS), *_windows(1, 0.45, 0.85, GLASS))
    grille = mark('front', 0.25, 0.08, 0.75, 0.34, shade(cab, 0.4))
    head = Solid(2.3, half - 2.0, half, 0.5, 2.55, cab, (*screen, grille), (0.05, 0.0, 0.15))
    return 'truck', 0.48, [chassis, head, box], [-half + 1, -half + 2.2, length / 2 - 0.9]


def bus(rng: np.random.Generator, lit: bool) -> tuple[str, float, list[Solid], list[float]]:
    """A city bus: bright, with a row of large windows and a destination board."""
    paint, half = pick(rng, BUS_PAINT), 5.5
    pane: Colour = (238, 214, 150) if lit else GLASS
    board = tuple(mark(f, 0.2, 0.87, 0.8, 0.96, (255, 160, 30)) for f in ('front', 'rear'))
    ends = (mark('front', 0.05, 0.35, 0.95, 0.84, GLASS), mark('rear', 0.1, 0.5, 0.9, 0.84, GLASS))
    skirt = tuple(mark(f, 0, 0, 1, 0.1, shade(paint, 0.4)) for f in ('rear', 'front', *SIDES))
    marks = (*skirt, *ends, *board, *_both_ends(0.13, 0.27, 0.15), *_windows(7, 0.42, 0.84, pane))
    shell = Solid(2.5, -half, half, 0.3, 3.05, paint, marks, (0.06, 0.05, 0.1))
    return 'bus', 0.48, [shell], [-half + 2.5, half - 2.3]


def tram(rng: np.random.Generator, lit: bool) -> tuple[str, float, list[Solid], list[float]]:
    """A tram, labelled `train` as in Cityscapes: white over a coloured band, round-shouldered."""
    paint, half = pick(rng, TRAM_PAINT), 9.0
    pane: Colour = (238, 214, 150) if lit else GLASS
    around = ('rear', 'front', *SIDES)
    band = tuple(mark(f, 0, 0.08, 1, 0.36, paint) for f in around)
    skirt = tuple(mark(f, 0, 0, 1, 0.08, (60, 60, 64)) for f in around)
    ends = tuple(mark(f, 0.12, 0.42, 0.88, 0.86, GLASS) for f in ('rear', 'front'))
    lamp = tuple(mark(f, 0.44, 0.9, 0.56, 0.98, WHITE_LAMP) for f in ('rear', 'front'))
    marks = (*band, *skirt, *ends, *lamp, *_both_ends(0.15, 0.24, 0.14))
    shell = Solid(
        2.5, -half, half, 0.15, 3.4, (232, 234, 232),
        (*marks, *_windows(9, 0.46, 0.84, pane)), (0.22, 0.35, 0.35),
    )  # fmt: skip
    return 'train', 0.0, [shell], []


VEHICLES: dict[str, Callable[..., tuple[str, float, list[Solid], list[float]]]] = {
    'car': car,
    'truck': truck,
    'bus': bus,
    'train': tram,
}
LENGTH = {'car': 4.4, 'truck': 7.5, 'bus': 11.0, 'train': 18.0}


def vehicle(
    kind: str,
    rng: np.random.Generator,
    camera: Camera,
    at: tuple[float, float],
    yaw: float,
    *,
    lit: bool = False,
) -> list[Shape | Shadow]:
    """A vehicle with the shadow under it.

    Args:
        kind: One of `VEHICLES`.
        rng: Draws its size and paint.
        camera: Where it is seen from.
        at: Its centre on the ground: metres to the right, metres ahead.
        yaw: 0 shows the rear, pi the front; radians.
        lit: Whether the windows are lit.
    """
    label, radius, solids, axles = VEHICLES[kind](rng, lit)

    def place(points: Points) -> Points:
        a, up, b = points.T
        right = at[0] + a * np.cos(yaw) + b * np.sin(yaw)
        ahead = at[1] + b * np.cos(yaw) - a * np.sin(yaw)
        return np.stack([right, up, ahead], 1)

    parts = _wheels(camera, place, solids[0].width, radius, axles)
    details: list[Patch] = []
    # The first solid carries the others; of those the nearest is painted last.
    carried = sorted(solids[1:], key=lambda solid: -place(solid.corners())[:, 2].mean())
    for solid in (solids[0], *carried):
        corners = place(solid.corners())
        hull = cv2.convexHull(camera.project(corners).astype(np.float32))[:, 0]
        parts.append(Patch(hull.astype(np.float64), shade(solid.colour, 0.8)))
        details += _faces(camera, solid, corners)
    sole = solids[0].corners()[:4] * (1.08, 0, 1.03)
    shadow = Shadow(camera.project(place(sole)), 0.62)
    return [shadow, Shape(label, tuple(parts), tuple(details), depth=at[1])]


def _faces(camera: Camera, solid: Solid, corners: Points) -> list[Patch]:
    """The faces turned to the camera, with their markings."""
    patches = []
    for name, index in FACES.items():
        face = corners[list(index)]
        x, y = camera.project(face).T
        if np.sum(x * np.roll(y, -1) - np.roll(x, -1) * y) >= 0:  # seen from behind
            continue
        gain = FACE_GAIN[name]
        patches.append(Patch(camera.project(face), shade(solid.colour, gain)))
        for marking in solid.markings:
            if marking.face == name:
                u, v = marking.points.T[:, :, None]
                low, high = face[0] * (1 - u) + face[1] * u, face[3] * (1 - u) + face[2] * u
                patches.append(Patch(camera.project(low * (1 - v) + high * v), marking.colour))
    return patches


def _wheels(
    camera: Camera,
    place: Callable[[Points], Points],
    width: float,
    radius: float,
    axles: list[float],
) -> list[Patch]:
    """Tyres as seen from the ends and discs as seen from the sides."""
    patches = []
    for axle in axles:
        for side in (-1, 1):
            edge = side * width / 2
            inner = edge - side * 0.24
            tyre = [(edge, 0, axle), (inner, 0, axle), (inner, radius, axle), (edge, radius, axle)]
            disc = [(edge, y, b) for b, y in ellipse(axle, radius, radius)]
            hub = [(edge, y, b) for b, y in ellipse(axle, radius, radius * 0.5)]
            patches += [
                Patch(camera.project(place(np.array(points))), colour)
                for points, colour in ((tyre, RUBBER), (disc, RUBBER), (hub, (140, 142, 146)))
            ]
    return patches
