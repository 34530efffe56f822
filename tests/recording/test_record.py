"""The record is what the coordinator says today."""

from tests.recording import lab, record


def test_the_record_is_up_to_date() -> None:
    assert lab.FILE.read_bytes() == record.encoded(), "run `python -m tests.recording`, then look at the pictures"
