"""Sizes that are predicted from those that were measured."""

import pytest

from mmseg_infopro.planning.costs import StepBytes, UnitBytes
from mmseg_infopro.report import step_sizes
from mmseg_infopro.report.step_sizes import Measured, batches, crops
from tests.config.test_localize import plain_config


def bytes_of(size):
    """Bytes of a step with global attention."""
    return StepBytes((UnitBytes('unit', saved=size * size),), tail_heads=7 * size)


@pytest.fixture
def asked(monkeypatch):
    """Steps that were measured, by batch times pixels."""
    found = []

    def measure(cfg, settings):
        shape = step_sizes.step_shape(cfg)
        size = shape.batch_size * shape.crop[0] * shape.crop[1] // 2048
        found.append(size)
        return bytes_of(size)

    monkeypatch.setattr(step_sizes, 'measure_config', measure)
    monkeypatch.setattr(step_sizes, 'read_local_settings', lambda local: None)
    return found


def local_config(height=64):
    cfg = plain_config()
    cfg.model.local = dict(num_modules=2)
    cfg.model.data_preprocessor.size = (height, height)
    return cfg


def test_a_third_crop_tells_a_parabola_from_a_line(asked):
    sizes = crops(local_config())
    measured = Measured(sizes, bytes_of(4))
    line = measured.predict(3)
    assert asked == [16]
    assert line.units[0].saved > 9 * 9
    assert line.tail_heads == 7 * 9
    assert measured.take_third(5)
    assert measured.predict(3) == bytes_of(9)
    assert not measured.take_third(6)
    assert asked == [16, 25]


def test_batches_need_none(asked):
    measured = Measured(batches(local_config()), bytes_of(4))
    measured.predict(3)
    assert not measured.take_third(3)
    assert len(asked) == 1
