"""Configs: read, edited, made local, and resolved to boundaries before a Runner exists."""

from . import presets, scopes

__all__ = ['presets', 'scopes']
