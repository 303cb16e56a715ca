"""The studio's folder: what it keeps for itself, and what it leaves alone."""

import os
from pathlib import Path

import pytest

from pipeline.errors import OutputError
from pipeline.studio.certificate import open_certificate
from pipeline.studio.config import StudioConfig
from pipeline.studio.folder import SUBFOLDERS, open_folder, read_token
from pipeline.studio.render.routes import RenderRoom

needs_posix = pytest.mark.skipif(os.name != "posix", reason="permissions of POSIX")


@needs_posix
def test_token_and_key_are_secret_even_in_a_folder_that_others_read(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    config = StudioConfig(folder=tmp_path, host="192.0.2.9")
    root = open_folder(config)
    open_certificate(config, root)
    for name in ("token", "key.pem"):
        assert (root / name).stat().st_mode & 0o077 == 0, name


@pytest.mark.parametrize("name", SUBFOLDERS)
def test_folders_of_something_else_are_refused_and_stay(tmp_path: Path, name: str) -> None:
    """Such as those of a web application: the studio deletes clips and jobs that it cannot read."""
    document = tmp_path / name / "507f1f77bcf86cd799439011" / "document.pdf"
    document.parent.mkdir(parents=True)
    document.write_bytes(b"precious")
    with pytest.raises(OutputError, match="files that are not a studio's; choose another --folder"):
        open_folder(StudioConfig(folder=tmp_path))
    assert document.read_bytes() == b"precious"


def test_what_lies_beside_clips_and_jobs_stays(tmp_path: Path) -> None:
    config = StudioConfig(folder=tmp_path)
    root = open_folder(config)
    for name in SUBFOLDERS:
        (root / name / "my holiday").mkdir()
        (root / name / f"{0:024x}").mkdir()
    room = RenderRoom(config, open_folder(config))
    assert room.runner.jobs() == []
    for name in SUBFOLDERS:
        assert [path.name for path in (root / name).iterdir()] == ["my holiday"]


def test_the_link_stays_until_another_one_is_asked_for(tmp_path: Path) -> None:
    root = open_folder(StudioConfig(folder=tmp_path))
    token = read_token(root)
    assert read_token(open_folder(StudioConfig(folder=tmp_path))) == token
    assert read_token(root, is_new=True) != token
