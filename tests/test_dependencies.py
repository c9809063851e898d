"""One clear sentence when mmengine, mmcv or mmseg is missing or installed twice."""

import logging
import subprocess
import sys
import warnings
from importlib.metadata import PackageNotFoundError

import pytest

from mmseg_infopro import dependencies
from mmseg_infopro.dependencies import quiet_imports, quiet_warnings, require_mmseg


def pretend_installed(monkeypatch: pytest.MonkeyPatch, *distributions: str) -> None:
    def version(name: str) -> str:
        if name not in distributions:
            raise PackageNotFoundError(name)
        return '1.0'

    monkeypatch.setattr(dependencies, 'version', version)


def test_importing_without_mmseg_says_what_to_install() -> None:
    script = 'import sys; sys.modules.update(mmengine=None, mmcv=None, mmseg=None)\n'
    result = subprocess.run(
        [sys.executable, '-c', script + 'import mmseg_infopro'], capture_output=True, text=True
    )
    assert result.returncode == 1
    assert result.stderr.splitlines()[-1] == (
        'ImportError: mmseg_infopro needs mmengine, mmcv and mmseg, but mmengine, mmcv and mmseg '
        'are not installed: run `pip install mmseg-infopro[onedl]`.'
    )


def test_imports_log_no_warnings_that_nobody_can_act_on() -> None:
    logger = logging.getLogger('bitsandbytes.backends.cpu.ops')
    with quiet_imports():
        assert not logger.isEnabledFor(logging.WARNING)
        assert logger.isEnabledFor(logging.ERROR)
    assert logger.isEnabledFor(logging.WARNING)


def test_only_what_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, 'mmcv', None)
    with pytest.raises(ImportError, match='but mmcv is not installed: run `pip install'):
        require_mmseg()


@pytest.mark.parametrize(
    'pair',
    [
        ('onedl-mmengine', 'mmengine'),
        ('onedl-mmcv', 'mmcv-lite'),
        ('onedl-mmsegmentation', 'mmsegmentation'),
    ],
)
def test_two_providers_of_one_module_are_an_error(
    monkeypatch: pytest.MonkeyPatch, pair: tuple[str, str]
) -> None:
    pretend_installed(monkeypatch, 'onedl-mmengine', *pair)
    with pytest.raises(ImportError, match=f'{pair[0]} and {pair[1]} provide the same module'):
        require_mmseg()


@pytest.mark.parametrize(
    'installed',
    [
        ('onedl-mmengine', 'onedl-mmcv', 'onedl-mmsegmentation'),
        ('mmengine', 'mmcv', 'mmsegmentation'),
        (),  # source checkouts on the path
    ],
)
def test_one_set_is_accepted(monkeypatch: pytest.MonkeyPatch, installed: tuple[str, ...]) -> None:
    pretend_installed(monkeypatch, *installed)
    require_mmseg()


def test_what_importing_prints_is_hushed_if_nobody_can_act_on_it(capsys):
    with pytest.warns(UserWarning, match='anything else') as caught, quiet_imports():
        print('Could not import OneDL')
        print('something to read')
        warnings.warn('Fail to import ``MultiScaleDeformableAttention`` from mmcv', stacklevel=1)
        warnings.warn('anything else', stacklevel=1)
    assert capsys.readouterr().out == 'something to read\n'
    assert len(caught) == 1


def test_warnings_of_upstream_are_logged_and_the_users_are_shown_too(capsys):
    logged = []
    with quiet_warnings(lambda text, file, line: logged.append((file, line))):
        warnings.simplefilter('always')
        warnings.warn_explicit('old', UserWarning, '/x/site-packages/mmseg/heads.py', 3)
        warnings.warn_explicit('mine', UserWarning, '/home/me/head.py', 4)
    shown = capsys.readouterr().err
    assert 'mine' in shown and 'old' not in shown
    assert logged == [('/x/site-packages/mmseg/heads.py', 3), ('/home/me/head.py', 4)]
