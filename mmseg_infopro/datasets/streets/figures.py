"""People and two-wheelers: flat figures drawn in metres and put up at a distance."""

from __future__ import annotations

import numpy as np

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

SKIN: tuple[Colour, ...] = ((236, 196, 164), (198, 146, 108), (128, 86, 60))
CLOTHES: tuple[Colour, ...] = (
    (206, 54, 60), (54, 88, 168), (232, 200, 70), (70, 140, 90), (230, 230, 226), (150, 74, 150),
    (62, 62, 70), (226, 124, 50),
)  # fmt: skip
TROUSERS: tuple[Colour, ...] = ((44, 54, 84), (60, 56, 54), (108, 92, 74))
HAIR: tuple[Colour, ...] = ((38, 28, 22), (110, 70, 34), (190, 150, 80))
BLACK: Colour = (28, 28, 32)

Figure = list[tuple[Points, Colour]]
"""Polygons in metres: right of the middle, up from the ground."""


def stand(
    camera: Camera, at: tuple[float, float], figure: Figure, turn: float = 1.0
) -> list[Patch]:
    """Puts a flat figure up on the ground, `turn` times as wide (negative: mirrored)."""
    return [
        Patch(
            camera.project([(at[0] + turn * x, y, at[1]) for x, y in points]),
            colour,
        )
        for points, colour in figure
    ]


def _foot_shadow(camera: Camera, at: tuple[float, float], reach: float) -> Shadow:
    return Shadow(camera.ground((at[0] - reach, at[0] + reach), (at[1] - 0.3, at[1] + 0.35)), 0.42)


def person(
    rng: np.random.Generator, camera: Camera, at: tuple[float, float]
) -> list[Shape | Shadow]:
    """A walking person, 1.5 to 1.9 m tall."""
    size, stride = rng.uniform(0.86, 1.06), rng.uniform(0.08, 0.3)
    shirt, legs = pick(rng, CLOTHES), pick(rng, TROUSERS)
    skin, hair = pick(rng, SKIN, 6), pick(rng, HAIR)
    sleeve, swing = shade(shirt, 0.82), rng.uniform(0.05, 0.25)
    figure: Figure = [
        (bar((0.06, 0.85), (stride, 0.04), 0.17), legs),
        (bar((-0.06, 0.85), (-stride, 0.04), 0.17), shade(legs, 0.8)),
        (rectangle(stride - 0.1, 0.0, stride + 0.16, 0.09), BLACK),
        (rectangle(-stride - 0.1, 0.0, -stride + 0.16, 0.09), BLACK),
        (bar((-0.2, 1.38), (-0.24 - swing, 0.85), 0.12), sleeve),
        (np.array([(-0.2, 0.78), (0.2, 0.78), (0.26, 1.42), (-0.26, 1.42)]), shirt),
        (rectangle(-0.16, 1.4, 0.16, 1.49), shirt),
        (bar((0.2, 1.38), (0.24 + swing, 0.85), 0.12), sleeve),
        (ellipse(0.25 + swing, 0.82, 0.07), skin),
        (rectangle(-0.06, 1.42, 0.06, 1.56), skin),
        (ellipse(0, 1.66, 0.125, 0.155), skin),
        (ellipse(-0.02, 1.74, 0.13, 0.09), hair),
    ]  # fmt: skip
    if rng.random() < 0.3:
        figure.append((rectangle(-0.42, 0.9, -0.18, 1.36), pick(rng, CLOTHES)))  # rucksack
    turn = size * rng.choice([-1, 1])
    scaled = [(points * (1, size), colour) for points, colour in figure]
    shape = Shape('person', tuple(stand(camera, at, scaled, turn)), depth=at[1])
    return [_foot_shadow(camera, at, 0.35), shape]


def bicycle(
    rng: np.random.Generator, camera: Camera, at: tuple[float, float], turn: float = 1.0
) -> Shape:
    """A bicycle from the side; what is behind it shows between the spokes."""
    paint = pick(rng, CLOTHES)
    wheels = [(-0.53, 0.34), (0.53, 0.34)]
    outline: Figure = [(ellipse(x, y, 0.35), BLACK) for x, y in wheels]
    outline.append((np.array([(-0.5, 0.3), (0.5, 0.3), (0.42, 0.86), (-0.2, 0.86)]), BLACK))
    frame: Figure = []
    for x, y in wheels:
        frame += [(_ring_segment(x, y, 0.33, k), BLACK) for k in range(16)]
        frame += [(bar((x - 0.3, y), (x + 0.3, y), 0.02), (150, 150, 154))]
        frame += [(bar((x, y - 0.3), (x, y + 0.3), 0.02), (150, 150, 154))]
    joints = {'rear': (-0.53, 0.34), 'crank': (-0.06, 0.32), 'seat': (-0.2, 0.82)}
    joints |= {'head': (0.36, 0.8), 'fork': (0.53, 0.34), 'bar': (0.36, 1.0)}
    tubes = ('rear crank', 'rear seat', 'crank seat', 'crank head', 'seat head', 'head fork')
    for tube in tubes:
        start, end = tube.split()
        frame.append((bar(joints[start], joints[end], 0.065), paint))
    top: Figure = [
        (bar(joints['head'], joints['bar'], 0.07), BLACK),
        (rectangle(0.22, 0.96, 0.46, 1.03), BLACK),
        (rectangle(-0.34, 0.86, -0.08, 0.94), BLACK),
    ]
    return Shape(
        'bicycle',
        tuple(stand(camera, at, outline + top, turn)),
        tuple(stand(camera, at, frame + top, turn)),
        depth=at[1],
        see_through=True,
    )


def _ring_segment(x: float, y: float, radius: float, k: int) -> Points:
    start, end = (np.pi / 8 * i for i in (k, k + 1))
    return bar(
        (x + radius * np.cos(start), y + radius * np.sin(start)),
        (x + radius * np.cos(end), y + radius * np.sin(end)),
        0.06,
    )


def motorcycle(
    rng: np.random.Generator, camera: Camera, at: tuple[float, float], turn: float = 1.0
) -> Shape:
    """A motorcycle from the side: fat tyres, a tank, an exhaust."""
    paint = pick(rng, ((190, 28, 30), (28, 70, 160), (30, 30, 34), (220, 150, 20)))
    figure: Figure = [
        (ellipse(-0.66, 0.32, 0.32), BLACK),
        (ellipse(0.68, 0.32, 0.32), BLACK),
        (ellipse(-0.66, 0.32, 0.15), (160, 160, 164)),
        (ellipse(0.68, 0.32, 0.15), (160, 160, 164)),
        (bar((0.68, 0.32), (0.42, 0.98), 0.1), (120, 120, 126)),
        (rectangle(-0.4, 0.24, 0.32, 0.6), (84, 84, 90)),
        (bar((-0.95, 0.36), (0.0, 0.26), 0.11), (190, 190, 194)),
        (np.array([(-0.2, 0.58), (0.42, 0.6), (0.5, 0.92), (0.1, 0.98), (-0.2, 0.8)]), paint),
        (np.array([(-0.98, 0.72), (-0.15, 0.62), (-0.1, 0.84), (-0.92, 0.94)]), shade(paint, 0.7)),
        (rectangle(-0.8, 0.84, -0.08, 0.94), BLACK),
        (ellipse(0.56, 0.86, 0.11), (255, 246, 214)),
        (bar((0.42, 1.0), (0.22, 1.1), 0.07), BLACK),
        (rectangle(-1.0, 0.74, -0.92, 0.86), (226, 34, 30)),
    ]
    return Shape('motorcycle', tuple(stand(camera, at, figure, turn)), depth=at[1])


def _rider(
    rng: np.random.Generator, camera: Camera, at: tuple[float, float], turn: float, seat: float
) -> Shape:
    """Somebody sitting at height `seat`, hands on the handlebar, with a helmet."""
    shirt, legs, skin = pick(rng, CLOTHES), pick(rng, TROUSERS), pick(rng, SKIN, 6)
    helmet = pick(rng, ((240, 240, 240), (30, 30, 34), (210, 40, 40), (240, 190, 30)))
    figure: Figure = [
        (bar((-0.2, seat), (0.14, seat - 0.24), 0.17), legs),
        (bar((0.14, seat - 0.24), (0.0, seat - 0.58), 0.14), legs),
        (rectangle(-0.06, seat - 0.66, 0.16, seat - 0.57), BLACK),
        (bar((-0.22, seat - 0.06), (0.0, seat + 0.54), 0.3), shirt),
        (bar((0.0, seat + 0.4), (0.32, seat + 0.14), 0.12), shade(shirt, 0.78)),
        (ellipse(0.34, seat + 0.14, 0.07), skin),
        (bar((0.0, seat + 0.48), (0.06, seat + 0.66), 0.13), skin),
        (ellipse(0.1, seat + 0.68, 0.13, 0.16), skin),
        (ellipse(0.07, seat + 0.77, 0.17, 0.12), helmet),
    ]
    return Shape('rider', tuple(stand(camera, at, figure, turn)), depth=at[1])


def two_wheeler(
    kind: str, rng: np.random.Generator, camera: Camera, at: tuple[float, float], *, ridden: bool
) -> list[Shape | Shadow]:
    """A `bicycle` or `motorcycle`, with its rider when ridden."""
    turn = float(rng.choice([-1, 1]) * rng.uniform(0.6, 1.0))
    draw, seat = (bicycle, 0.9) if kind == 'bicycle' else (motorcycle, 0.92)
    drawn: list[Shape | Shadow] = [_foot_shadow(camera, at, 0.75), draw(rng, camera, at, turn)]
    return [*drawn, _rider(rng, camera, at, turn, seat)] if ridden else drawn
