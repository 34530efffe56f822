"""Text that somebody could give any name, tag, reason, path or line: what every screen and every line of output stands."""

import enum
import unicodedata
from typing import Any, TypeVar

import msgspec

T = TypeVar("T")

MARKUP = {
    "closing": "[/]",
    "unclosed": "[/b",
    "action": "[@click=app.quit]click me[/]",
    "styled": "[bold red on blue]loud[/bold red on blue] [$accent]x[/] \\[/] [link='http://x']y[/link]",
    "variable": "$foreground {x} {0.__class__} %s %(a)s \\x1b [not markup",
}
SIGNS = {
    "escapes": "\x1b]0;title\x07\x1b[2J\x1b[6n\x1b]52;c;aGk=\x07\x1b[?1049h\x1bP$q\x1b\\",
    "c0 and c1": "a\x00b\x07c\x08d\x0ee\x7f\x85f\x9b2Jg\x9d0;t\x9c",
    "bidi": "\u202egpj.exe\u202c \u2066x\u2069 \u061c\u200f",
    "hidden": "ze\u200bro\u2060wi\ufeffdth\u00ad\u3164\U000e0041\U000e007f",
    "lines": "one\ntwo\r\nthree\rfour\tfive\x0bsix\u2028seven",
    "flood": "z" + "\u0336\u0489\u030d" * 400 + "!",
    "long": "x" * 10_000,
    "wide": "数据 👩\u200d🔬 🏳\ufe0f\u200d🌈 e\u0301 שלום مرحبا",
}
LONE_SURROGATE = "half \ud83d name"
"""Only on this side of a wire: it can't be sent."""

TABLE = {**MARKUP, **SIGNS}
PACKED = {
    **{name: MARKUP[name] for name in ("closing", "unclosed")},
    "markup": MARKUP["action"] + MARKUP["styled"] + MARKUP["variable"],
    "signs": "".join(SIGNS[name] for name in ("hidden", "bidi", "lines", "c0 and c1", "escapes", "wide", "flood")),
    "long": SIGNS["long"],
}
"""The same in fewer texts, for tests that take long for each."""

_KEPT = frozenset(
    {"id", "worker_id", "attempt_id", "uuid", "job_id", "state", "status", "connection", "attempt_state", "next_cursor",
     "seq", "job", "task_id", "subject", "kind"}
)  # fmt: skip
"""What others can't choose, and what rows are found by."""


def poisoned(value: T, text: str, field: str = "") -> T:
    """A struct with `text` before every string that somebody else chose; names that were equal stay equal."""
    return _poisoned(value, text, field)  # type: ignore[no-any-return]


def _poisoned(value: Any, text: str, field: str) -> Any:
    if isinstance(value, msgspec.Struct):
        fields = {name: _poisoned(getattr(value, name), text, name) for name in value.__struct_fields__}
        return type(value)(**fields)
    if isinstance(value, str) and not isinstance(value, enum.Enum):
        return value if field in _KEPT else text + value
    if isinstance(value, dict):
        if field in {"task_counts", "job_counts", "ports"}:
            return value
        keep = {"io_paths", "input", "output", "filesystem", "gpu_memory_mb"}
        return {key if key in keep else text + key: _poisoned(one, text, "value") for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_poisoned(one, text, field) for one in value)
    return value


def acting(text: str) -> list[str]:
    """The signs in what was shown that act on a terminal, hide or reorder."""
    hidden = "\u00ad\u061c\u200b\u200e\u200f\u2028\u2029\ufeff\u3164"
    return [
        sign
        for sign in text
        if unicodedata.category(sign) in {"Cc", "Cs"} or sign in hidden
        or "\u202a" <= sign <= "\u202e" or "\u2060" <= sign <= "\u206f" or sign >= "\U000e0000"
    ]  # fmt: skip


def flooded(text: str, marks_max: int = 9) -> bool:
    """Whether more combining marks follow one another than anybody reads."""
    run = 0
    for sign in text:
        run = run + 1 if unicodedata.combining(sign) or unicodedata.category(sign) == "Me" else 0
        if run > marks_max:
            return True
    return False
