"""A run is read off its work dir, however it ended."""

import json

import pytest

from mmseg_infopro.report.run_files import read_run

TABLE = """2026/11/26 19:09:35 - mmengine - INFO - per class results:
+-------+-------+------+
| Class |  IoU  | Acc  |
+-------+-------+------+
|  sky  | {sky} | 99.0 |
|  road |  nan  | nan  |
+-------+-------+------+
"""


def log(work_dir, name, lines, table=''):
    folder = work_dir / name / 'vis_data'
    folder.mkdir(parents=True)
    (folder / 'scalars.json').write_text('\n'.join(lines))
    (work_dir / name / f'{name}.log').write_text(table)


def iteration(step, loss):
    return json.dumps(dict(step=step, loss=loss, time=0.1))


@pytest.fixture
def work_dir(tmp_path):
    (tmp_path / 'config.py').write_text("model = dict(type='EncoderDecoder')\n")
    return tmp_path


def test_a_resume_takes_the_place_of_what_it_went_back_behind(work_dir):
    validation = json.dumps(dict(step=4, mIoU=20.0))
    first = [iteration(2, 5.0), iteration(4, 4.0), validation, iteration(6, 3.0)]
    log(work_dir, '20260101_000000', first, TABLE.format(sky='10.0'))
    log(work_dir, '20260101_000001', [iteration(4, 9.0), '{"step": 6, "lo'])
    for name in ('iter_10.pth', 'iter_4.pth'):
        (work_dir / name).touch()
    run = read_run(work_dir)
    assert {step: record['loss'] for step, record in run.training.items()} == {2: 5.0, 4: 9.0}
    assert run.validations == {}
    assert run.class_ious == {'sky': 10.0}
    assert run.checkpoints == ('iter_4.pth', 'iter_10.pth')


def test_the_last_table_of_classes_and_the_last_picture_count(work_dir):
    tables = TABLE.format(sky='10.0') + TABLE.format(sky='30.5')
    log(work_dir, '20260101_000000', [iteration(2, 5.0)], tables)
    pictures = work_dir / '20260101_000000/vis_data/vis_image'
    pictures.mkdir()
    for step in (800, 1200):
        (pictures / f'validation_{step}.png').touch()
    run = read_run(work_dir)
    assert run.class_ious == {'sky': 30.5}
    assert [file.name for file in run.pictures] == ['validation_1200.png']


def test_what_is_no_run_is_a_sentence(work_dir, tmp_path):
    with pytest.raises(ValueError, match=r'has logged no iteration yet: it was stopped before'):
        read_run(work_dir)
    log(work_dir, '20260101_000000', ['{"st'])
    with pytest.raises(ValueError, match='has logged no iteration yet'):
        read_run(work_dir)
    with pytest.raises(ValueError, match='is not a folder'):
        read_run(tmp_path / 'nowhere')
    (tmp_path / 'empty').mkdir()
    with pytest.raises(ValueError, match='holds no config'):
        read_run(tmp_path / 'empty')


def test_the_config_of_a_later_evaluation_is_not_the_runs(work_dir):
    log(work_dir, '20260101_000000', [iteration(2, 5.0)])
    (work_dir / 'test_config.py').write_text("model = dict(type='SegTTAModel')\n")
    assert read_run(work_dir).cfg.model.type == 'EncoderDecoder'


def test_the_last_times_of_processes_count(work_dir):
    written = {}
    for number, name in enumerate(('20260101_000000', '20260101_000001')):
        log(work_dir, name, [iteration(2, 5.0)])
        written[name] = dict(iterations=[number, 9], processes=[])
        (work_dir / name / 'stage_times.json').write_text(json.dumps(written[name]))
    log(work_dir, '20260101_000002', [iteration(4, 4.0)])  # by one process
    assert read_run(work_dir).stage_times == written['20260101_000001']


def test_a_run_of_one_process_has_no_times_of_processes(work_dir):
    log(work_dir, '20260101_000000', [iteration(2, 5.0)])
    assert read_run(work_dir).stage_times is None
