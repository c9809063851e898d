"""Small trees of generated street scenes, and CamVid where it is at hand."""

import shutil
from pathlib import Path

import pytest

from mmseg_infopro.datasets.cityscapes_tree import inspect_tree, prepare_tree
from mmseg_infopro.datasets.streets import StreetSettings, write_streets

SETTINGS = StreetSettings(train=8, val=3, height=128, width=256)


@pytest.fixture(scope='session')
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Street scenes as drawn: polygons, no masks. Shared, so read only."""
    root = tmp_path_factory.mktemp('drawn')
    write_streets(root, SETTINGS)
    return root


@pytest.fixture(scope='session')
def prepared(drawn: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Street scenes with masks. Shared, so read only."""
    root = tmp_path_factory.mktemp('prepared') / 'streets'
    shutil.copytree(drawn, root)
    prepare_tree(inspect_tree(root).frames)
    return root


@pytest.fixture
def tree(drawn: Path, tmp_path: Path) -> Path:
    """A tree of one's own to break, without masks."""
    return Path(shutil.copytree(drawn, tmp_path / 'streets'))


@pytest.fixture
def prepared_copy(prepared: Path, tmp_path: Path) -> Path:
    """A tree of one's own to break, with masks."""
    return Path(shutil.copytree(prepared, tmp_path / 'prepared'))


@pytest.fixture(scope='session')
def camvid() -> Path:
    """The SegNet release of CamVid, its images as JPEG."""
    root = Path(__file__).resolve().parents[2].parent / 'shared/data/camvid'
    if not (root / 'trainannot').is_dir():
        pytest.skip('needs CamVid, which is not shipped, in ../shared/data/camvid')
    return root
