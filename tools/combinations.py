"""Runs ``mmseg_infopro/commands/combinations.py``; ``--help`` says what it does."""

import sys

from infopro.command import run

if __name__ == '__main__':
    sys.exit(run('combinations'))
