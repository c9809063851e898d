"""Simulations against closed formulas."""

from dataclasses import replace
from itertools import pairwise

import pytest

from mmseg_infopro.planning.simulation.data_parallel import data_parallel
from mmseg_infopro.planning.simulation.end_to_end import (
    SCHEMES,
    end_to_end_pipeline,
    most_alive,
)
from mmseg_infopro.planning.simulation.links import LINKS, Link, find_link
from mmseg_infopro.planning.simulation.local_pipeline import local_pipeline
from mmseg_infopro.planning.simulation.stages import Stage

INSTANT = Link('instant', float('inf'))
EQUAL = Stage(forward=1.0, backward=2.0)


def stages(*seconds: float, border_bytes: int = 0) -> list[Stage]:
    """Return stages a third of whose step is the forward pass."""
    return [Stage(s / 3, s / 2, s / 6, border_bytes=border_bytes) for s in seconds]


@pytest.mark.parametrize('scheme', SCHEMES)
@pytest.mark.parametrize(('p', 'm'), [(2, 1), (2, 8), (4, 4), (8, 3), (16, 32)])
def test_end_to_end_pipelines_wait_as_long_as_the_formula_says(scheme, p, m):
    outcome = end_to_end_pipeline(scheme, [EQUAL] * p, 1, m, INSTANT)
    assert outcome.images_per_second == pytest.approx(m / ((m + p - 1) * 3.0))
    bubbles = [1 - share for share in outcome.utilisation]
    assert bubbles == pytest.approx([(p - 1) / (m + p - 1)] * p)


@pytest.mark.parametrize(('p', 'm'), [(2, 8), (4, 4), (8, 3), (8, 20)])
def test_activations_in_flight(p, m):
    for k in range(p):
        assert most_alive(SCHEMES['GPipe'](p, k, m)) == m
        assert most_alive(SCHEMES['1F1B'](p, k, m)) == min(p - k, m)
        for order in SCHEMES.values():  # every micro-batch goes forward, then backward, once
            done = order(p, k, m)
            assert sorted(done) == sorted(
                (kind, i) for kind in ('backward', 'forward') for i in range(m)
            )
            assert all(done.index(('forward', i)) < done.index(('backward', i)) for i in range(m))


def test_memory_of_an_end_to_end_pipeline():
    stage = Stage(
        1, 2, border_bytes=5, gradient_bytes=10, fixed_bytes=100, saved_bytes=7, peak_bytes=9
    )
    gpipe = end_to_end_pipeline('GPipe', [stage] * 3, 1, 8, INSTANT)
    assert gpipe.peak_bytes == (100 + 10 + 9 + 7 * 7,) * 3
    by_turns = end_to_end_pipeline('1F1B', [stage] * 3, 1, 8, INSTANT)
    assert by_turns.peak_bytes == tuple(119 + alive * 7 for alive in (2, 1, 0))
    assert by_turns.largest_peak == 133


@pytest.mark.parametrize('n', [2, 3, 8])
def test_a_ring_moves_twice_nearly_all_bytes(n):
    link = Link('', 100.0, latency=0.25)
    assert link.all_reduce_seconds(300, n) == pytest.approx(
        2 * (n - 1) / n * 3 + 2 * (n - 1) * 0.25
    )
    outcome = data_parallel([Stage(1.0, 2.0, 0.5, gradient_bytes=300)], 4, n, link)
    seconds = 3.5 + link.all_reduce_seconds(300, n)  # one part: nothing overlaps
    assert outcome.images_per_second == pytest.approx(4 * n / seconds)
    assert outcome.utilisation == pytest.approx([3.5 / seconds] * n)


def test_averages_hide_behind_the_backward_pass_of_earlier_parts():
    link = Link('', 100.0)
    parts = [Stage(1.0, 2.0, gradient_bytes=50), Stage(1.0, 2.0, gradient_bytes=150)]
    outcome = data_parallel(parts, 1, 2, link)  # 1.5 s of the last part hide behind 2 s
    assert outcome.images_per_second == pytest.approx(2 / (6.0 + 0.5))
    alone = data_parallel(parts, 1, 1, link)
    assert alone.images_per_second == pytest.approx(1 / 6.0)


@pytest.mark.parametrize('seconds', [(3, 3), (3, 6), (6, 3), (1, 5, 2, 4), (2,) * 16])
def test_a_local_pipeline_is_as_fast_as_its_slowest_stage(seconds):
    outcome = local_pipeline(stages(*seconds), 8, INSTANT)
    assert outcome.images_per_second == pytest.approx(8 / max(seconds))
    assert outcome.utilisation == pytest.approx([s / max(seconds) for s in seconds])


def test_a_local_pipeline_fills_in_the_forward_passes_of_the_first_stages():
    outcome = local_pipeline([EQUAL] * 4, 1, INSTANT)
    starts = [outcome.spans['forward', k, 0].start for k in range(4)]
    assert starts == [0.0, 1.0, 2.0, 3.0]
    for k in range(4):  # and no stage ever waits after that
        own = [span for span in outcome.spans.values() if span.task.resource == k]
        spans = [span for span in own if span.task.seconds]
        assert all(later.start == earlier.end for earlier, later in pairwise(spans))


@pytest.mark.parametrize('in_flight', [1, 2, 5])
def test_a_fast_first_stage_runs_ahead_by_the_batches_in_flight_and_no_more(in_flight):
    spans = local_pipeline(stages(0.3, 3.0), 1, INSTANT, in_flight).spans
    batches = range(sum(name[:2] == ('take', 1) for name in spans))
    ahead = []
    for batch in batches:
        handed_on = spans['hand on', 0, batch].end
        arrived = sum(spans['send', 0, other].end <= handed_on for other in batches)
        ahead.append(batch + 1 - arrived)
    assert max(ahead) == in_flight


def test_replicas_add_up_and_wait_for_their_averages():
    link = Link('', 100.0)
    stage = Stage(1.0, 2.0, 0.5, gradient_bytes=300)
    outcome = local_pipeline([stage] * 2, 4, link, num_replicas=3, update_interval=2)
    waiting = link.all_reduce_seconds(300, 3) / 2
    assert outcome.images_per_second == pytest.approx(3 * 4 / (3.0 + 0.5 / 2 + waiting))
    assert outcome.scheme == 'local 2 x 3'


def test_a_slow_link_is_a_stage_too():
    link = Link('', 100.0, latency=0.5)
    outcome = local_pipeline(stages(3, 3, border_bytes=700), 1, link)
    # The next border begins to travel when the second stage is ready for it.
    assert outcome.images_per_second == pytest.approx(1 / (3.0 + 7.0 + 0.5))


def test_memory_of_a_local_pipeline():
    stage = Stage(1, 1, border_bytes=10, fixed_bytes=100, peak_bytes=40)
    outcome = local_pipeline([stage] * 3, 1, INSTANT, in_flight=2)
    assert outcome.peak_bytes == (160, 160, 160)
    alone = local_pipeline([stage, replace(stage, border_bytes=0)], 1, INSTANT, in_flight=3)
    assert alone.peak_bytes == (170, 140)


@pytest.mark.parametrize('scheme', ['local', 'data', *SCHEMES])
def test_a_faster_link_is_never_slower(scheme):
    parts = [replace(s, gradient_bytes=200) for s in stages(2, 3, 2, 4, border_bytes=60)]

    def speed(link: Link) -> float:
        if scheme == 'local':
            outcome = local_pipeline(parts, 2, link)
        elif scheme == 'data':
            outcome = data_parallel(parts, 2, 4, link)
        else:
            outcome = end_to_end_pipeline(scheme, parts, 2, 6, link)
        return round(outcome.images_per_second, 9)

    by_bandwidth = [speed(Link('', bandwidth, 0.01)) for bandwidth in (10, 30, 100, 1000)]
    assert by_bandwidth == sorted(by_bandwidth)
    assert by_bandwidth[0] < by_bandwidth[-1] <= speed(INSTANT)
    by_latency = [speed(Link('', 100, latency)) for latency in (2.0, 0.5, 0.0)]
    assert by_latency == sorted(by_latency)


def test_presets():
    assert find_link('25gbe').seconds(25e9 / 8) == pytest.approx(1.0)
    assert [link.source for link in LINKS.values() if not link.source] == []
    with pytest.raises(ValueError, match="no link named 'wifi'; valid: nvlink, pcie, 25gbe"):
        find_link('wifi')


def test_what_cannot_be_simulated():
    with pytest.raises(ValueError, match='in_flight must be at least 1, got 0'):
        local_pipeline([EQUAL] * 2, 1, INSTANT, in_flight=0)
