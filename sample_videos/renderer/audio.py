"""Audio tracks made from noise and plucked strings: ``(2, samples)`` float32, -1 to 1, 48 kHz, left and right."""

import numpy as np
from numpy.typing import NDArray

Samples = NDArray[np.float32]
Signal = NDArray[np.float64]

RATE = 48_000


def harbor(seconds: float) -> Samples:
    """Waves on a shore, two gulls, slow chords of a harp."""
    time = clock(seconds)
    swell = 0.45 + 0.55 * np.sin(np.pi * time / 3.1 + 0.4) ** 2
    left, right = (colored_noise(seed, seconds, 90, 1400) for seed in (1, 2))
    hiss = colored_noise(3, seconds, 1800, 7000) * swell**4
    sea = np.stack([left * swell + 0.25 * hiss, right * np.roll(swell, RATE // 5) + 0.2 * hiss]) * 0.09
    for start, place in ((1.1, 0.75), (1.75, 0.7), (4.3, 0.35)):
        add(sea, gull(), start, place, 0.05)
    chords = (
        (0.1, (146.8, 220.0, 293.7, 370.0)),
        (2.05, (123.5, 185.0, 246.9, 293.7)),
        (4.0, (98.0, 196.0, 246.9, 370.0)),
    )
    for start, notes in chords:
        for number, pitch in enumerate(notes):
            add(sea, pluck(pitch, 2.6), start + 0.22 * number, 0.35 + 0.1 * number, 0.13)
    return finish(sea)


def street(seconds: float) -> Samples:
    """A waltz on plucked strings, the hum and bell of the tram, the bell of the bicycle, the murmur of a town."""
    time = clock(seconds)
    murmur = np.stack([colored_noise(seed, seconds, 150, 900) for seed in (11, 12)]) * 0.018
    passing = np.exp(-(((time - 3.4) / 1.7) ** 2))
    tram = (colored_noise(13, seconds, 50, 260) + 0.3 * np.sin(2 * np.pi * 94 * time)) * passing * 0.05
    mixed = murmur + np.stack([tram * np.clip(time / 6, 0.2, 0.9), tram * np.clip(1 - time / 6, 0.2, 0.9)])
    beat = 0.36
    melody = (392.0, 493.9, 587.3, 784.0, 740.0, 587.3, 659.3, 523.3, 440.0, 493.9, 587.3, 440.0, 392.0, 493.9, 392.0)
    for number, pitch in enumerate(melody):
        add(mixed, pluck(pitch, 1.2), 0.15 + beat * number, 0.62, 0.20)
    for bar, (bass, third, fifth) in enumerate(
        ((98.0, 246.9, 293.7), (98.0, 246.9, 293.7), (130.8, 261.6, 329.6), (146.8, 220.0, 293.7), (98.0, 246.9, 293.7))
    ):
        add(mixed, pluck(bass, 1.2), 0.15 + 3 * beat * bar, 0.4, 0.22)
        for off in (1, 2):
            add(mixed, pluck(third, 0.5), 0.15 + beat * (3 * bar + off), 0.35, 0.09)
            add(mixed, pluck(fifth, 0.5), 0.15 + beat * (3 * bar + off), 0.45, 0.09)
    for start, place in ((1.6, 0.75), (1.85, 0.75)):
        add(mixed, bell(1240.0), start, place, 0.035)
    add(mixed, bell(2350.0), 3.7, 0.45, 0.02)
    return finish(mixed)


def clock(seconds: float) -> Signal:
    """Return the time of each sample in seconds."""
    return np.arange(round(seconds * RATE)) / RATE


def colored_noise(seed: int, seconds: float, low_hz: float, high_hz: float) -> Signal:
    """Return noise of standard deviation 1 between two pitches, softer towards the high one."""
    count = round(seconds * RATE)
    spectrum = np.fft.rfft(np.random.default_rng(seed).standard_normal(count))
    pitch = np.maximum(np.fft.rfftfreq(count, 1 / RATE), 1)
    shaped = np.fft.irfft(spectrum / (1 + (low_hz / pitch) ** 4) / (1 + (pitch / high_hz) ** 2) / pitch**0.5, count)
    return np.asarray(shaped / shaped.std(), np.float64)


def pluck(pitch_hz: float, seconds: float) -> Signal:
    """Return a plucked string: higher overtones fade faster."""
    time = clock(seconds)
    tones = [
        np.sin(2 * np.pi * pitch_hz * n * time + 0.7 * n) * np.exp(-time * (1.6 + 0.9 * n)) / n**1.25
        for n in range(1, 9)
    ]
    return np.asarray(np.sum(tones, axis=0) * np.clip(time / 0.004, 0, 1) * np.clip((seconds - time) / 0.05, 0, 1))


def bell(pitch_hz: float) -> Signal:
    """Return a small bell."""
    time = clock(1.2)
    partials = ((1.0, 1.0, 4.0), (2.76, 0.5, 6.0), (5.4, 0.25, 9.0))
    tones = [
        gain * np.sin(2 * np.pi * pitch_hz * ratio * time) * np.exp(-time * fade) for ratio, gain, fade in partials
    ]
    return np.asarray(np.sum(tones, axis=0) * np.clip((1.2 - time) / 0.1, 0, 1))


def gull() -> Signal:
    """Return one cry of a distant gull."""
    time = clock(0.5)
    pitch = 1050 + 420 * np.sin(np.pi * np.clip(time / 0.5, 0, 1)) ** 2 - 300 * time
    phase = 2 * np.pi * np.cumsum(pitch) / RATE
    voice = np.sin(phase) + 0.5 * np.sin(2 * phase) + 0.25 * np.sin(3 * phase)
    return np.asarray(voice * np.sin(np.pi * time / 0.5) ** 1.5)


def add(mixed: Signal, signal: Signal, start_seconds: float, place: float, gain: float) -> None:
    """Add a signal at a time and at a place between left (0) and right (1)."""
    first = round(start_seconds * RATE)
    part = signal[: max(0, mixed.shape[1] - first)]
    for channel, share in enumerate((np.cos(place * np.pi / 2), np.sin(place * np.pi / 2))):
        mixed[channel, first : first + len(part)] += gain * share * part


def finish(mixed: Signal) -> Samples:
    """Fade in and out and set the level."""
    time = np.arange(mixed.shape[1]) / RATE
    fade = np.clip(time / 0.25, 0, 1) * np.clip((time[-1] - time) / 0.6, 0, 1)
    level = 0.6 / np.abs(mixed).max()
    return np.asarray(np.tanh(mixed * level) * fade, np.float32)
