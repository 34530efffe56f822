"""A failed validation in words: the name of the field that was meant, without the path to it through a frame."""

import re

import msgspec

_PLACE = re.compile(r" - at `(?P<path>.*?)`$")
_STEP = re.compile(r"\.([A-Za-z_]\w*)|\[(\d+|\.\.\.)\]")
_ENVELOPE = frozenset({"request", "answer", "submissions", "spec", "detail", "open", "purpose", "query"})
_KINDS = {
    "int": "a whole number", "float": "a number", "str": "a text", "bool": "true or false", "array": "a list",
    "object": "a mapping", "null": "nothing",
}  # fmt: skip


def request_text(error: msgspec.ValidationError) -> str:
    """One line for the person who wrote the value: `num_tasks: must be at least 1`."""
    name, what = _split(error)
    return f"{name}: {_plain_words(what)}" if name else _plain_words(what)


def message_text(error: msgspec.ValidationError) -> str:
    """One line for the person who looks after both programs: `num_tasks: Expected `int` >= 1`."""
    name, what = _split(error)
    return f"{name}: {what}" if name else what


def _split(error: msgspec.ValidationError) -> tuple[str, str]:
    text = " ".join(str(error).split())
    place = _PLACE.search(text)
    return (_name(place["path"]), text[: place.start()]) if place else ("", text)


def _name(path: str) -> str:
    """`$[0].request.submissions[0].spec.num_tasks` as `num_tasks`."""
    found = ""
    for field, index in _STEP.findall(path):
        if field:
            found = "" if field in _ENVELOPE else f"{found}.{field}" if found else field
        elif found and index != "...":
            found += f"[{index}]"
    return found


def _plain_words(text: str) -> str:
    if found := re.fullmatch(r"Expected `(?:int|float)` (>=|<=) (-?[\d.]+)", text):
        return f"must be {'at least' if found[1] == '>=' else 'at most'} {found[2]}"
    if found := re.fullmatch(r"Expected `(\w+)` of length (>=|<=) (\d+)", text):
        unit = {"str": "characters", "bytes": "bytes"}.get(found[1], "entries")
        return f"must have {'at least' if found[2] == '>=' else 'at most'} {found[3]} {unit}"
    if re.fullmatch(r"Expected `str` matching regex .*", text):
        return "has characters that can't stand there"
    if found := re.fullmatch(r"Expected `([\w| ]+)`, got `([\w ]+)`", text):
        wanted = " or ".join(_kind_words(kind) for kind in found[1].split(" | "))
        return f"must be {wanted}, not {_kind_words(found[2])}"
    if found := re.fullmatch(r"Object missing required field `(\w+)`", text):
        return f"{found[1]} is missing"
    return text[:1].lower() + text[1:].replace("`", "")


def _kind_words(name: str) -> str:
    return _KINDS.get(name, name)
