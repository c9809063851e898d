"""Configs inherit from ``mmseg::`` and ``mmseg_infopro::`` bases, wherever they lie."""

import importlib
from pathlib import Path
from typing import Any

import pytest
from mmengine import Config
from mmengine.config.utils import MODULE2PACKAGE

from mmseg_infopro.config import scopes

CONFIGS = Path(__file__).resolve().parents[2] / 'configs'


def without_scopes(node: Any) -> Any:
    """Drop the marks that mmengine puts on what comes from another package's base."""
    if isinstance(node, dict):
        return {key: without_scopes(value) for key, value in node.items() if key != '_scope_'}
    if isinstance(node, list | tuple):
        return [without_scopes(value) for value in node]
    return node


def inherit(base: str, folder: Path) -> Config:
    path = folder / 'child.py'
    path.write_text(f"_base_ = '{base}'\n")
    return Config.fromfile(path)


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_an_mmseg_base_is_found(tmp_path: Path) -> None:
    base = 'mmseg::deeplabv3/deeplabv3_r50-d8_4xb2-40k_cityscapes-512x1024.py'
    assert inherit(base, tmp_path).model.decode_head.type == 'ASPPHead'


def test_every_config_in_a_folder_is_found_as_a_base(tmp_path: Path) -> None:
    configs = [path for path in sorted(CONFIGS.glob('*/*.py')) if path.parent.name != '_base_']
    assert configs
    for path in configs:
        inherited = inherit(f'mmseg_infopro::{path.relative_to(CONFIGS).as_posix()}', tmp_path)
        expected = Config.fromfile(path)
        assert without_scopes(inherited.to_dict()) == without_scopes(expected.to_dict()), path


def test_importing_again_changes_nothing() -> None:
    before = dict(MODULE2PACKAGE)
    importlib.reload(scopes)
    assert before == MODULE2PACKAGE
