"""What stands along a street: trees, lamps, traffic lights, signs and bins."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .facades import LEAVES
from .shapes import (
    Camera,
    Colour,
    Patch,
    Points,
    Shadow,
    Shape,
    bar,
    ellipse,
    pick,
    rectangle,
    shade,
)

STEEL: Colour = (112, 116, 122)


def _upright(camera: Camera, at: tuple[float, float]) -> Callable[[Points, Colour], Patch]:
    """Places flat polygons, in metres from the foot, facing the camera."""

    def put(points: Points, colour: Colour) -> Patch:
        return Patch(camera.project([(at[0] + x, y, at[1]) for x, y in points]), colour)

    return put


def tree(rng: np.random.Generator, camera: Camera, at: tuple[float, float]) -> list[Shape | Shadow]:
    """A round-crowned tree; its trunk counts as vegetation, as in Cityscapes."""
    put, green = _upright(camera, at), pick(rng, LEAVES, 8)
    height, radius = rng.uniform(4.0, 7.5), rng.uniform(1.2, 2.2)
    parts = [put(bar((0, 0), (0, height), 0.34), (86, 62, 44))]
    details = [put(bar((-0.08, 0), (-0.08, height), 0.12), (64, 46, 34))]
    for _ in range(9):
        angle, out = rng.uniform(0, 2 * np.pi), radius * rng.uniform(0.2, 0.75)
        x, y = out * np.cos(angle), height + 0.8 * out * np.sin(angle)
        ball = ellipse(x, y, radius * rng.uniform(0.45, 0.65))
        parts.append(put(ball, shade(green, 0.92 + 0.1 * float(np.sin(angle)))))
        leaf = ellipse(x + rng.normal(0, 0.3), y + rng.normal(0, 0.3), radius * 0.2)
        details.append(put(leaf, shade(green, rng.choice([0.76, 1.2]))))
    shadow = Shadow(
        camera.ground((at[0] - radius, at[0] + radius), (at[1] - 0.8, at[1] + 0.8)), 0.3
    )
    return [shadow, Shape('vegetation', tuple(parts), tuple(details), depth=at[1])]


def lamp_post(
    rng: np.random.Generator, camera: Camera, at: tuple[float, float]
) -> list[Shape | Shadow]:
    """A street lamp with an arm over the road."""
    put, height = _upright(camera, at), rng.uniform(5.5, 8.0)
    arm = -np.sign(at[0]) * 1.5
    parts = (
        put(bar((0, 0), (0, height), 0.17), STEEL),
        put(bar((0, height), (arm, height + 0.3), 0.12), STEEL),
        put(ellipse(arm, height + 0.25, 0.4, 0.13), shade(STEEL, 1.5)),
        put(rectangle(-0.16, 0, 0.16, 1.0), shade(STEEL, 0.8)),
    )
    return [Shape('pole', parts, depth=at[1])]


def traffic_light(
    rng: np.random.Generator, camera: Camera, at: tuple[float, float]
) -> list[Shape | Shadow]:
    """Three lamps in a dark box on a pole, one of them lit."""
    put, lit = _upright(camera, at), int(rng.integers(3))
    pole = Shape('pole', (put(bar((0, 0), (0, 3.0), 0.16), STEEL),), depth=at[1])
    box = put(rectangle(-0.27, 2.55, 0.27, 3.95), (34, 36, 34))
    lamps = [(255, 44, 34), (255, 190, 30), (60, 240, 120)]
    details = [
        put(ellipse(0, 3.68 - 0.43 * i, 0.18), colour if i == lit else shade(colour, 0.28))
        for i, colour in enumerate(lamps)
    ]
    return [pole, Shape('traffic light', (box,), tuple(details), depth=at[1])]


def traffic_sign(
    rng: np.random.Generator, camera: Camera, at: tuple[float, float]
) -> list[Shape | Shadow]:
    """A round, triangular, square or diamond plate on a pole."""
    put = _upright(camera, at)
    pole = Shape('pole', (put(bar((0, 0), (0, 2.5), 0.12), STEEL),), depth=at[1])
    red, white, blue, yellow = (206, 26, 34), (246, 246, 240), (26, 82, 180), (248, 204, 20)
    up, disc = np.array([0, 2.6]), ellipse(0, 0, 0.46)
    triangle = np.array([(-0.48, -0.4), (0.48, -0.4), (0.0, 0.46)])
    square, diamond = rectangle(-0.4, -0.42, 0.4, 0.42), ellipse(0, 0, 0.52, corners=4)
    plates: list[list[tuple[Points, Colour]]] = [
        [(disc, red), (disc * 0.67, white), (bar((-0.16, 0), (0.16, 0), 0.12), (30, 30, 30))],
        [(triangle, red), (triangle * 0.58 + (0, -0.04), white)],
        [(square, blue), (bar((0, -0.26), (0, 0.26), 0.16), white)],
        [(diamond, white), (diamond * 0.72, yellow)],
        [(disc, red), (rectangle(-0.3, -0.08, 0.3, 0.08), white)],
    ]  # fmt: skip
    outline, *inner = [put(p + up, colour) for p, colour in plates[rng.integers(len(plates))]]
    return [pole, Shape('traffic sign', (outline,), tuple(inner), depth=at[1])]


def waste_bin(
    rng: np.random.Generator, camera: Camera, at: tuple[float, float]
) -> list[Shape | Shadow]:
    """A waste bin, which Cityscapes labels `static` and does not evaluate."""
    put, paint = _upright(camera, at), pick(rng, ((60, 84, 60), (96, 96, 100)))
    body = put(np.array([(-0.24, 0), (0.24, 0), (0.3, 0.95), (-0.3, 0.95)]), paint)
    lid = put(rectangle(-0.33, 0.92, 0.33, 1.06), shade(paint, 0.6))
    return [Shape('static', (body, lid), depth=at[1])]
