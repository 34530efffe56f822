"""The record is what the coordinator says today."""

from itertools import zip_longest

from tests.recording import lab, record


def test_the_record_is_up_to_date() -> None:
    recorded, made = lab.FILE.read_bytes().splitlines(), record.encoded().splitlines()
    differing = [number for number, (one, other) in enumerate(zip_longest(recorded, made), 1) if one != other]
    assert not differing, "run `python -m tests.recording`, then look at the pictures"
