"""Checks a Cityscapes tree and makes the label images that training and evaluation read."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Callable
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cityscapesscripts.helpers.labels import name2label
from cityscapesscripts.preparation.json2labelImg import json2labelImg
from PIL import Image

from ..files.whole import naming
from .image_files import file_defect, first_few
from .parallel import in_parallel

OFFICIAL_COUNTS = {'train': 2975, 'val': 500, 'test': 1525}
IMAGE, POLYGONS = '_leftImg8bit.png', '_gtFine_polygons.json'
MASKS = {'trainIds': '_gtFine_labelTrainIds.png', 'ids': '_gtFine_labelIds.png'}
"""Encoding of cityscapesscripts -> suffix; training reads the first, the evaluator the second."""


@dataclass(frozen=True)
class Frame:
    """An image and its polygon file."""

    image: Path
    polygons: Path

    def mask(self, encoding: str) -> Path:
        """Where the label image of an encoding of `MASKS` belongs."""
        stem = self.polygons.name.removesuffix(POLYGONS)
        return self.polygons.with_name(stem + MASKS[encoding])

    def pending(self) -> list[str]:
        """The encodings whose label image is missing or broken."""
        return [encoding for encoding in MASKS if file_defect(self.mask(encoding))]


@dataclass(frozen=True)
class TreeReport:
    """What was found in a tree.

    Attributes:
        frames: All images with their polygons.
        problems: One sentence for each thing that must be mended first.
        notes: One sentence for each thing worth knowing.
    """

    frames: tuple[Frame, ...]
    problems: tuple[str, ...]
    notes: tuple[str, ...]


def inspect_tree(root: Path) -> TreeReport:
    """Looks at all files of a Cityscapes tree; only names, headers and last bytes are read."""
    if not root.is_dir():
        return TreeReport((), (f'{root} does not exist or is no folder',), ())
    problems = [
        f'{root / part} is missing: unpack {part}_trainvaltest.zip of Cityscapes there'
        for part in ('leftImg8bit', 'gtFine')
        if not (root / part).is_dir()
    ]
    frames: list[Frame] = []
    notes: list[str] = []
    for split in OFFICIAL_COUNTS if not problems else ():
        _inspect_split(root, split, frames, problems, notes)
    return TreeReport(tuple(frames), tuple(problems), tuple(notes))


def _inspect_split(
    root: Path, split: str, frames: list[Frame], problems: list[str], notes: list[str]
) -> None:
    """Adds what one split holds to the three lists."""
    pictures, truth = root / 'leftImg8bit' / split, root / 'gtFine' / split
    if split == 'test' and not pictures.is_dir():
        notes.append(f'{pictures} is missing; it is only needed for submissions')
        return
    absent = [path for path in (pictures, truth) if not path.is_dir()]
    if split == 'test' and absent == [truth]:
        notes.append(f'{truth} is missing, so the test split has no ground truth')
        absent = []
    if absent:
        problems += [f'the folder {path} is missing' for path in absent]
        return
    images = sorted(pictures.glob(f'*/*{IMAGE}'))
    if not images:
        problems.append(f'{pictures} holds no CITY/*{IMAGE}')
    elif len(images) != OFFICIAL_COUNTS[split]:
        notes.append(
            f'{split} has {len(images)} images; the full Cityscapes has {OFFICIAL_COUNTS[split]}'
        )
    found = [Frame(image, _counterpart(image, truth, IMAGE, POLYGONS)) for image in images]
    known = set(truth.glob(f'*/*{POLYGONS}'))
    lacking = [frame.polygons for frame in found if frame.polygons not in known]
    if lacking and split != 'test':
        problems.append(
            f'{len(lacking)} of {len(images)} {split} images have no polygon file: '
            f'{first_few(lacking)} missing'
        )
    orphans = sorted(known - {frame.polygons for frame in found})
    if orphans:
        lost = [_counterpart(path, pictures, POLYGONS, IMAGE) for path in orphans]
        problems.append(
            f'{len(orphans)} of {len(known)} {split} polygon files have no image: '
            f'{first_few(lost)} missing'
        )
    problems += [f'the image {i} {defect}' for i in images if (defect := file_defect(i))]
    frames += [frame for frame in found if frame.polygons in known]


def _counterpart(path: Path, folder: Path, suffix: str, other: str) -> Path:
    return folder / path.parent.name / (path.name.removesuffix(suffix) + other)


def read_polygons(path: Path) -> dict[str, Any]:
    """A polygon file whose form and labels are sound.

    Raises:
        ValueError: They are not; the message names the file.
    """
    try:
        annotation = json.loads(path.read_text())
        size = annotation['imgHeight'], annotation['imgWidth']
        labels = [item['label'] for item in annotation['objects'] if item['polygon'] is not None]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(f'{path} is no Cityscapes polygon file: {error!r}') from error
    if not all(isinstance(length, int) and length > 0 for length in size):
        raise ValueError(f'{path} gives the image size {size}; two positive numbers are needed')
    for label in labels:
        if label not in name2label and str(label).removesuffix('group') not in name2label:
            raise ValueError(f'{path} holds the unknown label {label!r}; see cityscapesscripts')
    return dict(annotation)


def write_masks(frame: Frame) -> int:
    """Makes the missing label images of one frame; each appears whole or not at all.

    Returns:
        How many were made.

    Raises:
        ValueError: The polygon file is broken or does not fit its image.
    """
    pending = frame.pending()
    if not pending:
        return 0
    annotation = read_polygons(frame.polygons)
    size = annotation['imgWidth'], annotation['imgHeight']
    try:
        with Image.open(frame.image) as image:  # reads the header only
            real = image.size
    except OSError as error:
        raise ValueError(f'the image {frame.image} cannot be read: {error}') from error
    if real != size:
        raise ValueError(
            f'{frame.polygons} is for {size[0]}x{size[1]} pixels, its image {frame.image} has '
            f'{real[0]}x{real[1]}'
        )
    for encoding in pending:
        _convert(frame.polygons, frame.mask(encoding), encoding)
    return len(pending)


def _convert(polygons: Path, target: Path, encoding: str) -> None:
    temporary = target.with_name(f'.{os.getpid()}_{target.name}')
    said = io.StringIO()
    try:
        with naming(target):
            with redirect_stdout(said):  # it prints its errors, and then exits
                json2labelImg(str(polygons), str(temporary), encoding)
            os.replace(temporary, target)
    except (SystemExit, ValueError, TypeError, LookupError, AttributeError) as error:
        reason = said.getvalue().partition('\n')[0] or repr(error)
        raise ValueError(f'{polygons} cannot be drawn: {reason}') from error
    finally:
        temporary.unlink(missing_ok=True)


def prepare_tree(
    frames: tuple[Frame, ...], *, workers: int = 0, on_frame: Callable[[], object] = lambda: None
) -> int:
    """Makes all missing label images.

    Args:
        frames: What `inspect_tree` found.
        workers: Number of processes; 0 works in this one.
        on_frame: Called after each frame.

    Returns:
        How many label images were made.
    """
    made = 0
    for count in in_parallel(write_masks, frames, workers):
        made += count
        on_frame()
    return made
