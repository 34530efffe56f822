"""Kinds of events are stored and sent as strings: none may change its spelling."""

from opsconsole_protocol.event_kind import EventKind

_SPELLED = """
submitted cancel pause resume hold release retry priority add move parallel timeout blocked unblocked gang finished
assigned building running paused succeeded failed killed preempted lost retracted replaced adopted unschedulable collected
joined returned silent drain undrain maintenance available reserved busy trouble recovered gpu avoided remove
invited revoke rename project template cleaned removed restored confirmed backup transferred
exec shell forward notice
"""


def test_every_kind_is_spelled_as_it_always_was() -> None:
    assert {str(kind) for kind in EventKind} == {
        *_SPELLED.split(),
        "used again",
        "collect failed",
        "checkpoint",
        "note",
        "save late",
        "reserve",
        "unreserve",
    }
