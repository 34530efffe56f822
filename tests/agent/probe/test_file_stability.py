"""A file that is still being written is told from one that is at rest (hard use 18)."""

from opsconsole_agent.probe.file_stability import RECENT_S, STABLE_S, FileStability

NOW_NS = 1_700_000_000 * 10**9
S = 10**9


def test_a_file_that_nobody_wrote_to_lately_is_at_rest() -> None:
    assert FileStability().check("f", 5, NOW_NS - round(RECENT_S * S), NOW_NS, 0.0) == ""


def test_one_that_was_written_just_now_has_to_stay_the_same_for_a_moment() -> None:
    stability = FileStability()
    assert stability.check("f", 5, NOW_NS, NOW_NS, 100.0) == "was written a moment ago, 5 B"
    assert stability.check("f", 5, NOW_NS, NOW_NS + S, 100.0 + STABLE_S / 2) == "was written a moment ago, 5 B"
    assert stability.check("f", 5, NOW_NS, NOW_NS + 2 * S, 100.0 + STABLE_S) == ""


def test_one_that_grows_is_told_with_its_size() -> None:
    stability = FileStability()
    stability.check("f", 5, NOW_NS, NOW_NS, 100.0)
    assert stability.check("f", 1_200_000_000, NOW_NS + S, NOW_NS + S, 101.0) == "is still growing, 1.2 GB"
    assert stability.check("f", 1_200_000_000, NOW_NS + S, NOW_NS + S, 101.5) == "is still being written, 1.2 GB"
    assert stability.check("f", 1_200_000_000, NOW_NS + 2 * S, NOW_NS, 102.0) == "is still being written, 1.2 GB"
    assert stability.check("f", 1_200_000_000, NOW_NS + 2 * S, NOW_NS, 102.0 + STABLE_S) == ""


def test_a_clock_that_is_behind_or_ahead_is_no_proof() -> None:
    stability = FileStability()
    ahead_ns = NOW_NS + 3_600 * S
    assert stability.check("f", 5, ahead_ns, NOW_NS, 100.0)
    assert stability.check("f", 5, ahead_ns, NOW_NS, 100.0 + STABLE_S) == ""
    behind_ns = NOW_NS - 3_600 * S
    assert stability.check("f", 6, behind_ns, NOW_NS, 103.0) == "is still growing, 6 B", "it was seen to change"
