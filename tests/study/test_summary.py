"""Records become rows; what does not belong together is not mixed."""

import json

import pytest

from mmseg_infopro.study.figures import class_figure, depth_figure, memory_figure
from mmseg_infopro.study.record import class_ious
from mmseg_infopro.study.summary import read_records, summarize
from mmseg_infopro.study.tables import comma_separated, markdown


def record(way, seed, found, code='abc', **changes):
    """A run on 20 frames with two classes of 100 pixels each, of which some are found."""
    counts = dict(
        classes=['road', 'sky'],
        intersections=[[found, found]] * 20,
        unions=[[100, 100]] * 20,
    )
    ious = [float(found)] * 2
    return (
        dict(
            bed='bed',
            way=way,
            seed=seed,
            code=code,
            config=f'of {way}',
            validations=[dict(iteration=10, mIoU=float(found), class_ious=ious)],
            counts=counts,
            predicted_peak=100 if way == 'e2e' else 40,
            flops=1000 if way == 'e2e' else 1020,
            timing=dict(seconds_per_step=1.0 if way == 'e2e' else 1.1),
        )
        | changes
    )


RECORDS = [
    *(record('e2e', seed, 50 + seed) for seed in range(3)),
    *(record('dgl:4', seed, 45 + seed) for seed in range(3)),
    record('infopro/paper:4', 0, 50),
]


def write(folder, records):
    for number, one in enumerate(records):
        (folder / f'{number}.json').write_text(json.dumps(one))
    return folder


def test_rows_hold_means_spreads_and_differences_by_seed():
    rows = {row.way.word: row for row in summarize(RECORDS)}
    assert list(rows) == ['e2e', 'dgl:4', 'infopro/paper:4']
    dgl = rows['dgl:4']
    assert (dgl.mean, dgl.deviation, dgl.peak_share) == (46, 1, 0.4)
    assert dgl.extra_flops == pytest.approx(0.02)
    # Every seed differs by five points, and every frame too.
    assert (dgl.by_seeds.low, dgl.by_frames.high, dgl.verdict) == (-5, -5, 'worse')
    assert rows['infopro/paper:4'].verdict == 'too few seeds'
    assert rows['e2e'].verdict == ''


def test_the_table_has_every_figure():
    lines = markdown(summarize(RECORDS)).splitlines()
    assert lines[3] == (
        '| dgl | 4 | 46.00 ± 1.00 | 3 | -5.00 [-5.00, -5.00] | -5.00 [-5.00, -5.00] | worse '
        '| 40.0% | +2.0% | 1.10 |'
    )
    assert comma_separated(summarize(RECORDS)).splitlines()[-1] == (
        'infopro/paper:4,4,0,50.0000,0.4000,0.0200,1.1000,abc'
    )


def test_the_pictures_have_every_way():
    rows = summarize(RECORDS)
    for figure in (memory_figure(rows), class_figure(rows, ['road', 'sky'])):
        labels = [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
        assert any(label.startswith('infopro/paper') for label in labels)
    looks = [
        {line.get_label(): line[0].get_color() for line in figure.axes[0].containers}
        for figure in (memory_figure(rows), depth_figure(rows))
    ]
    assert looks[1].items() <= looks[0].items()
    assert [tick for tick in depth_figure(rows).axes[0].get_xticks()] == [4]


def test_runs_that_do_not_belong_together_are_refused_or_marked(tmp_path):
    write(tmp_path, [*RECORDS, record('dgl:6', 0, 40, code='def')])
    with pytest.raises(ValueError, match='mixes states of the project: abc, def; --mixed'):
        read_records(tmp_path)
    assert 'Of several states' in markdown(summarize(read_records(tmp_path, mixed=True)))
    write(tmp_path, [*RECORDS[:1], record('e2e', 1, 40, config='another')])
    (tmp_path / '7.json').unlink()
    for number in range(2, 7):
        (tmp_path / f'{number}.json').unlink()
    with pytest.raises(ValueError, match='the runs of e2e are of 2 configs'):
        read_records(tmp_path)


@pytest.mark.parametrize(
    ('text', 'message'), [('{"way"', 'is not JSON'), ('{"way": "e2e"}', 'it lacks bed, seed')]
)
def test_a_broken_record_is_named(tmp_path, text, message):
    (tmp_path / 'x.json').write_text(text)
    with pytest.raises(ValueError, match=message):
        read_records(tmp_path)


def test_without_records_or_reference_there_is_nothing_to_say(tmp_path):
    with pytest.raises(ValueError, match='holds no record'):
        read_records(tmp_path)
    with pytest.raises(ValueError, match='there is no run of e2e'):
        summarize(RECORDS[3:])


def test_a_class_that_nobody_has_has_no_iou():
    counts = dict(intersections=[[1, 0], [2, 0]], unions=[[2, 0], [4, 0]])
    assert class_ious(counts) == [50.0, None]
