"""What closes a street off at its sides: houses, walls, fences and hedges."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .shapes import (
    Camera,
    Colour,
    Patch,
    Points,
    Shape,
    ellipse,
    pick,
    rectangle,
    shade,
)

PLASTER: tuple[Colour, ...] = (
    (196, 170, 136), (176, 120, 96), (206, 198, 184), (150, 140, 132), (168, 92, 76),
    (214, 190, 140), (132, 138, 150),
)  # fmt: skip
LEAVES: tuple[Colour, ...] = ((62, 104, 44), (84, 122, 50), (48, 88, 48), (118, 132, 52))
GLASS: Colour = (58, 72, 90)
LAMP_LIT: Colour = (252, 218, 132)

Span = tuple[float, float]


class Facade:
    """A vertical plane between two points on the ground: `(along in [0, 1], up in m)` to pixels.

    Args:
        camera: Where it is seen from.
        start: One foot: metres to the right, metres ahead.
        end: The other foot.
    """

    def __init__(
        self, camera: Camera, start: tuple[float, float], end: tuple[float, float]
    ) -> None:
        self.camera, self.start, self.end = camera, np.array(start), np.array(end)
        self.length = float(np.hypot(*(self.end - self.start)))
        self.depth = float(self.start[1] + self.end[1]) / 2

    @classmethod
    def along(cls, camera: Camera, right: float, span: Span) -> Facade:
        """The plane along the street, from the near to the far end of the span."""
        return cls(camera, (right, span[0]), (right, span[1]))

    def __call__(self, points: Points) -> Points:
        """Pixels (N, 2) of points `(along, up)` (N, 2)."""
        feet = self.start + points[:, :1] * (self.end - self.start)
        return self.camera.project(np.stack([feet[:, 0], points[:, 1], feet[:, 1]], 1))


def building(
    rng: np.random.Generator, camera: Camera, right: float, span: Span, *, lit: bool
) -> list[Shape]:
    """A house: its front along the street, and the gable end towards us."""
    paint, storeys = pick(rng, PLASTER), int(rng.integers(2, 7))
    storey = rng.uniform(2.8, 3.4)
    height = storeys * storey + 0.9
    front = Facade.along(camera, right, span)
    gable = Facade(camera, (right, span[0]), (right + np.sign(right) * 12, span[0]))
    whole = rectangle(0, 0, 1, height)
    wall = Patch(front(whole), shade(paint, 1.0 if right > 0 else 0.82))
    end = Patch(gable(whole), shade(paint, 0.66))
    details = [end, *_windows(rng, gable, paint, storeys, storey, lit, share=0.35), wall]
    details.append(Patch(front(rectangle(0, height - 0.45, 1, height)), shade(paint, 0.6)))
    details.append(Patch(front(rectangle(0, 0, 1, 0.5)), shade(paint, 0.62)))
    if rng.random() < 0.5:
        awning = pick(rng, ((178, 40, 44), (40, 84, 140)))
        details.append(Patch(front(rectangle(0, 2.7, 1, 3.0)), awning))
    details += _windows(rng, front, paint, storeys, storey, lit)
    door = rng.uniform(0.2, 0.8)
    details.append(Patch(front(rectangle(door, 0, door + 1.1 / front.length, 2.3)), (78, 52, 38)))
    return [Shape('building', (end, wall), tuple(details), depth=front.depth)]


def _windows(
    rng: np.random.Generator,
    on: Facade,
    paint: Colour,
    storeys: int,
    storey: float,
    lit: bool,
    share: float = 1.0,
) -> list[Patch]:
    """A grid of framed panes, of which a share is there and some are lit."""
    columns = max(2, int(on.length / rng.uniform(2.2, 3.2)))
    patches = []
    for row in range(storeys):
        for column in range(columns):
            if rng.random() >= share:
                continue
            glow = rng.random() < (0.45 if lit else 0.04)
            pane = LAMP_LIT if glow else shade(GLASS, rng.uniform(0.8, 1.3))
            left, low = (column + 0.2) / columns, row * storey + 0.95
            frame = rectangle(left - 0.03 / columns, low - 0.1, left + 0.63 / columns, low + 1.65)
            glass = rectangle(left, low, left + 0.6 / columns, low + 1.55)
            patches += [Patch(on(frame), shade(paint, 1.22)), Patch(on(glass), pane)]
    return patches


def wall(
    rng: np.random.Generator, camera: Camera, right: float, span: Span, *, lit: bool
) -> list[Shape]:
    """A free-standing stone wall with courses, joints and a coping; trees look over it."""
    del lit
    on, height = Facade.along(camera, right, span), rng.uniform(1.9, 3.0)
    paint = pick(rng, ((150, 146, 150), (166, 150, 140), (138, 128, 142)), 6)
    joint = shade(paint, 0.68)
    details = []
    for course, low in enumerate(np.arange(0.0, height, 0.45)):
        details.append(Patch(on(rectangle(0, low, 1, low + 0.05)), joint))
        for step in np.arange(0.5 * (course % 2), span[1] - span[0], 1.0):
            a = step / (span[1] - span[0])
            details.append(Patch(on(rectangle(a, low, a + 0.006, low + 0.45)), joint))
    details.append(Patch(on(rectangle(0, height - 0.18, 1, height)), shade(paint, 1.25)))
    face = Patch(on(rectangle(0, 0, 1, height)), paint)
    behind = _crowns(rng, camera, right + np.sign(right) * 3, span, rng.uniform(3.0, 6.0))
    return [behind, Shape('wall', (face,), tuple(details), depth=on.depth)]


def fence(
    rng: np.random.Generator, camera: Camera, right: float, span: Span, *, lit: bool
) -> list[Shape]:
    """A picket fence: what is behind shows between its bars, and is still labelled fence."""
    del lit
    on, height = Facade.along(camera, right, span), rng.uniform(1.2, 1.9)
    paint = pick(rng, ((232, 228, 220), (120, 84, 56), (60, 66, 70)), 8)
    length = span[1] - span[0]
    details = [Patch(on(rectangle(0, low, 1, low + 0.12)), paint) for low in (0.2, height - 0.3)]
    for step in np.arange(0, length, 0.32):
        picket = rectangle(step / length, 0, (step + 0.15) / length, height)
        details.append(Patch(on(picket), shade(paint, rng.uniform(0.86, 1.0))))
    face = Patch(on(rectangle(0, 0, 1, height)), paint)
    behind = _crowns(rng, camera, right + np.sign(right) * 5, span, rng.uniform(2.5, 6.0))
    return [behind, Shape('fence', (face,), tuple(details), depth=on.depth, see_through=True)]


def hedge(
    rng: np.random.Generator, camera: Camera, right: float, span: Span, *, lit: bool
) -> list[Shape]:
    """A dense row of bushes."""
    del lit
    return [_crowns(rng, camera, right, span, rng.uniform(1.6, 5.0))]


def _crowns(
    rng: np.random.Generator, camera: Camera, right: float, span: Span, height: float
) -> Shape:
    """Leafy masses along the street, from the ground up."""
    on, green = Facade.along(camera, right, span), pick(rng, LEAVES, 6)
    length = span[1] - span[0]
    parts = [Patch(on(rectangle(0, 0, 1, height * 0.6)), green)]
    details = []
    for a in np.arange(0.0, 1.01, min(1.0, height / length / 1.6)):
        top = height * rng.uniform(0.5, 0.72)
        ball = ellipse(a, top, height * 0.42 / length, height * rng.uniform(0.3, 0.4))
        parts.append(Patch(on(ball), shade(green, rng.uniform(0.9, 1.05))))
        for _ in range(4):
            spot = ellipse(
                a + rng.normal(0, 0.2) * height / length,
                top + rng.normal(0, 0.25) * height,
                height * 0.16 / length,
                height * 0.12,
            )
            details.append(Patch(on(spot), shade(green, rng.choice([0.74, 1.18]))))
    return Shape('vegetation', tuple(parts), tuple(details), depth=on.depth)


FACADES: dict[str, Callable[..., list[Shape]]] = {
    'building': building,
    'wall': wall,
    'fence': fence,
    'hedge': hedge,
}
