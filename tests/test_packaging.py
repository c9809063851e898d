"""The wheel and the source distribution carry what mmengine reads from ``mmseg_infopro/.mim``."""

import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
LINKED = ('configs', 'tools', 'model-index.yml')
MIM = 'mmseg_infopro/.mim/'


def build(target: str, source: Path, folder: Path) -> Path:
    """Build a ``wheel`` or an ``sdist`` with the backend that pyproject.toml names."""
    command = [sys.executable, '-m', 'hatchling', 'build', '-t', target, '-d', str(folder)]
    subprocess.run(command, cwd=source, check=True, capture_output=True, text=True)
    (path,) = folder.iterdir()
    return path


def contents(wheel: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def shipped_configs() -> list[str]:
    """Return the configs that are meant to be run, relative to the repository."""
    paths = (path.relative_to(ROOT) for path in (ROOT / 'configs').rglob('*.py'))
    return sorted(path.as_posix() for path in paths if '_base_' not in path.parts)


@pytest.fixture(scope='module')
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build('wheel', ROOT, tmp_path_factory.mktemp('wheel'))


@pytest.mark.parametrize('name', LINKED)
def test_an_editable_installation_sees_the_live_files(name: str) -> None:
    assert (ROOT / MIM / name).resolve() == ROOT / name


def test_the_wheel_carries_configs_tools_and_index(wheel: Path) -> None:
    files = [path for name in LINKED for path in (ROOT / name, *(ROOT / name).rglob('*'))]
    expected = {
        MIM + path.relative_to(ROOT).as_posix(): path.read_bytes()
        for path in files
        if path.is_file() and '__pycache__' not in path.parts
    }
    found = {name: data for name, data in contents(wheel).items() if name.startswith(MIM)}
    assert found == expected


def test_the_wheel_installs_the_command(wheel: Path) -> None:
    files = contents(wheel)
    assert 'infopro/command.py' in files
    (entry_points,) = (data for name, data in files.items() if name.endswith('entry_points.txt'))
    assert b'infopro = infopro.command:main' in entry_points


def test_a_wheel_from_the_source_distribution_is_the_same(wheel: Path, tmp_path: Path) -> None:
    sdist = build('sdist', ROOT, tmp_path / 'sdist')
    with tarfile.open(sdist) as archive:
        archive.extractall(tmp_path / 'source', filter='data')
    (source,) = (tmp_path / 'source').iterdir()
    rebuilt = build('wheel', source, tmp_path / 'wheel')
    assert contents(rebuilt) == contents(wheel)


def test_an_ordinary_installation_finds_its_own_configs(wheel: Path, tmp_path: Path) -> None:
    site = tmp_path / 'site'
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    config = next(path for path in shipped_configs() if path.count('/') > 1)
    child = tmp_path / 'child.py'
    child.write_text(f"_base_ = 'mmseg_infopro::{config.removeprefix('configs/')}'\n")
    script = (
        'import mmseg_infopro; from mmengine import Config; '
        "cfg = Config.fromfile('child.py'); print(mmseg_infopro.__file__); assert cfg.model"
    )
    result = subprocess.run(
        [sys.executable, '-c', script],
        cwd=tmp_path,
        env={**os.environ, 'PYTHONPATH': str(site)},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip().endswith(str(site / 'mmseg_infopro' / '__init__.py'))


def test_the_index_lists_every_shipped_config() -> None:
    index = yaml.safe_load((ROOT / 'model-index.yml').read_text())
    metafiles = [yaml.safe_load((ROOT / path).read_text()) for path in index['Import']]
    models = [model for metafile in metafiles for model in metafile['Models']]
    assert sorted(model['Config'] for model in models) == shipped_configs()
    assert len({model['Name'] for model in models}) == len(models)
