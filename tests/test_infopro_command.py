"""The command ``infopro``: what it knows, and that it ends as its tools do."""

import subprocess
import sys
from pathlib import Path

import pytest

from infopro import command
from infopro.command import TOOLS, tool_file
from infopro.naming import call_of, this_call

ROOT = Path(__file__).parents[1]
INTERNAL = {'combinations', 'coverage', 'demo', 'launch', 'methods', 'recipes'}
"""Tools for a clone of the repository: they make its pages, or start other tools."""


@pytest.fixture
def run(monkeypatch, capfd):
    def infopro(*arguments):
        monkeypatch.setattr(sys, 'argv', ['infopro', *arguments])
        status = command.main()
        return status, capfd.readouterr()

    return infopro


def test_every_tool_for_users_has_a_command():
    tools = {path.stem for path in (ROOT / 'tools').glob('*.py')}
    assert {file for file, _ in TOOLS.values()} == tools - INTERNAL
    assert all(tool_file(file).is_file() for file, _ in TOOLS.values())


@pytest.mark.parametrize('arguments', [(), ('--help',), ('-h',)])
def test_help_lists_all_commands(run, arguments):
    status, output = run(*arguments)
    assert status == 0
    assert all(f'  {name} ' in output.out for name in TOOLS)


def test_a_command_that_does_not_exist(run):
    status, output = run('trian', 'config.py')
    assert status == 2
    assert output.err.count('\n') == 1
    assert "error: 'trian' is no command" in output.err and 'did you mean train?' in output.err


def test_a_tool_gets_its_arguments_and_gives_its_status(run, monkeypatch, tmp_path):
    tool = tmp_path / 'tool.py'
    tool.write_text('import sys\n\n\ndef main():\n    print(*sys.argv)\n    return 3\n')
    monkeypatch.setattr(command, 'tool_file', lambda name: tool)
    status, output = run('train', 'a.py', '--amp')
    assert (status, output.out) == (3, 'infopro train a.py --amp\n')


def test_a_tools_own_help_names_the_command(run, capfd):
    with pytest.raises(SystemExit) as end:
        run('doctor', '--help')
    assert end.value.code == 0
    assert capfd.readouterr().out.startswith('usage: infopro doctor ')


def test_nothing_heavy_is_imported_before_a_tool_runs():
    script = (
        'import sys; from infopro.command import main; sys.argv = ["infopro", "--help"]; main(); '
        'heavy = {"torch", "numpy", "mmengine", "mmseg_infopro"} & set(sys.modules); '
        'assert not heavy, heavy'
    )
    subprocess.run([sys.executable, '-c', script], cwd=ROOT, check=True, capture_output=True)


@pytest.mark.parametrize(
    ('program', 'train', 'typed'),
    [
        ('infopro fit', 'infopro train', 'infopro fit a.py'),
        ('/a/checkout/tools/fit.py', 'python tools/train.py', 'python tools/fit.py a.py'),
    ],
)
def test_advice_names_tools_as_this_one_was_called(monkeypatch, program, train, typed):
    monkeypatch.setattr(sys, 'argv', [program, 'a.py'])
    assert (' '.join(call_of('train')), ' '.join(this_call())) == (train, typed)
