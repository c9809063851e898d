"""Which runs of a study are made, and which are there."""

import json
import os
import signal
import site
import subprocess
import sys
import time

import pytest

from mmseg_infopro import __version__
from mmseg_infopro.report.way import Way
from mmseg_infopro.study.bed import Bed, Run
from mmseg_infopro.study.child import ends_with_parent
from mmseg_infopro.study.record import code_state, what_trains
from mmseg_infopro.study.running import SOURCE, Study, _import_path

RUN = Run(Way('e2e'), 0)


def study(folder, *options):
    bed = Bed(folder, 'config.py', {}, {'train_cfg.val_interval': 5})
    return Study(bed, folder, options)


def test_where_data_lies_does_not_change_what_is_trained():
    options = ['optim_wrapper.optimizer.lr=0.1', 'train_dataloader.dataset.data_root=elsewhere']
    assert what_trains([*options, 'train_dataloader.num_workers=0', 'a.b=1']) == [
        'a.b=1',
        'optim_wrapper.optimizer.lr=0.1',
    ]


def test_a_record_of_other_options_is_no_finished_run(tmp_path):
    assert not study(tmp_path).is_finished(RUN)
    record = dict(options=['train_cfg.val_interval=5'])
    (tmp_path / f'{RUN.name}.json').write_text(json.dumps(record))
    assert study(tmp_path, 'val_dataloader.dataset.data_root=elsewhere').is_finished(RUN)
    with pytest.raises(ValueError, match=r'with other options, which differ in train_cfg.max_it'):
        study(tmp_path, 'train_cfg.max_iters=9').is_finished(RUN)


@pytest.mark.skipif(sys.platform != 'linux', reason='only Linux tells a process of such an end')
def test_a_run_does_not_outlive_a_study_that_was_killed():
    read, write = os.pipe()
    study = os.fork()
    if study == 0:
        run = subprocess.Popen(['nice', 'sleep', '60'], preexec_fn=ends_with_parent())
        os.write(write, str(run.pid).encode())
        signal.pause()
    run = int(os.read(read, 20))
    os.kill(study, signal.SIGKILL)
    os.waitpid(study, 0)
    deadline = time.monotonic() + 30
    while state_of(run) not in ('Z', ''):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def state_of(process):
    """Return the letter of a process's state; nothing if there is none."""
    try:
        with open(f'/proc/{process}/stat') as file:
            return file.read().rpartition(')')[2].split()[0]
    except FileNotFoundError:
        return ''


def test_what_is_no_checkout_of_the_project_has_a_version(tmp_path):
    assert code_state(tmp_path) == f'version {__version__}'
    subprocess.run(['git', 'init', '-q', tmp_path], check=True)  # of something else
    assert code_state(tmp_path) == f'version {__version__}'


def test_runs_import_what_the_study_has_imported(monkeypatch):
    assert _import_path() == {'PYTHONPATH': str(SOURCE)}
    monkeypatch.setattr(site, 'getsitepackages', lambda: [str(SOURCE)])
    assert _import_path() == {}
