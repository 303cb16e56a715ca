"""Frames to a device and back: no buffer is written or read too early, and few are needed."""

import pytest
import torch
from torch import Tensor

from models.engines.gpu.transfers import FrameTransfers, transfers_of
from tests.support.late_streams import LateStreams


def frame(level: int, height: int = 4) -> Tensor:
    return torch.full((height, 6, 3), level, dtype=torch.uint8)


def test_frames_arrive_as_they_were_when_they_were_given_away() -> None:
    transfers = FrameTransfers(LateStreams(), uploads=2)
    pixels, arrived = frame(0), []
    for level in range(7):
        pixels.fill_(level)  # the caller uses its memory again at once
        arrived.append(transfers.upload(pixels))
    assert [int(image.clone().max()) for image in arrived] == list(range(7))
    assert [int(image.clone().min()) for image in arrived] == list(range(7))


def test_buffers_are_used_again_in_turn() -> None:
    streams = LateStreams()
    transfers = FrameTransfers(streams, uploads=3)
    for level in range(9):
        transfers.upload(frame(level))
    assert streams.buffers == 3
    assert streams.uploaded == streams.uploaded[:3] * 3


def test_a_buffer_that_an_engine_used_serves_others_too() -> None:
    transfers = FrameTransfers(LateStreams(), uploads=1)
    with torch.inference_mode():
        transfers.upload(frame(1))
    assert transfers.upload(frame(2)).tolist() == frame(2).tolist()


def test_frames_of_another_size_or_depth_get_buffers_of_their_own() -> None:
    streams = LateStreams()
    transfers = FrameTransfers(streams, uploads=1)
    frames = [frame(1), frame(2, height=5), frame(3).to(torch.uint16), frame(4)]
    for pixels in frames:
        image = transfers.upload(pixels)
        assert (image.shape, image.dtype) == (pixels.shape, pixels.dtype)
        assert image.tolist() == pixels.tolist()
    assert streams.buffers == 4


def test_a_buffer_whose_copy_failed_is_not_used_again() -> None:
    streams = LateStreams()
    transfers = FrameTransfers(streams, uploads=1)
    streams.error = RuntimeError("CUDA error: an illegal memory access was encountered")
    transfers.upload(frame(1))
    streams.error = None
    with pytest.raises(RuntimeError, match="illegal memory access"):
        transfers.upload(frame(2))
    image = transfers.upload(frame(3))
    assert int(image.clone().max()) == 3
    assert streams.uploaded[0] != streams.uploaded[1] or streams.buffers == 2


def test_a_frame_that_comes_back_has_memory_of_its_own() -> None:
    streams = LateStreams()
    transfers = FrameTransfers(streams)
    downloads = [transfers.download(transfers.upload(frame(level))) for level in range(5)]
    assert [int(download.host.max()) for download in downloads] == [0] * 5
    back = [download.wait() for download in reversed(downloads)]
    assert [int(pixels.min()) for pixels in back] == [4, 3, 2, 1, 0]
    assert not any(transfers.holds(pixels) for pixels in back)


def test_only_an_nvidia_gpu_has_transfers() -> None:
    assert transfers_of(torch.device("cpu")) is None
    assert transfers_of(torch.device("mps")) is None


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("dtype", [torch.uint8, torch.uint16])
def test_frames_pass_through_a_gpu_unchanged(dtype: torch.dtype) -> None:
    transfers = transfers_of(torch.device("cuda"))
    assert transfers is not None
    frames = [torch.randint(0, 256, (270, 481, 3)).to(dtype) for _ in range(20)]
    busy = torch.rand(2000, 2000, device="cuda")
    downloads = []
    for pixels in frames:
        image = transfers.upload(pixels)
        busy = busy @ busy / busy.norm()  # the device falls behind
        downloads.append(transfers.download(image))
    for pixels, download in zip(frames, downloads, strict=True):
        back = download.wait()
        assert back.is_pinned()
        assert torch.equal(back.to(torch.int32), pixels.to(torch.int32))
