"""Figures of a race, from turns that were made up; and what a process grows by."""

from pathlib import Path

import pytest
import torch
from PIL import Image

from mmseg_infopro.report.pipeline import growth as growing
from mmseg_infopro.report.pipeline.growth import growth
from mmseg_infopro.report.pipeline.race import (
    measured_link,
    measured_stages,
    race_rows,
)
from mmseg_infopro.report.pipeline.trace import bars_of, draw_trace, time_shares
from mmseg_infopro.report.pipeline.turns import LINK_BYTES, WAYS, Turn


def turn(seconds: float, grown: int | None = None, count: int = 3, **kwargs) -> Turn:
    begins = [100 + seconds * number for number in range(count)]
    ends = [begin + seconds for begin in begins]
    return Turn(begins, ends, grown_bytes=grown, **kwargs)


def turns_of_a_race() -> dict[str, list[list[Turn]]]:
    """Two processes, one round: modules of 3 and 2 seconds, the first after 1 of which it sends."""
    first, second = turn(3.0, forwards=[1.0, 1.0, 1.0]), turn(2.0)
    return {
        'link': [[turn(0.5), turn(0.25)]],
        'pipeline': [[turn(3.0, 70), turn(3.1, 50, border_bytes=800)]],
        'side by side': [[first, second]],
        'one process': [[turn(5.0, 90), Turn(grown_bytes=1)]],
        'e2e, one process': [[turn(4.0, 120), Turn()]],
        'e2e, data parallel': [[turn(4.0), turn(4.0)]],
    }


def test_each_way_has_its_speed():
    rows = {row.way: row for row in race_rows(turns_of_a_race(), 6, 2, gradient_bytes=0)}
    assert list(rows) == [way for way in WAYS if way != 'link']
    speeds = {way: row.images_per_second for way, row in rows.items()}
    assert speeds['pipeline'] == pytest.approx(6 / 3.1)  # its last process ends batches
    assert speeds['side by side'] == pytest.approx(6 / 3.0)  # the slowest one counts
    assert speeds['one process'] == pytest.approx(6 / 5.0)
    assert speeds['e2e, data parallel'] == pytest.approx(2 * 6 / 4.0)
    assert rows['pipeline'].grown_bytes == (70, 50)
    assert rows['one process'].grown_bytes == (90, None)


def test_what_is_simulated_is_made_of_what_was_measured():
    turns = turns_of_a_race()
    link = measured_link(turns)
    assert link.bytes_per_second == LINK_BYTES / 0.25
    first, last = measured_stages(turns)
    assert (first.forward, first.backward, first.border_bytes) == (1.0, 2.0, 800)
    assert (last.forward, last.backward, last.border_bytes) == (0.0, 2.0, 0)
    rows = {row.way: row for row in race_rows(turns, 6, 2, gradient_bytes=LINK_BYTES)}
    assert rows['pipeline'].simulated == pytest.approx(6 / 3.0)
    # Of two processes each sends, and gets, as many bytes as there are gradients.
    assert rows['e2e, data parallel'].simulated == pytest.approx(2 * 6 / 4.25)
    assert rows['one process'].simulated is None


def test_a_process_computes_when_it_does_nothing_else(tmp_path: Path):
    busy = Turn([0.0, 10.0], [10.0, 20.0], events=[('wait', 1.0, 3.0), ('send', 12.0, 13.0)])
    assert bars_of(busy) == {
        'compute': [(0.0, 1.0), (3.0, 7.0), (10.0, 2.0), (13.0, 7.0)],
        'wait': [(1.0, 2.0)],
        'send': [(12.0, 1.0)],
    }
    assert time_shares(busy) == pytest.approx(dict(compute=0.85, wait=0.1, send=0.05))
    draw_trace([busy, busy], tmp_path / 'trace.png', 'a title')
    assert Image.open(tmp_path / 'trace.png').width > 800


@pytest.mark.skipif(not growing.CLEAR.exists(), reason='only Linux tells')
def test_a_process_grows_by_what_it_held_at_most():
    with growth('cpu') as grown:
        held = torch.ones(2**24)  # 64 MiB
        del held
    # Linux counts pages in batches, thread by thread.
    assert 2**26 - 2**20 <= grown.num_bytes < 2**26 + 2**24


def test_where_nothing_tells_there_is_no_growth(monkeypatch, tmp_path):
    monkeypatch.setattr(growing, 'CLEAR', tmp_path / 'no folder' / 'clear_refs')
    with growth('cpu') as grown:
        pass
    assert grown.num_bytes is None
