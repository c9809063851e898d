"""Generated street scenes in the Cityscapes layout, with polygons for all 19 classes."""

from .tree import StreetSettings, draw_scene, scene_paths, write_streets

__all__ = ['StreetSettings', 'draw_scene', 'scene_paths', 'write_streets']
