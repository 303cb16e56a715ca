from fractions import Fraction

import pytest

from pipeline.errors import InputError
from pipeline.media.damage import Damage, DamageLog, damage_notice


def test_the_log_has_each_place_once_and_restores_those_of_an_earlier_run() -> None:
    log = DamageLog("x")
    log.add(Damage(3, Fraction(1, 3), "bad"))
    log.add(Damage(4, Fraction(1, 3), "worse"))
    log.add(Damage(5, None, "bad"))
    again = DamageLog("x")
    again.restore([place.as_json() for place in log.places])
    again.add(Damage(0, Fraction(1, 3), "bad"))
    assert [place.packet_index for place in again.places] == [3, 5]
    assert [place.as_json() for place in again.places] == [place.as_json() for place in log.places]


def test_damage_of_an_earlier_run_is_an_error_if_strict() -> None:
    log = DamageLog("clip.mp4", strict=True)
    log.restore([])
    with pytest.raises(InputError, match=r"clip\.mp4: is damaged \(video packet 3 at 1\.000 s: bad\)"):
        log.restore([Damage(3, Fraction(1), "bad").as_json()])


def test_only_the_newest_places_are_searched() -> None:
    """Otherwise a clip with thousands of places takes quadratic time."""
    log = DamageLog("x")
    for number in range(300):
        log.add(Damage(number, Fraction(number), "bad"))
    assert not log.move(range(50, 52), 50, Fraction(50))
    assert log.move(range(298, 300), 297, Fraction(297))
    assert [place.packet_index for place in log.places[-2:]] == [297, 299]


def test_the_notice_names_the_first_three_places() -> None:
    places = [Damage(number, Fraction(number), "bad") for number in range(5)]
    (line,) = damage_notice(places)
    assert line.startswith("5 places of the input could not be read")
    assert "video packet 2 at 2.000 s: bad; and 2 more" in line
    assert damage_notice([]) == []
