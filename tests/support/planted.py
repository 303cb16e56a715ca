"""Code that somebody else left in a folder: modules with the names of all that a process of ours imports."""

import sys
from pathlib import Path

_NAMES = {*sys.stdlib_module_names, "av", "cv2", "models", "numpy", "pipeline", "PIL", "torch", "typer"}


class PlantedModules:
    """Modules in ``folder`` that record that they were imported.

    Args:
        folder: an existing folder.
    """

    def __init__(self, folder: Path) -> None:
        self._marker = folder / "imported"
        code = f"from builtins import open\nopen({str(self._marker)!r}, 'a').write(__name__ + '\\n')\n"
        for name in _NAMES:
            (folder / f"{name}.py").write_text(code)

    @property
    def imported(self) -> list[str]:
        """Names of the modules that were imported."""
        return self._marker.read_text().split() if self._marker.exists() else []
