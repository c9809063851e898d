"""Two trainings beside each other, from what they left."""

import json

from mmengine.registry import DefaultScope

from mmseg_infopro.report.run_files import read_run
from mmseg_infopro.study import side_by_side
from mmseg_infopro.study.side_by_side import comparison_table, majority_line, predictions_figure


def test_the_table_has_both_runs_and_their_ratios(tmp_path, monkeypatch):
    monkeypatch.setattr(side_by_side, 'resolve', lambda cfg: cfg)
    peaks = iter([8 * 2**30, 2 * 2**30])
    monkeypatch.setattr(side_by_side, 'config_peak', lambda cfg: Peak(next(peaks)))
    files = {}
    for name, score, peak, seconds in ('both', 30.0, 4 * 2**20, 0.2), ('cut', 31.0, 2**20, 0.3):
        record = dict(
            validations=[dict(mIoU=1.0), dict(mIoU=score)],
            predicted_peak=peak,
            timing=dict(seconds_per_step=seconds),
        )
        files[name] = tmp_path / f'{name}.json'
        files[name].write_text(json.dumps(record))
    calls = []
    table = comparison_table(files, lambda: calls.append(1))
    assert [list(column.cells) for column in table.columns[1:]] == [
        ['30.0 %', '4.00 MiB', '0.200 s', '8.00 GiB'],
        ['31.0 %', '1.00 MiB', '0.300 s', '2.00 GiB'],
        ['', '25.0%', '150.0%', '25.0%'],
    ]
    assert len(calls) == 2


class Peak:
    def __init__(self, total):
        self.total = total


def test_the_picture_has_both_predictions(trained, streets):
    run = read_run(trained.work_dir)
    with DefaultScope.overwrite_default_scope('mmseg'):
        figure = predictions_figure({'end to end': run, 'local modules': run})
        said = majority_line(streets, run.cfg)
    titles = [axis.get_title() for axis in figure.axes if axis.get_title()]
    assert titles == ['image', 'ground truth', 'end to end', 'local modules']
    assert said.startswith('to compare: mIoU is ')
