"""The program that looks into folders loads nothing of ours: what it takes for Parquet or Arrow is what the protocol does."""

from opsconsole_agent.probe.io_child import ARROW_SUFFIXES
from opsconsole_protocol.dataset import _ARROW_NAME, ARROW, JobDataset


def test_both_know_the_same_files_of_parquet_and_arrow() -> None:
    assert {JobDataset(f"a{suffix}").ability for suffix in ARROW_SUFFIXES} == {ARROW}
    known = _ARROW_NAME.pattern.partition("(")[2].partition(")")[0].split("|")
    assert {f".{one}" for one in known} == set(ARROW_SUFFIXES)
