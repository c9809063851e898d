"""The files that a config consists of."""

from __future__ import annotations

from pathlib import Path

import pytest

from mmseg_infopro.config.bases import check_config_output
from mmseg_infopro.config.inheritance import check_no_circle, config_files
from mmseg_infopro.config.read import config_file, config_name

LAZY = """
from mmengine.config import read_base
with read_base():
    from .models.net import *
    from ..top import schedule
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / 'c/models').mkdir(parents=True)
    for name, text in {
        'top.py': 'schedule = 1',
        'c/models/net.py': 'model = dict()',
        'c/lazy.py': LAZY,
        'c/one.py': "_base_ = './lazy.py'",
        'c/two.py': "_base_ = ['one.py', 'mmseg::a/b.py']\nx = './top.py'",
    }.items():
        (tmp_path / name).write_text(text)
    return tmp_path


def test_bases_of_bases_are_found(folder: Path) -> None:
    names = {str(path.relative_to(folder.resolve())) for path in config_files(folder / 'c/two.py')}
    assert names == {'c/two.py', 'c/one.py', 'c/lazy.py', 'c/models/net.py', 'top.py'}


@pytest.mark.parametrize('name', ['c/two.py', 'c/one.py', 'c/models/net.py'])
def test_a_config_does_not_replace_what_it_inherits_from(folder: Path, name: str) -> None:
    with pytest.raises(ValueError, match='would inherit from itself'):
        check_config_output('--out', folder / name, str(folder / 'c/two.py'), force=True)


def test_a_new_config_is_python(folder: Path) -> None:
    config = str(folder / 'c/two.py')
    check_config_output('--out', folder / 'new/three.py', config, force=False)
    check_config_output('--out', None, config, force=False)
    with pytest.raises(ValueError, match=r'--out must end in \.py'):
        check_config_output('--out', folder / 'three.json', config, force=False)


def test_a_circle_of_bases_is_named(folder: Path) -> None:
    check_no_circle(folder / 'c/two.py')
    (folder / 'top.py').write_text("_base_ = 'c/two.py'")
    with pytest.raises(ValueError, match=r'two\.py <- one\.py <- lazy\.py <- top\.py <- two\.py'):
        check_no_circle(folder / 'c/two.py')


@pytest.mark.parametrize('name', ['mmseg_infopro::streets/e2e_deeplabv3_r18.py', 'a/b.py'])
def test_a_config_that_a_package_ships_is_called_by_its_name(name: str) -> None:
    file = str(config_file(name)) if '::' in name else name
    assert config_name(file) == name
