"""Puts a street together: what lines it, and who is on it; farthest first."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ..streets import facades, figures, roadside
from .backdrop import ego_vehicle, ground, sky
from .shapes import Camera, Shadow, Shape
from .street import MOOD_SHARES, MOODS, Mood, Street, Thing
from .traffic import Traffic

Maker = Callable[[np.random.Generator, Camera, tuple[float, float]], list[Shape | Shadow]]

FEATURED = ('train', 'bus', 'truck', 'rider', 'motorcycle', 'wall', 'fence', 'bicycle')
"""Scene `index` is sure to try the one at `index % len(FEATURED)`, so that no class is rare."""


@dataclass(frozen=True)
class Scene:
    """What `render` needs: shapes and shadows in painter's order, seen under a light."""

    height: int
    width: int
    camera: Camera
    mood: Mood
    shapes: tuple[Shape | Shadow, ...]


def build_scene(rng: np.random.Generator, index: int, height: int, width: int) -> Scene:
    """One street scene; the index decides what it features, `rng` the rest."""
    camera = Camera(
        focal=width * rng.uniform(0.74, 0.9),
        centre=width * rng.uniform(0.42, 0.58),
        horizon=height * rng.uniform(0.4, 0.48),
        eye=rng.uniform(1.5, 2.1),
    )
    mood = MOODS[list(MOODS)[int(rng.choice(len(MOODS), p=MOOD_SHARES))]]
    street = Street(rng, camera, mood, height, width, FEATURED[index % len(FEATURED)])
    shapes = [
        *sky(street),
        *ground(street),
        *_sides(street),
        *_things(street),
        *ego_vehicle(street),
    ]
    return Scene(height, width, camera, mood, tuple(shapes))


def _sides(street: Street) -> list[Shape]:
    """Houses, walls, fences and hedges along both sides, farthest first."""
    pieces: list[tuple[float, list[Shape]]] = []
    for side in (-1, 1):
        near, first = 2.0, True
        setback = side * float(street.rng.choice([0.0, street.rng.uniform(0.5, 2.5)]))
        while near < 110:
            kinds, shares = list(facades.FACADES), [0.5, 0.16, 0.16, 0.18]
            kind = kinds[int(street.rng.choice(4, p=shares))]
            length = street.rng.uniform(7, 15)
            if street.featured in ('wall', 'fence') and side == 1 and near > 5 and first:
                kind, length, first = street.featured, 14.0, False
            span = (near, near + length)
            piece = facades.FACADES[kind](
                street.rng, street.camera, street.line[side] + setback, span, lit=street.mood.lit
            )
            pieces.append((near, piece))
            near += length + float(street.rng.choice([0.0, 0.0, 2.0, 5.0]))
    pieces.sort(key=lambda piece: -piece[0])
    return [shape for _, piece in pieces for shape in piece]


def _things(street: Street) -> list[Shape | Shadow]:
    """Vehicles, people and street furniture, farthest first."""
    traffic = Traffic(street)
    placed = [*traffic.moving(), *traffic.parked(), *_furniture(street), *_people(street)]
    placed.sort(key=lambda thing: -thing[0])
    return [shape for _, shapes in placed for shape in shapes]


def _furniture(street: Street) -> list[Thing]:
    things: list[Thing] = []
    makers: tuple[tuple[Maker, int, float, float], ...] = (
        (roadside.tree, 4, 8, 50),
        (roadside.lamp_post, 3, 7, 32),
        (roadside.traffic_light, 2, 8, 22),
        (roadside.traffic_sign, 3, 7, 22),
        (roadside.waste_bin, 2, 7, 25),
    )
    for make, most, near, far in makers:
        for _ in range(int(street.rng.integers(1, most + 1))):
            side = int(street.rng.choice([-1, 1]))
            at = street.beside(side, street.rng.uniform(0.08, 0.25), near, far)
            things.append((at[1], make(street.rng, street.camera, at)))
    return things


def _people(street: Street) -> list[Thing]:
    rng, camera, things = street.rng, street.camera, []
    for _ in range(int(rng.integers(2, 8))):
        at = street.beside(int(rng.choice([-1, 1])), rng.uniform(0.2, 0.9), 6, 30)
        things.append((at[1], figures.person(rng, camera, at)))
    if street.crossing:
        for _ in range(int(rng.integers(1, 4))):
            at = (rng.uniform(street.edge[-1], street.edge[1]), street.crossing + rng.uniform(0, 3))
            things.append((at[1], figures.person(rng, camera, at)))
    for kind, name in (
        ('bicycle', 'bicycle'),
        ('bicycle', 'rider'),
        ('motorcycle', 'motorcycle'),
    ):
        if street.wants(name, 0.45):
            ridden = name == 'rider' or (name == 'motorcycle' and rng.random() < 0.6)
            if ridden:
                at = (rng.uniform(street.edge[-1] + 1, street.edge[1] - 0.5), rng.uniform(6, 13))
            else:
                at = street.beside(int(rng.choice([-1, 1])), rng.uniform(0.1, 0.6), 5.5, 13)
            drawn = figures.two_wheeler(kind, rng, camera, at, ridden=ridden)
            things.append((at[1], drawn))
    return things
