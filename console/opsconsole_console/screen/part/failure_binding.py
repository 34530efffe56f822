"""The keys that go through the jobs that failed unseen. The app carries them out."""

from textual.binding import Binding, BindingType

FAILURE_BINDINGS: list[BindingType] = [
    Binding(
        "right_square_bracket",
        "app.failure(1)",
        "Next failure",
        show=False,
        key_display="]",
        tooltip="To the next job that failed unseen",
        id="failure.next",
    ),
    Binding(
        "left_square_bracket",
        "app.failure(-1)",
        "Failure before",
        show=False,
        key_display="[",
        tooltip="Back to the one gone to before",
        id="failure.previous",
    ),
    Binding("x", "app.failures_seen", "Failures seen", show=False, tooltip="None is new any more", id="failure.seen"),
]
