"""Paints a scene and writes its polygons down, from the very same outlines."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from .scene import Scene
from .shapes import Patch, Shadow, Shape

MIN_PIXELS = 8
"""Outlines smaller than this are neither painted nor labelled."""
GRAIN = {
    'vegetation': (0.16, 0.1),
    'terrain': (0.12, 0.1),
    'road': (0.04, 0.05),
    'wall': (0.06, 0.05),
    'sidewalk': (0.05, 0.04),
    'building': (0.04, 0.04),
    'sky': (0.0, 0.01),
}
"""Texture by label: relative strength of fine and of coarse noise."""
OTHER_GRAIN = (0.03, 0.02)

Image8 = NDArray[np.uint8]


def render(scene: Scene, rng: np.random.Generator) -> tuple[Image8, dict[str, Any]]:
    """The image and its annotation.

    Returns:
        The image (H, W, 3), RGB, and the polygons in the form of Cityscapes' `_polygons.json`.
    """
    size = scene.height, scene.width
    image = np.zeros((*size, 3), np.uint8)
    depth = _ground_depth(scene)
    grain = np.zeros((*size, 2), np.float32)
    objects = []
    for shape in scene.shapes:
        if isinstance(shape, Shadow):
            _darken(image, shape)
            continue
        polygon = outline(shape, *size)
        if polygon is None:
            continue
        mask = fill(polygon, *size)
        _paint(image, shape, mask)
        grain[mask] = GRAIN.get(shape.label, OTHER_GRAIN)
        if shape.depth is not None:
            depth[mask] = shape.depth
        objects.append({'label': shape.label, 'polygon': polygon})
    annotation = {'imgHeight': scene.height, 'imgWidth': scene.width, 'objects': objects}
    return _expose(image, depth, grain, scene, rng), annotation


def outline(shape: Shape, height: int, width: int) -> list[list[int]] | None:
    """The outer contour of the union of the parts, inside the image; None when too small."""
    canvas = np.zeros((height, width), np.uint8)
    for part in shape.parts:
        _fill_patch(canvas, part, 255)
    contours, _ = cv2.findContours(canvas, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    contour = max(contours, key=cv2.contourArea, default=None)
    if contour is None or cv2.contourArea(contour) < MIN_PIXELS:
        return None
    contour = cv2.approxPolyDP(contour, 0.7, closed=True)  # a third of the corners
    if len(contour) < 3:
        return None
    polygon: list[list[int]] = contour[:, 0].tolist()
    return polygon


def fill(polygon: list[list[int]], height: int, width: int) -> NDArray[np.bool_]:
    """The pixels (H, W) of a polygon, drawn as cityscapesscripts draws it."""
    canvas = Image.new('L', (width, height), 0)
    ImageDraw.Draw(canvas).polygon([(x, y) for x, y in polygon], fill=1)
    return np.asarray(canvas, dtype=bool)


def _fill_patch(
    canvas: Image8,
    patch: Patch,
    colour: float | tuple[float, float, float],
    line: int = 8,
    origin: tuple[int, int] = (0, 0),
) -> None:
    # cv2 takes fixed-point corners: 3 fractional bits.
    corners = np.rint((patch.points - origin) * 8).astype(np.int32)
    cv2.fillPoly(canvas, [corners], colour, line, shift=3)


def _paint(image: Image8, shape: Shape, mask: NDArray[np.bool_]) -> None:
    """Paints the parts and details, inside the mask only."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    origin = int(columns[0]), int(rows[0])
    box = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    inside, layer = mask[box], image[box].copy()
    if not shape.see_through:
        layer[:] = shape.parts[0].colour
        for part in shape.parts:
            _fill_patch(layer, part, part.colour, cv2.LINE_AA, origin)
    for detail in shape.details:
        _fill_patch(layer, detail, detail.colour, cv2.LINE_AA, origin)
    image[box][inside] = layer[inside]


def _darken(image: Image8, shadow: Shadow) -> None:
    """Darkens a soft-edged polygon."""
    height, width = image.shape[:2]
    blur = height / 128
    x0, y0 = np.clip(shadow.points.min(0) - 4 * blur, 0, (width - 1, height - 1)).astype(int)
    x1, y1 = np.clip(shadow.points.max(0) + 4 * blur, 0, (width - 1, height - 1)).astype(int)
    region = image[y0 : y1 + 1, x0 : x1 + 1]
    canvas = np.zeros(region.shape[:2], np.uint8)
    _fill_patch(canvas, Patch(shadow.points, (0, 0, 0)), 255, cv2.LINE_AA, (int(x0), int(y0)))
    soft = cv2.GaussianBlur(canvas, (0, 0), blur)[..., None] / 255.0
    region[:] = (region * (1 - shadow.strength * soft)).astype(np.uint8)


def _ground_depth(scene: Scene) -> NDArray[np.float32]:
    """Distance in metres (H, W) of the ground seen in each row."""
    below = np.maximum(np.arange(scene.height) - scene.camera.horizon, 1.0)
    rows = np.minimum(scene.camera.focal * scene.camera.eye / below, 150)
    return np.repeat(rows[:, None], scene.width, 1).astype(np.float32)


def _noise(rng: np.random.Generator, height: int, width: int, cell: int) -> NDArray[np.float64]:
    small = rng.normal(0, 1, (height // cell + 2, width // cell + 2))
    return np.asarray(cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC))


def _expose(
    image: Image8,
    depth: NDArray[np.float32],
    grain: NDArray[np.float32],
    scene: Scene,
    rng: np.random.Generator,
) -> Image8:
    """Texture, haze, light, the lens and the sensor."""
    size, mood = (scene.height, scene.width), scene.mood
    texture = 1 + grain[..., 0] * rng.normal(0, 1, size) + grain[..., 1] * _noise(rng, *size, 8)
    photo = image * texture[..., None]
    haze = (1 - np.exp(-mood.haze * depth / 100))[..., None]
    photo = photo * (1 - haze) + np.array(mood.low) * haze
    sky = (depth == 0)[..., None]  # the sky's colour is the light already
    photo = np.where(sky, photo, photo * np.array(mood.light)) * rng.uniform(0.88, 1.12)
    photo *= rng.uniform(0.97, 1.03, 3)
    photo = cv2.GaussianBlur(photo, (0, 0), rng.uniform(0.45, 0.75))
    photo += rng.normal(0, rng.uniform(1.5, 4.0), photo.shape)
    return np.clip(photo, 0, 255).astype(np.uint8)
