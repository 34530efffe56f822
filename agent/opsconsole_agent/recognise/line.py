"""What one printed line says of progress and metrics: tqdm, rich, Keras, Lightning, Trainer, JSON lines, pairs. Pure.

Where it isn't clear that a line tells of a training, it says nothing: a wrong curve is worse than none. Every expression here
takes time that grows with the length of the line alone, and a line has at most PRINTED_LINE_BYTES_MAX bytes.
"""

import math
import re
from enum import Enum
from functools import lru_cache
from typing import NamedTuple

import msgspec

from opsconsole_protocol.pattern import Pattern

PRINTED_LINE_BYTES_MAX = 4 * 1024
PRINTED_VALUES_MAX = 50
_LABEL_CHARACTERS = 40
_COUNT_MAX = 1e15
_UP = b"\x1b[A"
_ESCAPE = re.compile(r"\x1b(?:\[[0-?]{0,40}[ -/]{0,9}[@-~]|[@-Z\\-_])")

# --- bars and counts ---------------------------------------------------------------------------------------------

_NUMBER = r"(\d{1,15}(?:\.\d{1,6})?)([kKMGT]?)"
_BAR_SIGNS = r"[|│┃▏▎▍▌▋▊▉█▓░━╸╺─#=>.\-\[]"
_TQDM = re.compile(
    rf"(\d{{1,3}})%\|[^|]{{0,300}}\|\s{{0,9}}{_NUMBER}i?B?/{_NUMBER}i?B?\s{{0,9}}(?:\[[^<\]]{{0,60}}<([\d:]{{1,20}}))?"
)
_PERCENT_BAR = re.compile(
    rf"(?:(?:(?<!{_BAR_SIGNS}){_BAR_SIGNS}{{4,}}+|\[=[=>#.\- ]{{5,200}}\])\s{{0,9}}(\d{{1,3}}(?:\.\d{{1,6}})?)\s?%"
    rf"|(?<![\d.])(\d{{1,3}}(?:\.\d{{1,6}})?)\s?%\s{{0,9}}(?:\|\s{{0,9}})?{_BAR_SIGNS}{{4}})"
)
_COUNT_BAR = re.compile(r"(?:^|\s)(\d{1,15})/(\d{1,15})\s{0,9}\[?[━=>.#█\-]{4}")
_BAR_COUNT = re.compile(r"[━╸╺]{4}\s{1,9}(\d{1,15})/(\d{1,15})\b")
_AFTER_BAR = re.compile(r"\s(\d{1,15})/(\d{1,15})\s")
_EPOCH = re.compile(r"\bepochs?\b[\s:#=\[(]{0,9}(\d{1,9})\s{0,9}(?:/|of)\s{0,9}(\d{1,9})")
_COUNTED = re.compile(
    r"\b(?:global[ _]step|step|iteration|iter|it|batch|round|trial|fold|episode|chunk|file|sample|frame|example|item)s?\b"
    r"[\s:#=\[(]{0,9}(\d{1,15})\s{0,9}(?:/|of)\s{0,9}(\d{1,15})\b"
)
_BRACKETS = re.compile(r"(?:^|[\s\]])\[\s{0,9}(\d{1,15})\s?/\s{0,9}(\d{1,15})\s{0,9}(?:\(\d{1,3}%\)\s?)?\]")
_LEADING_COUNT = re.compile(r"\W{0,9}(?:[\w \-]{1,40}[:\[(#=]\s{0,9})?(\d{1,15})\s?/\s?(\d{1,15})(?![\d/.])")
_LEADING_PERCENT = re.compile(r"\s{0,40}(?:[\d,.]{1,30}[kKMGT]?\s{1,9})?(\d{1,3}(?:\.\d{1,6})?)\s?%")
_POWER = {"": 1, "k": 1e3, "K": 1e3, "M": 1e6, "G": 1e9, "T": 1e12}

# --- names and values --------------------------------------------------------------------------------------------

_VALUE = (
    r"([-+]?(?:\d{1,30}(?:\.\d{0,30})?|\.\d{1,30})(?:e[-+]?\d{1,4})?|[-+]?(?:nan|inf)(?:inity)?)(?!\w|[.:/\-]\w|% of\b)"
)
_SPLIT = r"(?:train(?:ing)?|val(?:id(?:ation)?)?|test|eval(?:uation)?|avg|mean|total|running)"
_PAIR = re.compile(rf"(?<![\w./\-@$])((?:{_SPLIT}[ ])?[a-z_][\w./@\-]{{0,60}})\s{{0,4}}[=:]\s{{0,9}}{_VALUE}")
_KNOWN = (
    r"(?:loss|acc|accuracy|top[15]|f1|auc|auroc|ap|map|iou|miou|dice|mse|rmse|mae|nll|ppl|perplexity|bleu|rouge|wer|cer|psnr|ssim|fid"
    r"|precision|recall|reward|return|grad_norm|gnorm|elbo|kl|bpb|bpc)"
)
_IS_KNOWN = re.compile(rf"(?:^|[_/@. \-]){_KNOWN}(?:$|[_/@.\d\-])")
_SPACED = re.compile(
    rf"(?<![\w./\-])((?:{_SPLIT}[ _/])?(?:{_KNOWN}(?:@\d{{1,3}})?|lr|learning[ _]rate))[ \t]{{1,4}}{_VALUE}"
)
_STEP = re.compile(
    r"\b(?:global[_ ]?step|step|iteration|iter|it|update|updates)\b[\s:#=\[(]{0,9}(\d{1,15})(?![\w/]|[.:\-]\w|\s?/|\s?of\b)"
)
_EPOCH_ALONE = re.compile(r"\bepoch\b[\s:#=\[(]{0,9}(\d{1,9}(?:\.\d{1,9})?)(?![\w/]|[.:\-]\w)")
_QUOTED = re.compile(
    r"""['"]([^'"{}\[\],:]{1,100})['"]\s?:\s?(?:['"]([^'"]{1,40})['"]|([^\s'",{}\[\]]{1,40}))\s?(?=[,}])"""
)
_STEP_NAMES = ("step", "global_step", "iteration", "iter", "it", "update", "num_updates", "_step", "train/global_step")
_COUNTS = frozenset(_STEP_NAMES) | {"epoch", "epochs", "batch", "total", "done", "max_steps", "num_train_epochs"}
_NO_METRIC = re.compile(
    r"\.(?:py|ipynb|sh|c|cc|cpp|cu|go|rs|java|js|ts)$|(?:^|[_./ \-])(?:time|timestamp|ts|asctime|created|date|pid|ppid|tid|thread|port|host|rank|local_rank|world_size|node|retry|retries|attempt"
    r"|attempts|line|lineno|code|status|exit_code|exit|id|uuid|version|seed|eta|elapsed|v_num|year|month|day|hour|level|levelno)$",
    re.IGNORECASE,
)
_WORD = re.compile(r"\S{1,4096}+")
_ADDRESS = re.compile(r"[a-z]://|[?&][^=&\s]{1,100}=|(?<![^\"'(<\[])(?:~|\.{1,2})?/[a-z_%][^=]{0,4096}=")
"""Is found in a word that is a URL, a query or a path: what stands there names nothing of a training."""
_SETTING = re.compile(
    r"(?:^|[_./ \-])(?:batch_size|bs|num_workers|workers|epochs|max_steps|max_epochs|hidden|hidden_size|layers|num_layers|dropout"
    r"|weight_decay|wd|momentum|beta[12]?|betas|warmup|warmup_steps|seed|optimizer|device|patience|betas|eps)$",
    re.IGNORECASE,
)
_COUNTING = re.compile(rb"\d(?:\s?%|\s?/\s{0,9}\d| of +\d)")
_HAS_NUMBER = re.compile(rb"\d|nan|inf")
_WORDS = re.compile(
    rb"loss|acc|step|epoch|iter|lr|rate|reward|return|f1|auc|auroc|map|iou|dice|mse|mae|nll|ppl|perplexity|bleu|rouge|wer|cer|psnr|ssim|fid"
    rb"|precision|recall|norm|elbo|kl|top1|top5|bpb|bpc|update|ap@|it "
)
"""A line that has none of these, and no count, says nothing: most lines end here, at little cost."""


class Count(NamedTuple):
    """`done` of `total`; `left_ms` is the time that is left where the task prints it, `label` what stands before it."""

    done: float
    total: float
    left_ms: float | None = None
    label: str = ""

    @property
    def part(self) -> float:
        """How much of it is done, 0 to 1."""
        return self.done / self.total


class Said(NamedTuple):
    """What a line says. `leading`: a count that it begins with, which means progress only where the line is rewritten."""

    bar: Count | None
    epoch: Count | None
    step: float | None
    values: dict[str, float]
    leading: Count | None = None
    is_inner: bool = False
    """The bar is drawn below another one, to which the cursor goes back."""


def recognise(line: bytes, pattern: Pattern | None = None) -> Said | None:
    """What a line says, or None. With a pattern, metrics are what it finds and nothing else."""
    low = line.lower()
    may_say = _HAS_NUMBER.search(low) is not None and (
        _WORDS.search(low) is not None
        or ((b"%" in low or b"/" in low or b" of " in low) and _COUNTING.search(low) is not None)
    )
    if pattern is None and not may_say:
        return None
    text = _ESCAPE.sub("", line.decode(errors="replace"))
    said = _of_text(text) if may_say else None
    if pattern is not None:
        said = _by_pattern(text, pattern) or (None if said is None else said._replace(values={}, step=None))
    return said if said is None or _UP not in line else said._replace(is_inner=True)


def _of_text(text: str) -> Said | None:
    stripped = text.strip()
    if stripped.startswith("{") and stripped.endswith("}"):
        return _of_object(stripped)
    low = _without_addresses(_ascii_lower(text))
    epoch, bar, rest_from, leading = None, None, 0, None
    if "%" in text or "/" in text or " of" in low:
        epoch_match = _EPOCH.search(low)
        epoch = _whole(epoch_match)
        bar, rest_from = _bar(text)
        if bar is None:
            after = 0 if epoch_match is None else epoch_match.end()
            bar = _whole(_COUNTED.search(low)) or _whole(_BRACKETS.search(low, after))
        leading = _leading(text) if bar is None and epoch is None else None
    is_counted = bar is not None or epoch is not None
    step, values = _pairs(text[rest_from:], low[rest_from:], has_count=is_counted or leading is not None)
    if not is_counted and leading is None and not values:
        return None
    return Said(bar, epoch, step, values, leading)


def _ascii_lower(text: str) -> str:
    """In small letters, each character where it was."""
    return text.encode("utf-8", "replace").lower().decode()


def _without_addresses(low: str) -> str:
    """With spaces in place of URLs, queries and paths, each other character where it was."""
    if "=" not in low and "://" not in low:
        return low
    return _WORD.sub(lambda word: " " * len(word[0]) if _ADDRESS.search(word[0]) else word[0], low)


def _by_pattern(text: str, pattern: Pattern) -> Said | None:
    groups = pattern.groups(text)
    numbers = {name: number for name, found in groups.items() if (number := _number(found)) is not None}
    step, done, total = (numbers.pop(name, None) for name in ("step", "done", "total"))
    bar = None
    if done is not None and total is not None and 0 <= done <= total <= _COUNT_MAX and total > 0:
        bar = Count(done, total)
    if not numbers and bar is None:
        return None
    return Said(bar, None, step if step is not None and math.isfinite(step) else None, numbers, None)


# --- progress ----------------------------------------------------------------------------------------------------


def _bar(text: str) -> tuple[Count | None, int]:
    """A bar, and where it ends: metrics may stand after that."""
    for match in reversed(list(_TQDM.finditer(text)) if "%|" in text else []):
        done, total = float(match[2]) * _POWER[match[3]], float(match[4]) * _POWER[match[5]]
        if 0 <= done <= total and total > 0:
            return Count(done, total, _clock_ms(match[6]), _label(text[: match.start()])), match.end()
    for match in reversed(list(_PERCENT_BAR.finditer(text)) if "%" in text else []):
        percent = float(match[1] or match[2])
        if percent <= 100:
            steps = _whole(_AFTER_BAR.search(text, match.end()))
            return steps or Count(percent, 100.0, None, _label(text[: match.start()])), match.end()
    last = _COUNT_BAR.search(text) or _BAR_COUNT.search(text)
    return _whole(last), 0 if last is None else last.end()


def _leading(text: str) -> Count | None:
    found = _whole(_LEADING_COUNT.match(text))
    if found is None and (percent := _LEADING_PERCENT.match(text)) is not None and float(percent[1]) <= 100:
        found = Count(float(percent[1]), 100.0)
    return found


def _label(text: str) -> str:
    return text.strip(" :|\t")[:_LABEL_CHARACTERS]


def _whole(match: re.Match[str] | None) -> Count | None:
    if match is None:
        return None
    done, total = int(match[1]), int(match[2])
    return Count(float(done), float(total)) if 0 <= done <= total and total > 0 else None


def _clock_ms(text: str | None) -> float | None:
    """The milliseconds in `1:02:03` or `02:03`, or None for anything else."""
    parts = text.split(":") if text else []
    if not 2 <= len(parts) <= 3 or not all(part.isdecimal() and len(part) <= 6 for part in parts):
        return None
    seconds = 0
    for part in parts:
        seconds = 60 * seconds + int(part)
    return 1000.0 * seconds


# --- metrics -----------------------------------------------------------------------------------------------------


def _pairs(text: str, low: str, *, has_count: bool) -> tuple[float | None, dict[str, float]]:
    """The step and the metrics in pairs of names and numbers, where they are clearly those of a training."""
    values: dict[str, float] = {}
    for expression in (_SPACED, _PAIR):
        for match in expression.finditer(low):
            if len(values) < PRINTED_VALUES_MAX:
                name = text[match.start(1) : match.end(1)].replace(" ", "_").replace("-", "_")
                values.setdefault(name, float(match[2]))
    if not values:
        return None, {}
    found = _STEP.search(low)
    step = float(found[1]) if found is not None else None
    epoch = _EPOCH_ALONE.search(low)
    if not _is_of_training(values, has_count=has_count or step is not None or epoch is not None):
        return None, {}
    if step is None and not has_count and epoch is not None:
        step = float(epoch[1])
    return step, _metrics(values)


def _is_of_training(values: dict[str, float], *, has_count: bool) -> bool:
    kinds = set(map(_kind, values))
    if _Kind.KNOWN in kinds:
        return True
    if _Kind.SETTING in kinds:
        return False
    return has_count or (len(values) == 1 and next(iter(values)).lower() in {"lr", "learning_rate"})


def _metrics(values: dict[str, float]) -> dict[str, float]:
    return {name: value for name, value in values.items() if _kind(name) in {_Kind.KNOWN, _Kind.VALUE}}


class _Kind(Enum):
    KNOWN = "a metric, wherever it stands"
    VALUE = "a metric, where the line is one of a training"
    SETTING = "what somebody has chosen"
    OTHER = "no metric"


@lru_cache(maxsize=4_096)
def _kind(name: str) -> _Kind:
    """What a name stands for. The same names come again and again."""
    if _SETTING.search(name) is not None:
        return _Kind.SETTING
    if _NO_METRIC.search(name) is not None:
        return _Kind.OTHER
    if _IS_KNOWN.search(name) is not None:
        return _Kind.KNOWN
    lowered = name.lower()
    # `epoch` of `Train_Epoch` and of `train/epoch`.
    is_count = lowered in _COUNTS or re.split(r"[_/. ]", lowered)[-1] in _COUNTS
    return _Kind.OTHER if is_count else _Kind.VALUE


def _of_object(text: str) -> Said | None:
    """A line of JSON, or the dict of Python that Hugging Face's Trainer prints."""
    values = _json_numbers(text)
    if values is None:
        values = {}
        for match in _QUOTED.finditer(text):
            number = _number(match[2] or match[3])
            if number is not None and len(values) < PRINTED_VALUES_MAX:
                values[match[1]] = number
    step = next((values[name] for name in _STEP_NAMES if name in values), None)
    epoch = values.get("epoch")
    if not _is_of_training(values, has_count=step is not None or epoch is not None):
        return None
    metrics = _metrics(values)
    at = step if step is not None else epoch
    return Said(None, None, at if at is not None and math.isfinite(at) else None, metrics) if metrics else None


def _json_numbers(text: str) -> dict[str, float] | None:
    """The numbers in an object of JSON, also those one level deeper (`{"train": {"loss": 1}}` is `train/loss`)."""
    try:
        found = msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
        return None
    if not isinstance(found, dict):
        return {}
    values: dict[str, float] = {}
    for name, value in found.items():
        inner = value if isinstance(value, dict) else {name: value}
        prefix = f"{name}/" if isinstance(value, dict) and name != "metrics" else ""
        for key, one in inner.items():
            if isinstance(one, int | float) and not isinstance(one, bool) and len(values) < PRINTED_VALUES_MAX:
                values[f"{prefix}{key}"[:100]] = float(one)
    return values


def _number(text: str | None) -> float | None:
    try:
        return float(text) if text and "_" not in text else None
    except ValueError:
        return None
