"""The device at hand is timed once."""

from mmseg_infopro.config import speeds
from mmseg_infopro.config.speeds import device_at_hand
from mmseg_infopro.files import cache
from mmseg_infopro.measure.work import Work


def test_speeds_are_measured_once_and_then_recalled(monkeypatch, tmp_path):
    monkeypatch.setenv(cache.VARIABLE, str(tmp_path))
    calls = []

    def measure_speeds(*args):
        calls.append(args)
        return 2e9, 5e8

    monkeypatch.setattr(speeds, 'measure_speeds', measure_speeds)
    monkeypatch.setattr(speeds.torch.cuda, 'is_available', lambda: False)
    first, again = device_at_hand(), device_at_hand()
    assert calls == [('cpu', None)]
    assert first == again
    assert first.seconds(Work(4 * 10**9, 10**9)) == 4.0
    assert 'threads' in first.name
