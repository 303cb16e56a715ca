"""What an audio packet says about itself, where its format has a header for each frame, as in transport streams."""

from pipeline.media.packets import StreamPacket

_ADTS_RATES = (96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025, 8_000, 7_350)


def frame_kind(packet: StreamPacket) -> str | None:
    """Return codec and, where a change of it would be heard, sample rate; None if there is no header that is known.

    ISO/IEC 13818-7, 6.2 (ADTS); ISO/IEC 11172-3, 2.4.1.3 (MPEG audio); ETSI TS 102 366, 4.4.1 (AC-3).
    """
    head = bytes(memoryview(packet)[:7])
    if len(head) < 7:
        return None
    sync, layer, rate = head[0] << 4 | head[1] >> 4, head[1] >> 1 & 3, head[2] >> 2 & 15
    if sync == 0xFFF and layer == 0:
        length = (head[3] & 3) << 11 | head[4] << 3 | head[5] >> 5
        return f"aac at {_ADTS_RATES[rate]} Hz" if rate < len(_ADTS_RATES) and length >= len(head) else "damaged aac"
    if sync >= 0xFFE and layer != 0 and head[2] >> 4 != 15:
        return f"mp{4 - layer}"
    return "ac3" if head[:2] == b"\x0b\x77" else None
