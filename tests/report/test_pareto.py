"""The picture of memory against cost."""

from __future__ import annotations

import random
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from mmseg_infopro.report.labels import place_labels
from mmseg_infopro.report.pareto import Point, draw_tradeoff, pareto_front


def point(cost: float, num_bytes: int) -> Point:
    return Point(f'{cost} {num_bytes}', 'a', 'float32', cost, num_bytes)


def test_nothing_is_better_than_the_front() -> None:
    source = random.Random(0)
    for _ in range(50):
        points = [point(source.randrange(8), source.randrange(8)) for _ in range(10)]
        front = pareto_front(points)
        at = {(p.cost, p.num_bytes) for p in points}
        best = {
            (cost, size)
            for cost, size in at
            if not any(c <= cost and s <= size and (c, s) != (cost, size) for c, s in at)
        }
        assert [(p.cost, p.num_bytes) for p in front] == sorted(best)


@pytest.mark.parametrize('count', [1, 8, 24])
def test_labels_hide_neither_each_other_nor_a_point(count: int) -> None:
    source = random.Random(count)
    positions = [(source.random(), source.random() ** 2) for _ in range(count)]
    figure = Figure(figsize=(9, 6), layout='constrained')
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    axes.plot(*zip(*positions, strict=True), 'o')
    axes.margins(0.12)
    place_labels(figure, axes, positions, [f'K={index} units' for index in range(count)])
    figure.draw_without_rendering()
    boxes = [label.get_tightbbox() for label in axes.texts]
    texts = [label.get_window_extent() for label in axes.texts]
    assert len(texts) == len(boxes) == count
    assert not any(one.overlaps(other) for one, other in combinations(texts, 2))
    spots = axes.transData.transform(positions)
    assert not any(text.contains(*spot) for text in texts for spot in spots)
    frame = axes.get_window_extent()
    assert all(frame.contains(box.x0, box.y0) and frame.contains(box.x1, box.y1) for box in texts)


@pytest.mark.parametrize('count', [1, 12])
def test_the_picture_is_drawn(tmp_path: Path, count: int) -> None:
    file = tmp_path / 'front.png'
    points = [
        Point(f'K={i}', f'series {i % 5}', ('float32', 'bfloat16')[i % 2], i, 10**9 * (20 - i))
        for i in range(count)
    ]
    draw_tradeoff(points, file, cost='time (s)', title='a config', note='a machine')
    picture = Image.open(file).convert('RGB')
    assert picture.size == (1350, 900)
    blue = (np.asarray(picture) == (31, 119, 180)).all(-1).sum()
    assert blue > 100 * len({p.label for p in points if p.series == 'series 0'})
