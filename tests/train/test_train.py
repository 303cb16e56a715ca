"""From pictures on disk to a weight file, with a tiny random loss network: seconds instead of minutes."""

import dataclasses
import json
import os
import pickle
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor
from typer.testing import CliRunner

import cli
from models.network import Architecture
from models.registry import LoadedStyle, load, read_catalog
from models.training.content import central_crops
from models.training.objective import Weights
from models.training.pairs import MARGIN_PX, ClipPair, Pairs, clip_crops
from models.training.trainer import TrainingReport
from pipeline.errors import DeviceError, InputError, OutputError, StyleError
from pipeline.train.config import MINUTES, NETWORK_RATE, STEPS, UNLIMITED_STEPS, VECTORS_FIRST, read_paintings
from pipeline.train.data import _chosen
from pipeline.train.setup import _beginning
from pipeline.train.train import TrainConfig, train
from tests.support.media import Clip, make_clip
from tests.support.tiny import TINY, loss_state, photos, stripes

pytestmark = pytest.mark.usefixtures("one_thread")


def test_a_training_weighs_losses_as_the_objective_does_by_default() -> None:
    defaults = {field.name: field.default for field in dataclasses.fields(TrainConfig)}
    for name, value in dataclasses.asdict(Weights()).items():
        assert defaults[f"{name}_weight"] == value


def write(path: Path, picture: Tensor) -> Path:
    Image.fromarray(picture.permute(1, 2, 0).numpy()).save(path)
    return path


@pytest.fixture(autouse=True)
def small_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Architecture.__init__, "__defaults__", (TINY.widths, TINY.blocks, TINY.kernel))


@pytest.fixture
def config(tmp_path: Path) -> TrainConfig:
    folder = tmp_path / "content"
    folder.mkdir()
    for index, photo in enumerate(photos(4)):
        write(folder / f"{index}.png", photo)
    torch.save(loss_state(), tmp_path / "loss.pth")
    (tmp_path / "cards.json").write_text(json.dumps({"stripes": {"painting": "Stripes", "painter": "Nobody"}}))
    return TrainConfig(
        paintings={"stripes": write(tmp_path / "stripes.png", stripes())},
        content=[folder],
        output=tmp_path / "out" / "mine.safetensors",
        loss_weights=[tmp_path / "loss.pth"],
        from_scratch=True,
        cards=tmp_path / "cards.json",
        licence="CC0",
        painting_px=64,
        steps=3,
        batch=1,
        crop_px=64,
        validate_every=2,
        device="cpu",
        compile=False,
    )


@pytest.fixture
def ready(config: TrainConfig) -> TrainConfig:
    config.output.parent.mkdir()
    return config


def test_training_from_files_to_a_file(ready: TrainConfig) -> None:
    reports: list[TrainingReport] = []
    trained = train(ready, reports.append)
    assert trained.steps == len(reports) == 3
    assert trained.ended == "steps"
    assert trained.loss_networks == ["normalised VGG-19"]
    assert sorted(path.name for path in ready.output.parent.iterdir()) == ["mine.preview.png", "mine.safetensors"]

    catalog = read_catalog(ready.output)
    card = catalog.styles["stripes"]
    assert (card.painting, card.painter, card.licence, card.painting_px) == ("Stripes", "Nobody", "CC0", 64)
    assert card.figures["validation_style"] == pytest.approx(trained.validation["style"], abs=1e-4)
    recipe = catalog.recipe
    assert recipe["settings"]["steps"] == 3
    assert recipe["content"]["pictures"] == 4
    assert recipe["paintings"]["stripes"]["file"] == "stripes.png"
    assert recipe["loss_networks"][0]["network"] == "normalised VGG-19"
    assert recipe["steps_run"] in (2, 3)

    painter = load(str(ready.output))
    with torch.no_grad():
        assert painter.network(torch.rand(1, 3, 20, 20), painter.style)[0].isfinite().all()
    with Image.open(ready.preview) as preview:
        assert preview.size == (64, 128)  # one held-out photo, its painting below


def test_the_held_out_photo_is_above_its_painting(ready: TrainConfig) -> None:
    train(ready)
    with Image.open(ready.preview) as preview:
        top = np.asarray(preview)[:64].astype(float)
    seen = central_crops(photos(4), 64 + 2 * MARGIN_PX)[..., MARGIN_PX:-MARGIN_PX, MARGIN_PX:-MARGIN_PX]
    distances = np.abs(top - seen.permute(0, 2, 3, 1).numpy() * 255).mean(axis=(1, 2, 3))
    assert distances.min() < 1


@pytest.fixture
def begun(ready: TrainConfig, tmp_path: Path) -> Path:
    """A weight file of two styles to start from."""
    paintings = {"a": ready.paintings["stripes"], "b": ready.paintings["stripes"]}
    train(dataclasses.replace(ready, paintings=paintings, output=tmp_path / "start.safetensors", steps=4))
    return tmp_path / "start.safetensors"


def test_a_new_style_begins_as_the_mean_of_those_there(ready: TrainConfig, begun: Path) -> None:
    painters = [load(f"{begun}#{name}") for name in ("a", "b")]
    network, (mean, known) = _beginning(
        dataclasses.replace(
            ready, start=begun, from_scratch=False, paintings={"new": Path("x.png"), "b": Path("y.png")}
        )
    )
    assert torch.equal(mean.scale, (painters[0].style.scale + painters[1].style.scale) / 2)
    assert torch.equal(known.scale, painters[1].style.scale)
    for name, tensor in network.state_dict().items():
        assert torch.equal(tensor, painters[0].network.state_dict()[name])
    assert all(parameter.requires_grad for parameter in network.parameters())


def test_a_style_of_ones_own_from_a_clip(
    ready: TrainConfig, begun: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    used: list[int] = []

    def crops(pairs: list[ClipPair], *args: Any) -> Pairs:
        used.append(len(pairs))
        return clip_crops(pairs, *args)

    monkeypatch.setattr("models.training.trainer.clip_crops", crops)
    clip = make_clip(tmp_path / "clip.mp4", Clip(width=96, height=72))
    notes: list[str] = []
    trained = train(
        dataclasses.replace(ready, start=begun, from_scratch=False, content=[clip], steps=5), notify=notes.append
    )
    assert set(used) == {15}
    assert (trained.steps, trained.ended) == (5, "steps")
    assert trained.seconds > 0
    assert notes == ["practising on 15 pictures, and on 15 pairs of frames of 1 clip"]
    recipe = read_catalog(ready.output).recipe
    assert recipe["clips"]["pairs"] == 15
    assert (recipe["settings"]["network_rate"], recipe["settings"]["vectors_first"]) == (NETWORK_RATE, VECTORS_FIRST)
    assert load(str(ready.output)).card.name == "stripes"


def test_a_clip_is_a_painting_too(ready: TrainConfig, tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "look.mp4", Clip(width=96, height=72))
    train(dataclasses.replace(ready, paintings={"look": clip}, cards=None, steps=1))
    assert load(str(ready.output)).card.name == "look"


def test_the_time_is_kept(ready: TrainConfig) -> None:
    trained = train(dataclasses.replace(ready, steps=None, minutes=1e-4))
    assert trained.ended == "minutes"
    assert trained.steps == 2


def test_a_resumed_run_keeps_its_length_and_rates(ready: TrainConfig, begun: Path) -> None:
    first = dataclasses.replace(ready, start=begun, from_scratch=False, network_rate=0.5, vectors_first=0.4, plateau=9)
    with pytest.raises(KeyboardInterrupt):
        train(first, lambda report: stop_at(1, report))
    assert train(dataclasses.replace(ready, start=begun, from_scratch=False, steps=None, resume=True)).steps == 3
    settings = read_catalog(ready.output).recipe["settings"]
    assert (settings["network_rate"], settings["vectors_first"], settings["plateau"]) == (0.5, 0.4, 9)


def test_the_length_grows_with_the_number_of_paintings(ready: TrainConfig) -> None:
    def length(**changes: object) -> tuple[int, float | None]:
        config = dataclasses.replace(ready, **({"steps": None, "minutes": None} | changes))  # type: ignore[arg-type]
        return config.settings().steps, config.settings().minutes

    assert length() == (STEPS, MINUTES)
    assert length(paintings={"a": Path("a.png"), "b": Path("b.png")}) == (2 * STEPS, 2 * MINUTES)
    assert length(minutes=30) == (UNLIMITED_STEPS, 30)
    assert length(steps=70) == (70, None)


def test_the_compiler_is_left_out_where_time_is_short_or_it_is_missing(
    ready: TrainConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiled = dataclasses.replace(ready, compile=True, steps=1)
    assert compiled.settings().compile
    assert not dataclasses.replace(compiled, minutes=1).settings().compile
    monkeypatch.setattr("models.engines.capabilities.can_compile", lambda device: False)
    notes: list[str] = []
    train(compiled, notify=notes.append)
    assert notes == ["torch.compile does not work here: each step takes about twice as long; install g++"]


def test_the_stroke_size_is_that_of_the_painting(ready: TrainConfig) -> None:
    train(dataclasses.replace(ready, stroke_size=1.5, steps=1))
    assert read_catalog(ready.output).cards["stripes"].painting_px == 96


def test_stillness_counts_times_the_usual(ready: TrainConfig) -> None:
    usual, calm = ready.weights(), dataclasses.replace(ready, stillness=2).weights()
    assert (calm.output, calm.feature) == (2 * usual.output, 2 * usual.feature)
    assert (calm.style, calm.content, calm.variation) == (usual.style, usual.content, usual.variation)


def test_the_file_to_start_from_is_not_replaced(ready: TrainConfig, begun: Path) -> None:
    before = begun.read_bytes()
    with pytest.raises(OutputError, match="is the file that training starts from"):
        train(dataclasses.replace(ready, start=begun, from_scratch=False, output=begun, overwrite=True))
    assert begun.read_bytes() == before


@pytest.mark.parametrize("content", [None, b"no weights"])
def test_a_start_that_cannot_be_used(ready: TrainConfig, tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "other.safetensors").write_bytes(content)
    with pytest.raises(StyleError, match=r"other\.safetensors"):
        train(dataclasses.replace(ready, start=tmp_path / "other.safetensors", from_scratch=False))


@pytest.mark.parametrize("existing", ["mine.safetensors", "mine.checkpoint"])
def test_an_existing_file_is_kept_unless_told_otherwise(ready: TrainConfig, existing: str) -> None:
    path = ready.output.parent / existing
    path.write_bytes(b"precious")
    with pytest.raises(OutputError, match=rf"{existing}: .*--overwrite"):
        train(ready)
    assert path.read_bytes() == b"precious"
    train(dataclasses.replace(ready, overwrite=True))
    assert read_catalog(ready.output).cards.keys() == {"stripes"}


def tensors(painter: LoadedStyle) -> list[Tensor]:
    return [*painter.network.state_dict().values(), *painter.style.tensors()]


def stop_at(step: int, report: TrainingReport) -> None:
    if report.step == step:
        raise KeyboardInterrupt


def test_an_interrupted_run_goes_on_where_it_stopped(ready: TrainConfig, tmp_path: Path) -> None:
    whole = dataclasses.replace(ready, output=tmp_path / "whole.safetensors")
    train(whole)
    with pytest.raises(KeyboardInterrupt):
        train(ready, lambda report: stop_at(1, report))
    assert ready.checkpoint.exists()
    reports: list[TrainingReport] = []
    trained = train(dataclasses.replace(ready, resume=True), reports.append)
    assert [report.step for report in reports] == [2, 3]
    assert trained.steps == 3
    assert not ready.checkpoint.exists()
    assert read_catalog(ready.output).cards == read_catalog(whole.output).cards
    assert read_catalog(ready.output).recipe == read_catalog(whole.output).recipe
    resumed, uninterrupted = load(str(ready.output)), load(str(whole.output))
    for a, b in zip(tensors(resumed), tensors(uninterrupted), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize(
    ("change", "named"), [({"steps": 9}, "steps 3 -> 9"), ({"style_weight": 2.0}, "weights"), ({"painting_px": 70}, "")]
)
def test_a_run_does_not_go_on_with_other_settings(ready: TrainConfig, change: dict[str, int], named: str) -> None:
    with pytest.raises(KeyboardInterrupt):
        train(ready, lambda report: stop_at(1, report))
    with pytest.raises(StyleError, match=rf"mine\.checkpoint: cannot go on .*other .*{named}"):
        train(dataclasses.replace(ready, resume=True, **change))  # type: ignore[arg-type]
    assert ready.checkpoint.exists()


def interrupt(*args: object) -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize("at", ["models.training.trainer.Trainer.validate", "pipeline.train.train.save"])
def test_an_interrupted_validation_is_made_again(
    ready: TrainConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: str
) -> None:
    ready = dataclasses.replace(ready, validate_every=100)
    whole = dataclasses.replace(ready, output=tmp_path / "whole.safetensors")
    train(whole)
    with monkeypatch.context() as patch:
        patch.setattr(at, interrupt)
        with pytest.raises(KeyboardInterrupt):
            train(ready)
    assert ready.checkpoint.exists()
    assert not ready.output.exists()
    reports: list[TrainingReport] = []
    trained = train(dataclasses.replace(ready, resume=True), reports.append)
    assert [(report.step, report.losses, report.best) for report in reports] == [(3, {}, True)]
    assert trained.validation == reports[0].validation
    assert read_catalog(ready.output).recipe == read_catalog(whole.output).recipe
    for a, b in zip(tensors(load(str(ready.output))), tensors(load(str(whole.output))), strict=True):
        assert torch.equal(a, b)
    assert not ready.checkpoint.exists()


def test_the_checkpoint_stays_while_there_is_no_output(ready: TrainConfig) -> None:
    with pytest.raises(OutputError, match=r"mine\.safetensors: was removed .*--resume"):
        train(ready, lambda report: ready.output.unlink(missing_ok=True))
    assert train(dataclasses.replace(ready, resume=True)).steps == 3
    assert ready.output.exists()


def test_a_finished_run_knows_its_best_when_resumed(ready: TrainConfig) -> None:
    reports: list[TrainingReport] = []
    with pytest.raises(KeyboardInterrupt):
        train(ready, lambda report: reports.append(report) or stop_at(3, report))  # type: ignore[func-returns-value]
    trained = train(dataclasses.replace(ready, resume=True))
    assert trained.steps == 3
    assert trained.validation in [report.validation for report in reports if report.best]


@pytest.mark.parametrize("change", [{"compile": True}, {"validate_every": 1}])
def test_harmless_settings_may_change_on_resume(
    ready: TrainConfig, monkeypatch: pytest.MonkeyPatch, change: dict[str, int]
) -> None:
    monkeypatch.setattr("torch.compile", lambda function, **options: function)
    with pytest.raises(KeyboardInterrupt):
        train(ready, lambda report: stop_at(1, report))
    assert train(dataclasses.replace(ready, resume=True, **change)).steps == 3  # type: ignore[arg-type]


def test_a_full_disk_is_an_error_of_the_output(ready: TrainConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    write_bytes = Path.write_bytes

    def full(path: Path, content: bytes) -> int:
        if "checkpoint" in path.name:
            raise OSError(28, "No space left on device")
        return write_bytes(path, content)

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OutputError, match=r"checkpoint cannot be written \(No space left"):
        train(ready)
    assert sorted(path.name for path in ready.output.parent.iterdir()) == ["mine.preview.png", "mine.safetensors"]


def test_a_checkpoint_of_an_earlier_version_goes_on(ready: TrainConfig) -> None:
    with pytest.raises(KeyboardInterrupt):
        train(ready, lambda report: stop_at(1, report))
    state = torch.load(ready.checkpoint, weights_only=True)
    for key in ("recipe", "best", "validated", "schedule", "reference", "stale"):
        del state[key]
    for key in ("minutes", "plateau"):
        del state["config"][key]
    torch.save(state, ready.checkpoint)
    assert train(dataclasses.replace(ready, resume=True)).steps == 3


@pytest.mark.parametrize("content", [None, b"", b"no checkpoint"])
def test_resume_without_a_usable_checkpoint(ready: TrainConfig, content: bytes | None) -> None:
    if content is not None:
        ready.checkpoint.write_bytes(content)
    with pytest.raises((InputError, StyleError), match="checkpoint"):
        train(dataclasses.replace(ready, resume=True))


class Malice:
    """Creates a file when it is unpickled."""

    def __init__(self, proof: Path) -> None:
        self.proof = proof

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.proof),)


@pytest.mark.parametrize("zipped", [True, False])
def test_weights_with_code_in_them_run_none_of_it(ready: TrainConfig, tmp_path: Path, zipped: bool) -> None:
    malicious, proof = tmp_path / "evil.pth", tmp_path / "proof"
    if zipped:
        torch.save({"features.0.weight": Malice(proof)}, malicious)
    else:
        malicious.write_bytes(pickle.dumps(Malice(proof)))
    with pytest.raises(InputError, match=r"evil\.pth: no weights of a loss network") as caught:
        train(dataclasses.replace(ready, loss_weights=[malicious]))
    assert "\n" not in str(caught.value)
    assert not proof.exists()


@pytest.mark.parametrize("content", [{"fc.weight": torch.zeros(2)}, [1, 2], torch.zeros(3), {}])
def test_weights_of_something_else_are_refused(ready: TrainConfig, tmp_path: Path, content: object) -> None:
    torch.save(content, tmp_path / "other.pth")
    with pytest.raises(InputError, match=r"other\.pth: no weights of a loss network"):
        train(dataclasses.replace(ready, loss_weights=[tmp_path / "other.pth"]))


def test_missing_weights_are_refused(ready: TrainConfig, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"missing\.pth"):
        train(dataclasses.replace(ready, loss_weights=[tmp_path / "missing.pth"]))


@pytest.mark.parametrize("mode", ["L", "RGBA", "CMYK", "P", "I;16"])
def test_a_painting_of_any_kind_gets_a_result(ready: TrainConfig, tmp_path: Path, mode: str) -> None:
    path = tmp_path / ("painting.tif" if mode == "CMYK" else "painting.png")
    picture = Image.fromarray(stripes().permute(1, 2, 0).numpy())
    if mode == "I;16":
        picture = Image.fromarray(np.asarray(picture.convert("L")).astype(np.uint16) * 257)
    else:
        picture = picture.convert(mode)
    picture.save(path)
    train(dataclasses.replace(ready, paintings={"any": path}, steps=1, cards=None))
    assert load(str(ready.output)).card.name == "any"


@pytest.mark.parametrize(("height", "width"), [(1, 1), (63, 500)])
def test_a_tiny_painting_is_refused(ready: TrainConfig, tmp_path: Path, height: int, width: int) -> None:
    tiny = write(tmp_path / "tiny.png", stripes(height, width))
    with pytest.raises(InputError, match=rf"tiny\.png: {width}x{height} px is too small"):
        train(dataclasses.replace(ready, paintings={"tiny": tiny}))


def test_flat_pictures_train_without_running_away(ready: TrainConfig, tmp_path: Path) -> None:
    for photo in ready.content[0].iterdir():
        write(photo, torch.zeros(3, 70, 70, dtype=torch.uint8))
    black = write(tmp_path / "black.png", torch.zeros(3, 70, 70, dtype=torch.uint8))
    reports: list[TrainingReport] = []
    notes: list[str] = []
    train(dataclasses.replace(ready, paintings={"black": black}), reports.append, notify=notes.append)
    assert notes == [f"{black} is of one colour: there are no strokes to learn, and what it paints will be flat too"]
    assert all(value < 1e7 for report in reports for value in report.losses.values())


def test_content_that_does_not_suffice(ready: TrainConfig, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(InputError, match=r"empty: no pictures and no clips in it"):
        train(dataclasses.replace(ready, content=[empty]))
    one = write(tmp_path / "one.png", photos(1)[0])
    with pytest.raises(InputError, match=r"one\.png: training needs at least 2 content pictures"):
        train(dataclasses.replace(ready, content=[one]))
    with pytest.raises(InputError, match=r"missing: no such file or folder"):
        train(dataclasses.replace(ready, content=[tmp_path / "missing"]))


@pytest.fixture
def no_training(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*args: object) -> None:
        raise AssertionError("training was begun")

    monkeypatch.setattr("pipeline.train.train.set_up", never)


@pytest.mark.usefixtures("no_training")
def test_a_missing_output_folder_is_told_before_training(config: TrainConfig) -> None:
    with pytest.raises(OutputError, match=r"mine\.safetensors: the folder .*out does not exist"):
        train(config)


@pytest.mark.usefixtures("no_training")
def test_an_output_that_is_a_folder_is_told_before_training(ready: TrainConfig) -> None:
    ready.output.mkdir()
    with pytest.raises(OutputError, match="no file can be written"):
        train(dataclasses.replace(ready, overwrite=True))


@pytest.mark.usefixtures("no_training")
@pytest.mark.parametrize(
    ("content", "named"),
    [
        ("{", "JSON"),
        ("[]", "object"),
        ('{"stripes": 3}', "stripes"),
        ('{"stripes": {"mood": "calm"}}', "mood"),
        ('{"stripes": {"name": "other"}}', "name"),
        ('{"stripes": {"painting_px": "64"}}', "painting_px"),
        ('{"stripes": {"year": 1831}}', "year"),
        ('{"stripes": {"painter": null}}', "painter"),
        ('{"stripes": {"figures": [1]}}', "figures"),
        ('{"stripes": {"figures": {"score": "high"}}}', "figures"),
        ('{"stripes": {"figures": {"score": NaN}}}', "figures"),
    ],
)
def test_cards_that_cannot_be_used_are_told_before_training(ready: TrainConfig, content: str, named: str) -> None:
    assert ready.cards is not None
    ready.cards.write_text(content)
    with pytest.raises(InputError, match=rf"cards\.json: .*{named}"):
        train(ready)


def test_all_fields_of_a_card_reach_the_file(ready: TrainConfig) -> None:
    assert ready.cards is not None
    card = {"painting": "A", "painter": "B", "year": "1831", "status": "free", "licence": "MIT", "figures": {"n": 2}}
    ready.cards.write_text(json.dumps({"stripes": card, "unused": {}}))
    train(ready)
    written = dataclasses.asdict(read_catalog(ready.output).cards["stripes"])
    assert {key: written[key] for key in card if key != "figures"} | {"figures": {"n": 2}} == card
    assert written["figures"]["n"] == 2


def test_of_many_photos_some_are_used(ready: TrainConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.train.data.MOST_CONTENT", 3)
    notes: list[str] = []
    train(ready, notify=notes.append)
    assert notes == ["of 4 photos 3 are used, chosen by the seed"]
    assert read_catalog(ready.output).recipe["content"]["pictures"] == 3


def test_the_seed_chooses_the_photos() -> None:
    found = [Path(f"{index:02}.png") for index in range(50)]

    def chosen(seed: int) -> list[Path]:
        return _chosen([found[:20], found], 10, seed, "photos", lambda line: None)

    assert chosen(1) == chosen(1) == sorted(set(chosen(1)))
    assert len(chosen(1)) == 10
    assert chosen(1) != chosen(2)
    assert _chosen([found[:9], found[:9]], 10, 1, "photos", lambda line: None) == found[:9]


def test_the_download_of_the_loss_network_is_announced(ready: TrainConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: object, **options: object) -> None:
        raise OSError("no network")

    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", fail)
    notes: list[str] = []
    with pytest.raises(InputError, match="no network"):
        train(dataclasses.replace(ready, loss_weights=()), notify=notes.append)
    assert notes == ["loading torchvision's VGG-19 (548 MB, downloaded once)"]


def test_a_device_that_is_not_available(ready: TrainConfig) -> None:
    with pytest.raises(DeviceError, match="cuda:99"):
        train(dataclasses.replace(ready, device="cuda:99"))


def test_a_device_that_cannot_move_pictures(ready: TrainConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    def lacks(device: torch.device) -> None:
        if device.type == "cpu":
            raise NotImplementedError("no bicubic sampling\nand more")

    monkeypatch.setattr("pipeline.train.setup._move_a_picture", lacks)
    with pytest.raises(DeviceError, match=r"cpu lacks an operation .* \(no bicubic sampling\); use --device cpu"):
        train(ready)
    monkeypatch.setattr("pipeline.train.setup.find_device", lambda name: torch.device("cpu"))
    notes: list[str] = []
    train(dataclasses.replace(ready, device="auto", steps=1), notify=notes.append)
    assert notes == ["training on the CPU: cpu lacks an operation that training needs (no bicubic sampling)"]


def test_bf16_is_used_where_it_is_fast(ready: TrainConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[bool] = []

    def targets(self: object, *args: object) -> dict[str, Tensor]:
        seen.append(torch.is_autocast_enabled("cpu"))
        raise KeyboardInterrupt

    monkeypatch.setattr("models.training.objective.PaintingObjective.terms", targets)
    for precision in ("bf16", "fp32"):
        monkeypatch.setattr("models.training.trainer.native_precision", lambda device, name=precision: name)
        with pytest.raises(KeyboardInterrupt):
            train(dataclasses.replace(ready, overwrite=True))
    assert seen == [True, False]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"paintings": {}}, "at least one style image"),
        ({"output": Path("a.pth")}, r"\.safetensors"),
        ({"painting_px": 63}, "painting px"),
        ({"device": "nonsense"}, "device must be"),
        ({"stroke_size": 0.0}, "stroke size"),
        ({"stroke_size": float("nan")}, "stroke size"),
        ({"stroke_size": 0.5}, "stroke size must be from 1 to 25"),
        ({"paintings": {"": Path("a.png")}}, "cannot be the name"),
        ({"paintings": {"a#b": Path("a.png")}}, "cannot be the name"),
    ],
)
def test_impossible_requests_are_refused(config: TrainConfig, change: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(config, **change)  # type: ignore[arg-type]


# --- the command ------------------------------------------------------------------------------------------------------


def run(*arguments: str | Path) -> tuple[int, str]:
    """Exit code and standard error of ``flowbrush train`` in this process."""
    result = CliRunner().invoke(cli.app, ["train", *map(str, arguments)])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.stderr


def options(ready: TrainConfig) -> list[str | Path]:
    weights = ready.loss_weights[0]
    tiny = ["--crop-px", "64", "--painting-px", "64", "--batch", "1", "--no-compile", "--from-scratch"]
    return ["--output", ready.output, "--loss-weights", weights, "--device", "cpu", *tiny]


def test_the_command_makes_a_style_and_says_how_to_try_it(ready: TrainConfig, tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "my clip.mp4", Clip(width=96, height=72))
    painting = ready.paintings["stripes"].rename(tmp_path / "My #1 Paint_ing.png")
    code, said = run(painting, "--content", clip, *options(ready), "--steps", "2", "--preview-every", "1")
    assert code == 0
    assert "practising on 15 pictures, and on 15 pairs" in said
    assert "50%  step 1  validation: style" in said
    assert re.search(r"mine\.safetensors: 2 steps in 0\.\d minutes, judged by normalised VGG-19; see .*preview", said)
    last = said.splitlines()[-1]
    assert last == f"Try it: flowbrush video '{clip}' stylized.mp4 --style {ready.output}"
    assert load(str(ready.output)).card.name == "my-1-paint-ing"


def test_two_paintings_are_told_apart(ready: TrainConfig) -> None:
    painting, folder = ready.paintings["stripes"], ready.content[0]
    code, said = run(painting, f"b={painting}", "--content", folder, *options(ready), "--steps", "2")
    assert code == 0
    assert said.splitlines()[-1].endswith(f"stylized.mp4 --style '{ready.output}#stripes'")
    assert list(read_catalog(ready.output).cards) == ["stripes", "b"]


def test_the_command_says_why_it_ended(ready: TrainConfig) -> None:
    arguments = (ready.paintings["stripes"], "--content", ready.content[0], *options(ready), "--minutes", "0.0001")
    code, said = run(*arguments)
    assert code == 0
    assert "2 steps in 0.0 minutes (the time is used up; --minutes gives more)" in said


@pytest.mark.usefixtures("no_training")
@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (["stripes.png", "x/stripes.jpg"], "two paintings are named 'stripes'; write NAME=FILE"),
        (["=stripes.png"], "'' cannot be the name of a style"),
        (["stripes.png", "--minutes", "0"], "minutes must be above 0"),
        (["stripes.png", "--steps", "0"], "steps must be at least 1"),
        (["stripes.png", "--stroke-size", "100"], "stroke size must be from"),
        (["stripes.png", "--start", "a.safetensors"], "--start and --from-scratch exclude each other"),
    ],
)
def test_wrong_usage_is_one_line(ready: TrainConfig, wrong: list[str], message: str) -> None:
    code, said = run(*wrong, *options(ready))
    assert code == 2
    assert said.startswith(f"flowbrush: {message}")
    assert said.count("\n") == 1


def test_a_file_with_an_equals_sign_is_a_file(tmp_path: Path) -> None:
    file = tmp_path / "a=b.png"
    file.touch()
    assert read_paintings([str(file)]) == {"a-b": file}
    assert read_paintings(["c=d.png"]) == {"c": Path("d.png")}
