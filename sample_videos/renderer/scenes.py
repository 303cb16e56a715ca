"""The scenes of the clips, with their exact optical flow and occlusions.

>>> from sample_videos.renderer.scenes import scene
>>> harbor = scene("harbor")
>>> harbor.frame(0).shape, harbor.flow(0, 10).shape, harbor.occlusion(0, 10).shape
((360, 640, 3), (360, 640, 2), (360, 640))
"""

from functools import cache

from sample_videos.renderer import harbor, street
from sample_videos.renderer.layers import FPS, FRAMES, HEIGHT, WIDTH, Scene

__all__ = ["FPS", "FRAMES", "HEIGHT", "WIDTH", "Scene", "scene"]

_SCENES = {"harbor": harbor.scene, "street": street.scene}


@cache
def scene(name: str) -> Scene:
    """Return the scene of the clip ``name``; drawing its textures takes a few seconds, once.

    Raises:
        ValueError: there is no such clip.
    """
    if name not in _SCENES:
        raise ValueError(f"no scene is called {name!r}; choose one of {', '.join(_SCENES)}")
    return _SCENES[name]()
