"""The command ``infopro``: what it knows, and that it ends as its tools do."""

import subprocess
import sys
from argparse import ArgumentParser
from pathlib import Path

import pytest

from infopro import command, options, words
from infopro.command import TOOLS
from infopro.naming import call_of, this_call
from mmseg_infopro.commands import train
from mmseg_infopro.config.methods import METHODS
from mmseg_infopro.config.recipe_costs import help_table
from mmseg_infopro.config.recipes import RECIPES
from mmseg_infopro.config.typed_settings import read_settings
from mmseg_infopro.datasets.streets import StreetSettings
from mmseg_infopro.local.infopro_heads import TASK
from mmseg_infopro.planning.device import DEVICES
from mmseg_infopro.planning.simulation.links import LINKS

ROOT = Path(__file__).parents[1]
LIGHT = """
import contextlib, io, runpy, sys
from pathlib import Path

heavy = 'mmengine', 'mmcv', 'mmseg', 'mmseg_infopro', 'numpy', 'torch'

class Refuse:
    def find_spec(self, name, *rest):
        assert name.partition('.')[0] not in heavy, name

sys.meta_path.insert(0, Refuse())
tools = sorted(Path('tools').glob('*.py'))
for tool in tools:
    for arguments, status in (['--help'], 0), (['--no-such-option'], 2):
        if tool.stem == 'launch' and status:  # torchrun's arguments are torch's
            continue
        sys.argv = [str(tool), *arguments]
        said = io.StringIO()
        try:
            with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
                runpy.run_path(str(tool), run_name='__main__')
        except SystemExit as end:
            assert end.code == status, (tool, end.code)
        if status:
            assert said.getvalue().startswith('error: '), tool
            assert len(said.getvalue().splitlines()) == 1, tool
        else:
            assert said.getvalue().startswith('usage: '), tool
print(len(tools), 'tools')
"""
"""Asks every tool for help, and makes a mistake with each, where nothing heavy can be imported."""
COMPLETE = """
COMP_WORDS=("$@")
COMP_CWORD=$(($# - 1))
COMP_LINE="$*"
COMP_POINT=${#COMP_LINE}
_shtab_infopro
printf '%s\\n' "${COMPREPLY[@]}"
"""
"""Completes what it is called with, as bash does when Tab is pressed."""
INTERNAL = {'combinations', 'coverage', 'launch', 'methods', 'recipes'}
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
    assert {module for module, _ in TOOLS.values()} == tools - INTERNAL


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


def test_a_command_gets_its_arguments_and_gives_its_status(run, monkeypatch):
    seen = []
    monkeypatch.setattr(train, 'main', lambda args: seen.append(args) or 3)
    status, _ = run('train', 'a.py', '--amp', '--cfg-options', 'a.b=1', 'c=[1,2]')
    assert status == 3
    assert (seen[0].config, seen[0].amp, seen[0].force) == ('a.py', True, False)
    assert read_settings(seen[0].cfg_options) == {'a.b': 1, 'c': [1, 2]}


def test_a_tools_own_help_names_the_command(run, capfd):
    with pytest.raises(SystemExit) as end:
        run('doctor', '--help')
    assert end.value.code == 0
    assert capfd.readouterr().out.startswith('usage: infopro doctor ')


def test_help_and_mistakes_import_nothing_heavy():
    done = subprocess.run([sys.executable, '-c', LIGHT], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.splitlines()[-1] == f'{len(list((ROOT / "tools").glob("*.py")))} tools'


def test_words_are_those_of_the_package():
    assert tuple(METHODS) == words.METHODS
    assert tuple(TASK) == words.HEADS
    assert tuple(DEVICES) == words.DEVICES
    assert tuple(LINKS) == words.LINKS
    assert tuple(words.RECIPES) == tuple(RECIPES)
    assert options.COSTS.read_text() == help_table() + '\n', 'run python tools/recipes.py'


@pytest.mark.parametrize(
    ('typed', 'offered'),
    [
        ('infopro t', {'train', 'test'}),
        ('infopro train --num', {'--num-modules'}),
        ('infopro train a.py --method d', {'dgl', 'deep_supervision'}),
        ('infopro report ', {'run/'}),
        ('infopro train c', {'config.py'}),
        ('infopro completion z', {'zsh'}),
    ],
)
def test_bash_completes(run, tmp_path, typed, offered):
    status, output = run('completion', 'bash')
    assert status == 0
    (tmp_path / 'script.sh').write_text(output.out + COMPLETE)
    (tmp_path / 'run').mkdir()
    (tmp_path / 'config.py').touch()
    done = subprocess.run(
        ['bash', 'script.sh', *typed.split(' ')],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert {word.replace('run', 'run/') for word in done.stdout.split()} == offered


@pytest.mark.parametrize('shell', ['zsh', 'fish', 'tcsh'])
def test_other_shells_get_every_command(run, shell):
    status, output = run('completion', shell)
    assert status == 0
    assert all(name in output.out for name in TOOLS)


def test_a_shell_that_is_unknown(run, capfd):
    with pytest.raises(SystemExit, match='2'):
        run('completion', 'bush')
    assert "invalid choice: 'bush'" in capfd.readouterr().err


@pytest.mark.parametrize('module', ['make_streets', 'demo'])
def test_scenes_are_drawn_by_default_as_the_package_draws_them(module):
    parser = options.fill_parser(ArgumentParser(), module)
    default, scenes = parser.parse_known_args(['--out', 'streets'])[0], StreetSettings()
    height, width = getattr(default, 'size', None) or (default.height, default.width)
    assert (default.train, default.val) == (scenes.train, scenes.val)
    assert (height, width) == (scenes.height, scenes.width)


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
