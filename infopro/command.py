"""One command for all tools: ``infopro train CONFIG`` is ``python tools/train.py CONFIG``."""

from __future__ import annotations

import sys
from difflib import get_close_matches
from importlib.metadata import version
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

TOOLS = {
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
"""By command: the tool's file, and what it does."""


def main() -> int:
    """Run the tool that the command line names; return its exit status."""
    name, *arguments = sys.argv[1:] or ['--help']
    if name in ('-h', '--help'):
        print(usage())
        return 0
    if name == '--version':
        print(f'mmseg_infopro {version("mmseg-infopro")}')
        return 0
    if name not in TOOLS:
        near = get_close_matches(name, TOOLS, 1)
        hint = f'; did you mean {near[0]}?' if near else ''
        print(f'error: {name!r} is no command: {", ".join(TOOLS)}{hint}', file=sys.stderr)
        return 2
    sys.argv = [f'infopro {name}', *arguments]
    return int(load(tool_file(TOOLS[name][0])).main())


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
            'infopro COMMAND --help says more, with an example; infopro --version which this is.',
            'First steps: infopro doctor; infopro fit CONFIG --cap 11GiB; infopro train CONFIG',
        ]
    )


def tool_file(name: str) -> Path:
    """Return a tool's file, without importing the package that it comes with."""
    package = find_spec('mmseg_infopro')
    if package is None or not package.submodule_search_locations:
        raise ImportError('infopro comes with mmseg_infopro, which is not installed')
    return Path(package.submodule_search_locations[0], '.mim', 'tools', f'{name}.py')


def load(file: Path) -> ModuleType:
    """Import a tool from its file."""
    spec = spec_from_file_location(f'infopro.tools.{file.stem}', file)
    if spec is None or spec.loader is None:
        raise ImportError(f'{file} cannot be imported')
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
