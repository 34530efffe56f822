"""An event's colour comes from its kind: no word of its text decides."""

import pytest

from opsconsole_console.screen.part.event_cell import kind_cell
from opsconsole_protocol.event_kind import EventKind
from tests.client.row import event_row


@pytest.mark.parametrize("word", ["lost-cities", "failed", "silent-night", "cancel-culture", "pause"])
def test_the_name_of_a_job_paints_nothing(word: str) -> None:
    for kind in EventKind:
        told = event_row(1, kind=kind, text=f"job {word} submitted")
        assert kind_cell(told).spans == kind_cell(event_row(1, kind=kind, text="job x submitted")).spans, kind


@pytest.mark.parametrize(
    ("kind", "tone"),
    [
        (EventKind.FAILED, "state-failed"),
        (EventKind.LOST, "state-lost"),
        (EventKind.CANCEL, "state-killed"),
        (EventKind.SUCCEEDED, "state-succeeded"),
        (EventKind.ASSIGNED, "text-muted"),
        ("lost_in_a_newer_version", "text-muted"),
    ],
)
def test_a_kind_has_its_tone(kind: str, tone: str) -> None:
    assert kind_cell(event_row(1, kind=kind)).spans == ((kind.replace("_", " "), tone),)
