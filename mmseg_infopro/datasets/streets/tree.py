"""Writes street scenes as a Cityscapes tree, each a function of (seed, split, index) alone."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from ...files.whole import write_whole
from ..parallel import in_parallel
from .render import Image8, render
from .scene import build_scene

MANIFEST = 'streets.json'
SPLITS = ('train', 'val')
CITIES = {
    'train': ('ashford', 'birchwood', 'cedarhill', 'elmbridge'),
    'val': ('oakham', 'pinewick'),
}
MIN_HEIGHT, MIN_WIDTH = 64, 128
MAX_LENGTH = 16384
"""Of more pixels no machine holds a scene while it is drawn."""


@dataclass(frozen=True)
class StreetSettings:
    """What decides every byte of a set of street scenes.

    Attributes:
        train: Number of training scenes.
        val: Number of validation scenes.
        height: Image height in pixels.
        width: Image width in pixels.
        seed: Another seed gives other scenes.
    """

    train: int = 160
    val: int = 40
    height: int = 256
    width: int = 512
    seed: int = 0

    def __post_init__(self) -> None:
        for name, least in (
            ('train', 1), ('val', 1), ('height', MIN_HEIGHT), ('width', MIN_WIDTH), ('seed', 0),
        ):  # fmt: skip
            if getattr(self, name) < least:
                raise ValueError(f'{name} must be at least {least}, got {getattr(self, name)}')
        for name in ('height', 'width'):
            if getattr(self, name) > MAX_LENGTH:
                raise ValueError(f'{name} must be at most {MAX_LENGTH}, got {getattr(self, name)}')

    def scenes(self) -> list[tuple[str, int]]:
        """All `(split, index)`."""
        return [(split, index) for split in SPLITS for index in range(getattr(self, split))]


def draw_scene(settings: StreetSettings, split: str, index: int) -> tuple[Image8, dict[str, Any]]:
    """One scene: its RGB image (H, W, 3) and its annotation in Cityscapes' polygon form."""
    if split not in SPLITS:
        raise ValueError(f'split must be one of {", ".join(SPLITS)}, got {split!r}')
    layout, surface = (
        np.random.default_rng([settings.seed, SPLITS.index(split), index, stream])
        for stream in (0, 1)
    )
    return render(build_scene(layout, index, settings.height, settings.width), surface)


def scene_paths(root: Path, split: str, index: int) -> tuple[Path, Path]:
    """The image and the polygon file of a scene, named as in Cityscapes."""
    city = CITIES[split][index % len(CITIES[split])]
    frame = f'{city}_{index:06d}_000019'
    return (
        root / 'leftImg8bit' / split / city / f'{frame}_leftImg8bit.png',
        root / 'gtFine' / split / city / f'{frame}_gtFine_polygons.json',
    )


def write_scene(root: Path, settings: StreetSettings, scene: tuple[str, int]) -> None:
    """Draws one `(split, index)` and writes its two files."""
    image, annotation = draw_scene(settings, *scene)
    image_path, polygon_path = scene_paths(root, *scene)
    for path in (image_path, polygon_path):
        path.parent.mkdir(parents=True, exist_ok=True)
    if not cv2.imwrite(str(image_path), image[..., ::-1]):
        raise ValueError(f'cannot write the image {image_path}')
    polygon_path.write_text(json.dumps(annotation, indent=4, sort_keys=True))


def write_streets(
    root: Path,
    settings: StreetSettings,
    *,
    workers: int = 0,
    on_scene: Callable[[], object] = lambda: None,
) -> bool:
    """Writes all scenes, unless the folder already holds exactly these.

    Args:
        root: A new or empty folder, or one that was written (or begun) with the same settings.
        settings: Which scenes.
        workers: Number of processes; 0 works in this one. The bytes do not depend on it.
        on_scene: Called after each scene.

    Returns:
        Whether anything was written.

    Raises:
        ValueError: The folder holds something else.
    """
    if workers < 0:
        raise ValueError(f'workers must be 0 (no extra process) or more, got {workers}')
    if _is_complete(root, settings):
        return False
    root.mkdir(parents=True, exist_ok=True)
    _write_manifest(root, settings, complete=False)
    for _ in in_parallel(partial(write_scene, root, settings), settings.scenes(), workers):
        on_scene()
    _write_manifest(root, settings, complete=True)
    return True


def _is_complete(root: Path, settings: StreetSettings) -> bool:
    """Whether the folder holds all of the scenes; an error when it holds something else."""
    if root.exists() and not root.is_dir():
        raise ValueError(f'{root} is a file; give a folder that is new or empty')
    if not root.is_dir() or not any(root.iterdir()):
        return False
    path = root / MANIFEST
    if not path.is_file():
        raise ValueError(
            f'{root} is not empty and holds no {MANIFEST}, so it was not made by this tool; '
            'give a folder that is new or empty'
        )
    try:
        manifest = json.loads(path.read_text())
        made, complete = manifest['settings'], bool(manifest['complete'])
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f'{path} is no manifest of street scenes: {error}') from error
    if made != asdict(settings):
        raise ValueError(
            f'{root} was made with {made}, not with {asdict(settings)}; '
            'give the same settings or another folder'
        )
    return complete


def _write_manifest(root: Path, settings: StreetSettings, *, complete: bool) -> None:
    content = {'settings': asdict(settings), 'complete': complete}
    write_whole(root / MANIFEST, json.dumps(content, indent=2))
