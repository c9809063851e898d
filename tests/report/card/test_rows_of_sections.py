"""What sections of a report find by themselves, on no card."""

from __future__ import annotations

from pathlib import Path

import pytest
from mmengine.config import Config
from PIL import Image

from mmseg_infopro.measure.peaks import PeakBytes
from mmseg_infopro.report.card import crop_rows
from mmseg_infopro.report.card.crop_rows import largest_height, predicted_height
from mmseg_infopro.report.card.picture import draw_card
from mmseg_infopro.report.card.plans import Plan
from mmseg_infopro.report.card.rows import CardRow
from mmseg_infopro.report.card.suite_rows import read_summary
from mmseg_infopro.report.card.tables import as_markdown

MACHINE = dict(name='a card', torch='2.13.0')


def memory_row(error: float, **changes) -> CardRow:
    figures = dict(
        predicted=4 * 2**30,
        allocated=4 * 2**30 * (1 + error),
        reserved=5 * 2**30,
        error=error,
        goal=0.1,
    )
    return CardRow('memory', f'net {error}', 'done', 1, figures | changes)


def time_row() -> CardRow:
    def way(name: str, seconds: float | None, **kwargs) -> dict:
        ratio = seconds and seconds / 0.2
        return dict(name=name, seconds=seconds, ratio=ratio, quartiles=None, **kwargs)

    ways = [
        way('e2e', 0.2),
        way('infopro:2 lean', 0.22, goal=1.05),
        way('infopro:8', None, failure='out of GPU memory'),
    ]
    return CardRow('times', 'net float32', 'done', 1, dict(rows=ways))


@pytest.mark.parametrize(('guess', 'limit'), [(320, 512), (640, 512), (512, 530), (96, 0)])
def test_the_largest_height_that_fits_is_found_from_any_guess(guess: int, limit: int) -> None:
    assert largest_height(lambda height: height <= limit, guess) == limit // 32 * 32


def test_the_predicted_height_grows_as_bytes_do_with_pixels(monkeypatch) -> None:
    cfg = Config(dict(model=dict(data_preprocessor=dict(size=(64, 128)))))

    def peak(cfg: Config) -> PeakBytes:
        height, width = cfg.model.data_preprocessor.size
        return PeakBytes(1000 + height * width, 0, 0, 0)

    monkeypatch.setattr(crop_rows, 'config_peak', peak)
    plan = Plan(cfg, peak(cfg).total, 0)
    assert predicted_height(plan, 64, 1000 + 2 * 300**2) == 288
    assert predicted_height(plan, 64, 10) == 32


def test_the_end_of_a_test_run_is_read() -> None:
    text = '.F.s\nFAILED tests/a.py::b - assert 1 == 2\n1 failed, 2 passed, 1 skipped in 3.21s\n'
    assert read_summary(text) == dict(
        passed=2, failed=1, skipped=1, failures=['FAILED tests/a.py::b - assert 1 == 2']
    )


def test_goals_stand_beside_the_figures() -> None:
    failed = CardRow('crop', 'net infopro:8', 'failed', 1, failure='RuntimeError: a reason')
    rows = [memory_row(0.05), memory_row(-0.2), time_row(), failed, CardRow('cap', 'killed')]
    text = as_markdown(MACHINE, rows)
    assert text.startswith('# a card, torch 2.13.0\n')
    assert '| net 0.05 | 4.00 GiB | 4.20 GiB | 5.00 GiB | +5.0% | within 10%: met |' in text
    assert '| -20.0% | within 10%: missed |' in text
    assert '| infopro:2 lean | 220.0 | 1.100 | at most 1.05: missed | - | - |' in text
    assert '| infopro:8 | out of GPU memory |' in text
    assert '- crop/net infopro:8: RuntimeError: a reason' in text
    assert '- cap/killed: the process ended while it ran' in text


def test_the_picture_shows_what_there_is(tmp_path: Path) -> None:
    both, one = tmp_path / 'both.png', tmp_path / 'one.png'
    draw_card(MACHINE, [memory_row(0.05), time_row()], both)
    draw_card(MACHINE, [memory_row(0.05, reserved=None)], one)
    assert Image.open(both).width > 1.5 * Image.open(one).width
    with pytest.raises(ValueError, match='no row of bytes or times is done'):
        draw_card(MACHINE, [], one)
