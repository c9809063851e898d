"""Say what is installed, which GPU there is, and what would fail.

Example:
    infopro doctor
"""

from __future__ import annotations

from argparse import ArgumentParser


def add_arguments(parser: ArgumentParser) -> None:
    """Add what the command takes: nothing."""
