"""Runs ``mmseg_infopro/commands/make_streets.py``; ``--help`` says what it does."""

import sys

from infopro.command import run

if __name__ == '__main__':
    sys.exit(run('make_streets'))
