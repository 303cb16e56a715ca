"""The network of live frames: styles, cores and engines, for one session or for several viewers in turn."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from pipeline.config import Stability, StylizeConfig
from pipeline.live.stylize.engine_builder import EngineBuilder, fast_engines
from pipeline.live.stylize.engine_pool import EnginePool
from pipeline.live.stylize.style_mixer import StyleMixer
from pipeline.stylize.engine.bounded_engine import BuildEngine
from pipeline.stylize.frame_stylizer import FrameStylizer

if TYPE_CHECKING:
    import torch


class LiveNetwork:
    """A network that stylizes one frame at a time with all cores; all methods but `close` are called in one thread.

    Args:
        config: device, engine and the rest of the settings; styles and strength are those of each frame.
        mixer: the styles.
        notify: called with each message for the user, one line; from any thread.
        build: builds an engine; `models.engines.build.build_engine` by default.

    Attributes:
        mixer: the styles.
        engines: the engines of each working size.
        device: where the network runs.

    Raises:
        DeviceError: the device, the precision or the engine is not available.
    """

    def __init__(
        self,
        config: StylizeConfig,
        mixer: StyleMixer,
        notify: Callable[[str], None],
        *,
        build: BuildEngine | None = None,
    ) -> None:
        core = FrameStylizer(mixer.network, config, notify)
        self.mixer = mixer
        self.device: torch.device = core.device
        self.engines = EnginePool(EngineBuilder(core, build), fast_engines(core.device, config.engine), notify)
        self._core = core

    def core(self, stability: Stability | None = None) -> FrameStylizer:
        """Return what stylizes frames with this stability; None takes that of the config."""
        return self._core if stability is None else self._core.with_stability(stability)

    def use_this_thread(self) -> None:
        """Prepare the calling thread; torch's number of threads is a setting of each thread."""
        import torch

        torch.set_num_threads(self._core.cores)

    def close(self) -> None:
        """Stop preparing engines in the background."""
        self.engines.close()
