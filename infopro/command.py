"""One command for all: ``infopro train CONFIG``, in a checkout ``python tools/train.py CONFIG``.

Arguments are parsed before anything heavy is imported, so that help and mistakes take no time.
"""

from __future__ import annotations

import sys
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from difflib import get_close_matches
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import NoReturn

from .options import fill_parser

TOOLS = {
    'demo': ('demo', 'train on drawn street scenes, end to end and in local modules'),
    'doctor': ('doctor', 'say what is installed, and what would fail'),
    'streets': ('make_streets', 'draw street scenes to try everything on'),
    'prepare': ('prepare_cityscapes', 'check a Cityscapes tree and make its masks'),
    'fit': ('fit', 'say what fits a memory cap, and what to use'),
    'memory': ('memory', 'show where the memory of a step goes'),
    'localize': ('localize', 'write the local form of any config'),
    'train': ('train', 'train in local modules, or end to end'),
    'report': ('report', 'show a run in one HTML file'),
    'test': ('test', 'evaluate a checkpoint'),
    'export': ('export', 'write a plain mmsegmentation checkpoint and config'),
    'benchmark': ('benchmark', 'compare ways to train: memory, compute, time'),
    'pipeline': ('pipeline', 'simulate local modules on several devices'),
    'study': ('study', 'train a grid of ways and seeds, and say what differs'),
    'probe': ('probe', 'show what each unit of a trained network knows'),
    'gpu-report': ('gpu_report', 'measure on a GPU what was predicted'),
}
"""By command: its module, in ``infopro.parsers`` and ``mmseg_infopro.commands``; what it does."""

HOW_TO_COMPLETE = """Print a script that lets a shell complete commands, options and files.

Example:
    infopro completion bash > ~/.local/share/bash-completion/completions/infopro
    infopro completion zsh > ~/.zsh/completions/_infopro  # a folder of fpath, before compinit
    infopro completion fish > ~/.config/fish/completions/infopro.fish
"""


class Parser(ArgumentParser):
    """Answers a mistake with one sentence, and no usage above it."""

    def error(self, message: str) -> NoReturn:
        """End the process, with status 2."""
        self.exit(2, f'error: {message}; try {self.prog} --help\n')


def main() -> int:
    """Run the command that is named first; return its exit status."""
    name, *arguments = sys.argv[1:] or ['--help']
    if name in ('-h', '--help'):
        print(usage())
        return 0
    if name == '--version':
        print(f'mmseg_infopro {version("mmseg-infopro")}')
        return 0
    sys.argv = [f'infopro {name}', *arguments]
    if name == 'completion':
        return print_completion()
    if name not in TOOLS:
        near = get_close_matches(name, [*TOOLS, 'completion'], 1)
        hint = f'; did you mean {near[0]}?' if near else ''
        print(f'error: {name!r} is no command: {", ".join(TOOLS)}{hint}', file=sys.stderr)
        return 2
    return run(TOOLS[name][0])


def run(module: str) -> int:
    """Run a command with the arguments of this process; return its exit status.

    Args:
        module: Its name in ``infopro.parsers`` and ``mmseg_infopro.commands``.
    """
    called = sys.argv[0] if sys.argv[0].startswith('infopro ') else Path(sys.argv[0]).name
    args = fill_parser(Parser(prog=called), module).parse_args()
    try:
        commands = import_module(f'mmseg_infopro.commands.{module}')
    except ImportError as error:
        print(f'error: {error}', file=sys.stderr)
        return 2
    return int(commands.main(args))


def print_completion() -> int:
    """Print the script of a shell."""
    from .completion import add_arguments, completion

    parser = Parser(prog='infopro completion', description=HOW_TO_COMPLETE)
    parser.formatter_class = RawDescriptionHelpFormatter
    add_arguments(parser)
    print(completion(parser.parse_args().shell, TOOLS))
    return 0


def usage() -> str:
    """Return what the command can do."""
    lines = [f'  {name:11}{summary}' for name, (_, summary) in TOOLS.items()]
    return '\n'.join(
        [
            'usage: infopro COMMAND ...',
            '',
            'Train segmentation networks under a memory cap, in local modules.',
            '',
            *lines,
            '',
            'infopro COMMAND --help says more, with an example; infopro --version which this is;',
            'infopro completion bash (zsh, fish ...) what lets a shell complete all of this.',
            'First steps: infopro doctor; infopro fit CONFIG --cap 11GiB; infopro train CONFIG',
        ]
    )
