"""Sky, ground, road and the bonnet of the camera's own car."""

from __future__ import annotations

import numpy as np

from ..streets import facades
from .shapes import Colour, Patch, Shadow, Shape, ellipse, pick, rectangle, shade
from .street import Street


def sky(street: Street) -> list[Shape]:
    """Sky, clouds, and a far skyline of houses and woods."""
    rng, horizon = street.rng, street.camera.horizon
    bands = 24
    details = []
    for i in range(bands):
        mix = i / (bands - 1)
        red, green, blue = (
            np.array(street.mood.zenith) * (1 - mix) + np.array(street.mood.low) * mix
        )
        strip = rectangle(0, horizon * i / bands, street.width, horizon * (i + 1) / bands + 2)
        details.append(Patch(strip, (float(red), float(green), float(blue))))
    for _ in range(int(rng.integers(0, 5))):
        x, y = rng.uniform(0, street.width), rng.uniform(0, horizon * 0.6)
        for _ in range(5):
            size = street.width * rng.uniform(0.02, 0.06)
            puff = ellipse(
                x + rng.normal(0, 1.5) * size,
                y + rng.normal(0, 0.2) * size,
                size * 1.6,
                size * 0.5,
            )
            details.append(Patch(puff, shade(street.mood.cloud, rng.uniform(0.96, 1.03))))
    whole = Patch(rectangle(0, 0, street.width, horizon + 2), street.mood.low)
    return [Shape('sky', (whole,), tuple(details), depth=0.0), *_skyline(street)]


def _skyline(street: Street) -> list[Shape]:
    rng, shapes = street.rng, []
    for right in np.arange(-130, 131, 14.0):
        size, x = rng.uniform(5, 17), right + rng.uniform(-4, 4)
        if rng.random() < 0.5:
            box = [(x - 8, 0, 150), (x + 8, 0, 150), (x + 8, size, 150), (x - 8, size, 150)]
            paint = pick(rng, facades.PLASTER)
            part = Patch(street.camera.project(box), paint)
            shapes.append(Shape('building', (part,), depth=120.0))
        else:
            crown = ellipse(x, 1.0, 10, size * 0.7)
            points = street.camera.project([(a, max(0.0, b), 140) for a, b in crown])
            part = Patch(points, pick(rng, facades.LEAVES))
            shapes.append(Shape('vegetation', (part,), depth=110.0))
    return shapes


def ground(street: Street) -> list[Shape | Shadow]:
    """Terrain or paving to both sides, sidewalks, verges, the road and its markings."""
    rng = street.rng
    shapes: list[Shape | Shadow] = []
    grass = pick(rng, ((128, 142, 74), (150, 140, 92), (108, 130, 62)), 6)
    stone = pick(rng, ((164, 156, 150), (150, 140, 132), (176, 168, 160)), 5)
    for side in (-1, 1):
        outside = 'terrain' if rng.random() < 0.65 else 'sidewalk'
        shapes.append(
            _strip(street, outside, 0.0, side * 160.0, grass if outside == 'terrain' else stone)
        )
        slabs = [
            Patch(
                street.camera.ground((street.line[side], street.edge[side]), (z, z + 0.1)),
                shade(stone, 0.8),
            )
            for z in np.arange(3, 40, 1.5)
        ]
        shapes.append(
            _strip(street, 'sidewalk', street.edge[side], street.line[side], stone, slabs)
        )
        if street.verge[side]:
            verge = street.edge[side] + side * (street.verge[side] + 0.3)
            shapes.append(_strip(street, 'terrain', street.edge[side] + side * 0.3, verge, grass))
    shapes.append(_road(street, stone))
    if street.mood.shadow > 0.3:  # the houses on one side shade the street
        shadow = street.camera.ground(
            (street.line[1], street.line[1] - rng.uniform(1.5, 8)), (2, 150)
        )
        shapes.append(Shadow(shadow, street.mood.shadow * 0.7))
    return shapes


def _strip(
    street: Street,
    label: str,
    left: float,
    right: float,
    paint: Colour,
    details: list[Patch] | None = None,
) -> Shape:
    points = street.camera.ground((left, right), (1.0, 150.0))
    return Shape(label, (Patch(points, paint),), tuple(details or ()))


def _road(street: Street, stone: Colour) -> Shape:
    rng, ground = street.rng, street.camera.ground
    asphalt = pick(rng, ((92, 92, 96), (78, 80, 86), (106, 102, 100)), 4)
    white: Colour = (226, 226, 218)
    details = [
        Patch(ground((x - 0.08, x + 0.08), (z, z + 2.2)), white)
        for x in (-1.7,)
        for z in np.arange(1.5, 90, 5.0)
    ]
    for side in (-1, 1):
        kerb = street.edge[side]
        details.append(Patch(ground((kerb, kerb - side * 0.16), (1, 150)), shade(stone, 1.18)))
        if street.parking[side]:
            lane = kerb - side * 2.2
            details.append(Patch(ground((lane - 0.06, lane + 0.06), (1, 150)), white))
    for _ in range(int(rng.integers(2, 6))):  # repaired patches and manholes
        x, z = rng.uniform(street.edge[-1] + 1, street.edge[1] - 1), rng.uniform(5, 30)
        patch = ground((x, x + rng.uniform(0.6, 1.8)), (z, z + rng.uniform(1, 5)))
        details.append(Patch(patch, shade(asphalt, rng.uniform(0.8, 1.12))))
    if street.crossing:
        bars = np.arange(street.edge[-1] + 0.4, street.edge[1] - 0.6, 1.0)
        details += [
            Patch(ground((x, x + 0.55), (street.crossing, street.crossing + 3)), white)
            for x in bars
        ]
    return _strip(street, 'road', street.edge[-1], street.edge[1], asphalt, details)


def ego_vehicle(street: Street) -> list[Shape]:
    """The bonnet of the camera's own car, as in Cityscapes a void region."""
    rise, x = street.height * street.rng.uniform(0.05, 0.1), street.width / 2
    hood = ellipse(x, street.height + 2, street.width * 0.56, rise, 40)
    gloss = ellipse(
        x * street.rng.uniform(0.6, 1.4), street.height, street.width * 0.2, rise * 0.7, 24
    )
    paint: Colour = (44, 46, 52)
    return [
        Shape('ego vehicle', (Patch(hood, paint),), (Patch(gloss, shade(paint, 1.7)),), depth=0.5)
    ]
