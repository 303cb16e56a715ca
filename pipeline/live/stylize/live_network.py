"""The network of live frames: styles, cores and engines, for one session or for several viewers in turn."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from pipeline.config import Stability, StylizeConfig
from pipeline.live.stylize.control.cost_file import read_costs, write_costs
from pipeline.live.stylize.control.costs import Costs
from pipeline.live.stylize.engine_builder import EngineBuilder, fast_engines
from pipeline.live.stylize.engine_pool import EnginePool
from pipeline.live.stylize.style_mixer import StyleMixer
from pipeline.stylize.engine.bounded_engine import MOST_WORKERS, BuildEngine
from pipeline.stylize.frame_stylizer import FrameStylizer

if TYPE_CHECKING:
    import torch


class LiveNetwork:
    """The network of one session, or of several viewers; all methods are called in one thread, where none says else.

    Args:
        config: device, engine and the rest of the settings; styles and strength are those of each frame.
        mixer: the styles.
        notify: called with each message for the user, one line; from any thread.
        build: builds an engine; `models.engines.build.build_engine` by default.

    Attributes:
        mixer: the styles.
        engines: the engines of each working size.
        device: where the network runs.
        most_workers: number of frames that may be stylized side by side; 1 if only one at a time.

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
        fast = fast_engines(core.device, config.engine)
        self.engines = EnginePool(EngineBuilder(core, build), fast, notify, is_given=config.engine != "auto")
        self.most_workers = min(core.cores, MOST_WORKERS) if core.device.type == "cpu" else 1
        self._core = core

    def core(self, stability: Stability | None = None) -> FrameStylizer:
        """Return what stylizes frames with this stability; None takes that of the config."""
        return self._core if stability is None else self._core.with_stability(stability)

    def use_this_thread(self, workers: int = 1) -> None:
        """Prepare the calling thread, one of ``workers``; torch's number of threads is a setting of each thread."""
        import torch

        torch.set_num_threads(max(self._core.cores // workers, 1))

    def new_costs(self) -> Costs:
        """Return the costs of the modes, of which nothing is known."""
        return Costs(self._core.device.type, self._core.precision, self._core.cores)

    def stored_costs(self) -> Costs:
        """Return the costs of the modes, as earlier sessions have measured them."""
        return Costs(self._core.device.type, self._core.precision, self._core.cores, read_costs(self._core))

    def keep_costs(self, costs: Costs) -> None:
        """Keep what this session has measured, in any thread."""
        write_costs(self._core, costs.known)

    def close(self) -> None:
        """Stop preparing engines in the background; in any thread."""
        self.engines.close()
