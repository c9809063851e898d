"""Labels of the points of a picture, where they hide neither each other nor the points."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from math import cos, hypot, pi, sin

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.transforms import Bbox

Spot = tuple[float, float]

DISTANCES = (9, 16, 26, 38, 52, 70, 90, 115)
"""Between a point and the nearest side of its label, in points of 1/72 inch."""
NUM_DIRECTIONS = 16
CLEARANCE = 6
"""Around the middle of a marker, in points."""
FONT_SIZE = 9
FAR = 14
"""In points; a label that is farther from its point has a line to it."""
LINE_RIM = 2
"""On each side of a line, in pixels."""
HIDING, STRAY, AWAY = 100, 8, 3
"""How bad it is to hide a label or a marker, a pixel, to be a pixel nearer to another point than to
one's own, and to be a pixel farther from it; to cross a line is 1."""
LEADER = dict(arrowstyle='-', color='0.6', linewidth=0.7, shrinkA=0, shrinkB=4)


def place_labels(
    figure: Figure,
    axes: Axes,
    positions: Sequence[Spot],
    texts: Sequence[str],
    lines: Sequence[tuple[Spot, Spot]] = (),
) -> None:
    """Write a text beside each position, with a thin line to it where it is not next to it.

    Args:
        figure: Of which the axes are a part.
        axes: Whose limits are final.
        positions: x and y, in the units of the axes.
        texts: One for each.
        lines: Upright or level ones to keep off too, in the units of the axes.
    """
    figure.draw_without_rendering()  # settles the layout
    pixels = figure.dpi / 72
    spots = [tuple(axes.transData.transform(position)) for position in positions]
    taken = [_box(x, y, 2 * CLEARANCE * pixels, 2 * CLEARANCE * pixels) for x, y in spots]
    strokes = [Bbox(axes.transData.transform(line)).padded(LINE_RIM) for line in lines]
    frame = axes.get_window_extent()
    # The crowded ones have the least choice.
    order = sorted(range(len(spots)), key=lambda i: sum(_gap(spots[i], spot) for spot in spots))
    for index in order:
        size = _text_size(axes, texts[index])
        box = _free_box(index, spots, size, taken, strokes, frame, pixels)
        taken.append(box)
        centre = (box.x0 + box.x1) / 2, (box.y0 + box.y1) / 2
        x, y = figure.transFigure.inverted().transform(centre)
        axes.annotate(
            texts[index],
            positions[index],
            (x, y),
            textcoords='figure fraction',
            fontsize=FONT_SIZE,
            ha='center',
            va='center',
            arrowprops=LEADER if _distance(spots[index], box) > FAR * pixels else None,
        )


def _free_box(
    index: int,
    spots: Sequence[Spot],
    size: tuple[float, float],
    taken: Sequence[Bbox],
    strokes: Sequence[Bbox],
    frame: Bbox,
    pixels: float,
) -> Bbox:
    """Return a free place for a label, near to its spot and to no other."""
    spot = spots[index]
    boxes = [
        _beside(spot, size, distance * pixels, 2 * pi * turn / NUM_DIRECTIONS)
        for distance, turn in product(DISTANCES, range(NUM_DIRECTIONS))
    ]
    inside = [box for box in boxes if frame.containsx(box.x0) and frame.containsx(box.x1)]
    inside = [box for box in inside if frame.containsy(box.y0) and frame.containsy(box.y1)]

    def harm(box: Bbox) -> float:
        hidden = HIDING * sum(_overlap(box, other) for other in taken)
        crossed = sum(_overlap(box, line) for line in strokes)
        own = _distance(spot, box)
        stray = own - min(_distance(other, box) for other in spots)
        return hidden + crossed + STRAY * stray + AWAY * own

    return min(inside or boxes, key=harm)


def _beside(spot: Spot, size: tuple[float, float], distance: float, angle: float) -> Bbox:
    """Return a box in a direction, whose rim is as far from the spot as asked."""
    width, height = size
    x = spot[0] + cos(angle) * (distance + width / 2)
    return _box(x, spot[1] + sin(angle) * (distance + height / 2), width, height)


def _box(x: float, y: float, width: float, height: float) -> Bbox:
    return Bbox.from_bounds(x - width / 2, y - height / 2, width, height)


def _overlap(one: Bbox, other: Bbox) -> float:
    common = Bbox.intersection(one, other)
    return 0.0 if common is None else common.width * common.height


def _distance(spot: Spot, box: Bbox) -> float:
    x = max(box.x0 - spot[0], spot[0] - box.x1, 0)
    return hypot(x, max(box.y0 - spot[1], spot[1] - box.y1, 0))


def _gap(one: Spot, other: Spot) -> float:
    return hypot(one[0] - other[0], one[1] - other[1])


def _text_size(axes: Axes, text: str) -> tuple[float, float]:
    """Return width and height in pixels, with a rim."""
    probe = axes.text(0, 0, text, fontsize=FONT_SIZE)
    extent = probe.get_window_extent()
    probe.remove()
    return extent.width + 4, extent.height + 4
