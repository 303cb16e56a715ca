"""The scenes behind the clips, with their exact optical flow and occlusion.

>>> from sample_videos.scenes import scene
>>> harbor = scene("harbor")
>>> harbor.frame(0).shape, harbor.flow(0, 10).shape, harbor.occlusion(0, 10).shape
((360, 640, 3), (360, 640, 2), (360, 640))
"""

from functools import cache

from sample_videos import harbor, street
from sample_videos.layers import FPS, FRAMES, HEIGHT, WIDTH, Scene

__all__ = ["FPS", "FRAMES", "HEIGHT", "WIDTH", "Scene", "scene"]

_SCENES = {"harbor": harbor.scene, "street": street.scene}


@cache
def scene(name: str) -> Scene:
    """The scene of the clip ``name``; painting its textures takes a few seconds, once.

    Raises:
        ValueError: there is no such clip.
    """
    if name not in _SCENES:
        raise ValueError(f"no scene is called {name!r}; there are: {', '.join(_SCENES)}")
    return _SCENES[name]()
