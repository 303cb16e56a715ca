"""What tests that compile share: torch's precompiled headers take ten seconds and more to make."""

import os
from pathlib import Path

from pipeline.system.folders import cache_folder


def share_precompiled_headers(cache: Path) -> None:
    """Let the cache of a test use the precompiled headers of this machine's cache; call it before the cache is set."""
    if os.name == "posix":
        headers = cache_folder() / "headers"
        headers.mkdir(exist_ok=True)
        (cache / "headers").symlink_to(headers)
