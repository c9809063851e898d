"""No wrapper escapes the contract."""

import importlib
from contextlib import suppress
from pathlib import Path

import pytest
from mmseg.registry import MODELS

from mmseg_infopro.backbones import UnrolledBackbone
from tests.backbones.contract import BackboneContract


def test_every_wrapper_is_under_contract():
    for file in Path(__file__).parent.glob('test_*.py'):
        with suppress(pytest.skip.Exception):  # an optional package is missing
            importlib.import_module(f'tests.backbones.{file.stem}')
    under_contract = {
        cls.backbone['type'] for cls in BackboneContract.__subclasses__() if 'backbone' in vars(cls)
    }
    wrappers = {
        name
        for name, cls in MODELS.module_dict.items()
        if isinstance(cls, type) and issubclass(cls, UnrolledBackbone)
    }
    assert wrappers == under_contract
