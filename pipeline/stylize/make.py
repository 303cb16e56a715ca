"""Make the stylize stage that a configuration asks for."""

from typing import Any

from pipeline.config import StylizeConfig
from pipeline.stylize.optimize.stylizer import OptimizingStylizer, ReportStep
from pipeline.stylize.stylizer import Stylizer, StylizeStage


def make_stylizer(config: StylizeConfig, *, report: ReportStep = lambda report: None, **settings: Any) -> StylizeStage:
    """Return a `Stylizer`, or an `OptimizingStylizer` for ``--method optimize``; called as either.

    Args:
        config: of the stage.
        report: called after each step of the optimizer.
        settings: size and so on.
    """
    if config.method == "optimize":
        for name in ("build", "frame_count", "may_change", "encoder_format"):  # there is no engine to choose
            settings.pop(name, None)
        return OptimizingStylizer(config, report=report, **settings)
    return Stylizer(config, **settings)
