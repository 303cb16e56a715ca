"""Percentiles of latencies, and what a sink took."""

import pytest

from pipeline.live.statistics import Deliveries, Latencies


def test_percentiles_are_exact_to_half_a_millisecond() -> None:
    latencies = Latencies()
    assert latencies.summary() == {"p50": None, "p95": None, "p99": None}
    for number in range(1, 1001):
        latencies.add(number / 1000)
    found = latencies.summary()
    assert found["p50"] == pytest.approx(500, abs=1)
    assert found["p95"] == pytest.approx(950, abs=1)
    assert found["p99"] == pytest.approx(990, abs=1)
    latencies.add(1e6)
    assert latencies.percentile(1.0) == 10_000


def test_deliveries_are_counted_from_the_first_to_the_last() -> None:
    deliveries = Deliveries()
    assert deliveries.summary("sink", 0, None).fps is None
    for number in range(5):
        deliveries.add(10 + number / 10, 10.02 + number / 10)
    summary = deliveries.summary("sink", 3, "the cable was pulled")
    assert (summary.name, summary.delivered, summary.dropped, summary.failure) == ("sink", 5, 3, "the cable was pulled")
    assert summary.fps == pytest.approx(10)
    assert summary.latency_ms["p50"] == pytest.approx(20, abs=1)
    assert deliveries.last_seconds == pytest.approx(0.02)
