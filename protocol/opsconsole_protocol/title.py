"""What a job without a name is called: the script or program that does the work, whatever starts it."""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, NamedTuple

TITLE_CHARACTERS_MAX = 40


class _Wrapper(NamedTuple):
    """A program that starts another command. The options in `valued` take the next word; with `most_valued` all but `flags` do."""

    words: tuple[str, ...] = ()
    """The words between it and its options: `run` of `uv run`."""
    valued: frozenset[str] = frozenset()
    flags: frozenset[str] = frozenset()
    most_valued: bool = False
    arguments: int = 0
    """How many words of its own come before the command: one for `timeout`, the duration."""
    python: bool = False
    """Whether it starts a script or, with -m, a module."""


def _options(text: str) -> frozenset[str]:
    return frozenset(text.split())


_LAUNCH = _Wrapper(flags=_options("--standalone -m --module --no-python --no_python --run-path --run_path -h"),
                   most_valued=True, python=True)  # fmt: skip
_WRAPPERS = {
    "env": _Wrapper(valued=_options("-u --unset -C --chdir -S")),
    "nice": _Wrapper(valued=_options("-n --adjustment")),
    "ionice": _Wrapper(valued=_options("-c -n -p")),
    "nohup": _Wrapper(),
    "setsid": _Wrapper(),
    "exec": _Wrapper(),
    "time": _Wrapper(valued=_options("-f -o")),
    "timeout": _Wrapper(valued=_options("-k -s --kill-after --signal"), arguments=1),
    "stdbuf": _Wrapper(valued=_options("-i -o -e")),
    "taskset": _Wrapper(arguments=1),
    "numactl": _Wrapper(valued=_options("-N -m -C -p -i")),
    "sudo": _Wrapper(valued=_options("-u -g -C -h -p")),
    "xvfb-run": _Wrapper(valued=_options("-n -s -f -e")),
    "srun": _Wrapper(flags=_options("--pty --exclusive --overlap --overcommit --label --unbuffered --verbose --quiet "
                                    "--kill-on-bad-exit --multi-prog --no-kill --propagate -l -u -v -Q -O -s -K -k"),
                     most_valued=True),
    "mpirun": _Wrapper(flags=_options("--oversubscribe --allow-run-as-root --report-bindings --tag-output -q -v"), most_valued=True),
    "mpiexec": _Wrapper(flags=_options("--oversubscribe --allow-run-as-root -q -v"), most_valued=True),
    "uv": _Wrapper(("run",), valued=_options("--with --with-requirements --with-editable --extra --group --only-group "
                                             "--env-file --python -p --project --directory --index --package")),
    "uvx": _Wrapper(valued=_options("--with --from --python -p")),
    "poetry": _Wrapper(("run",)),
    "pipenv": _Wrapper(("run",)),
    "pdm": _Wrapper(("run",)),
    "rye": _Wrapper(("run",)),
    "hatch": _Wrapper(("run",)),
    "pixi": _Wrapper(("run",), valued=_options("-e --environment --manifest-path")),
    "conda": _Wrapper(("run",), valued=_options("-n --name -p --prefix --cwd")),
    "mamba": _Wrapper(("run",), valued=_options("-n --name -p --prefix --cwd")),
    "micromamba": _Wrapper(("run",), valued=_options("-n --name -p --prefix --cwd")),
    "coverage": _Wrapper(("run",), valued=_options("--rcfile --source --omit --include"), python=True),
    "accelerate": _Wrapper(("launch",), flags=_LAUNCH.flags | _options("--multi_gpu --cpu --tpu --use_deepspeed --use_fsdp"),
                           most_valued=True, python=True),
    "torchrun": _LAUNCH,
    "deepspeed": _Wrapper(flags=_options("--no_python --module --no_local_rank --force_multi"), most_valued=True, python=True),
}  # fmt: skip
_LAUNCHING_MODULES = {"torch.distributed.run": _LAUNCH, "torch.distributed.launch": _LAUNCH}
_SHELLS = frozenset(["sh", "bash", "dash", "zsh", "ksh", "ash", "fish"])
_INTERPRETERS = {
    "python": _options("-W -X --check-hash-based-pycs"), "pypy": _options("-W -X"), "perl": _options("-I -M"), "ruby": _options("-I -r"),
    "node": _options("-r --require"), "julia": _options("-J -p -t --threads --project"), "Rscript": frozenset[str](), "lua": frozenset[str](),
}  # fmt: skip
_CODE = {
    "python": "-c",
    "pypy": "-c",
    "perl": "-e",
    "ruby": "-e",
    "node": "-e",
    "julia": "-e",
    "Rscript": "-e",
    "lua": "-e",
}


@lru_cache(maxsize=1_024)
def title_of(command: tuple[str, ...]) -> str:
    """A few words that tell one job from another. Asked for many times of a few commands."""
    return _cropped(_title(command)) or _cropped(_base(command[0])) or "job"


def shared_word(first: str, last: str, first_values: Mapping[str, Any], last_values: Mapping[str, Any]) -> str:
    """One word for a word that differs between two commands: with `{name}` for a parameter's value, else with `…` for what differs."""
    named, other = first, last
    for name, value in first_values.items():
        if value != last_values.get(name):
            named, other = (
                text.replace(str(one), f"{{{name}}}") if str(one) else text
                for text, one in ((named, value), (other, last_values.get(name)))
            )
    if named == other:
        return named
    start = _shared(first, last)
    end = _shared(first[start:][::-1], last[start:][::-1])
    return first[:start] + "…" + first[len(first) - end :]


def _shared(first: str, last: str) -> int:
    """How many characters two texts have in common at their beginning."""
    return next(
        (place for place, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), min(len(first), len(last))
    )


def _title(command: tuple[str, ...], *, is_script: bool = False) -> str:
    words = list(command)
    while words and _is_assignment(words[0]):
        words.pop(0)
    if not words:
        return ""
    name, rest = _base(words[0]), words[1:]
    wrapper = _WRAPPERS.get(name)
    if is_script or wrapper is None:
        return name if is_script else _program(name, rest)
    inner, module = _inner(wrapper, rest)
    if module:
        return module
    return _title(tuple(inner), is_script=wrapper.python) if inner else name


def _program(name: str, rest: list[str]) -> str:
    if name in _SHELLS:
        return _shell(name, rest)
    kind = name.rstrip("0123456789.")
    if kind not in _INTERPRETERS:
        return name
    place = 0
    while place < len(rest) and rest[place].startswith("-") and rest[place] != "-":
        option = rest[place]
        following = rest[place + 1] if place + 1 < len(rest) else ""
        if option == _CODE[kind]:
            return following or name
        if option == "-m" and kind in ("python", "pypy"):
            launch = _LAUNCHING_MODULES.get(following)
            if launch is None:
                return following or name
            inner, module = _inner(launch, rest[place + 2 :])
            return module or (_base(inner[0]) if inner else following)
        place += 2 if option in _INTERPRETERS[kind] else 1
    return _base(rest[place]) if place < len(rest) and rest[place] != "-" else name


def _shell(name: str, rest: list[str]) -> str:
    place = 0
    while place < len(rest):
        word = rest[place]
        if not word.startswith(("-", "+")):
            return _base(word)
        place += 1
        if word.startswith("--"):
            continue
        if word[-1] in "oO":
            place += 1  # the name of a shell option follows
        if "c" in word[1:]:
            return rest[place] if place < len(rest) else name
    return name


def _inner(wrapper: _Wrapper, rest: list[str]) -> tuple[list[str], str]:
    """The command that a wrapper starts, or a module that it runs."""
    words = list(rest)
    for expected in wrapper.words:
        if not words or words[0] != expected:
            return [], ""
        words.pop(0)
    left = wrapper.arguments
    while words:
        word = words[0]
        if word == "--":
            return words[1:], ""
        if (
            word in ("-m", "--module")
            and (wrapper.python or wrapper.words)
            and len(words) > 1
            and word not in wrapper.valued
        ):
            return [], words[1]
        if word.startswith("-"):
            attached = "=" in word or word[2:3].isdigit()
            takes = word in wrapper.valued or (wrapper.most_valued and word not in wrapper.flags)
            del words[: 2 if takes and not attached else 1]
        elif left:
            left -= 1
            del words[0]
        else:
            return words, ""
    return [], ""


def _is_assignment(word: str) -> bool:
    name, equals, _ = word.partition("=")
    return bool(equals) and name.isidentifier()


def _base(path: str) -> str:
    return path.rstrip("/").rsplit("/", 1)[-1]


def _cropped(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= TITLE_CHARACTERS_MAX else text[: TITLE_CHARACTERS_MAX - 1].rstrip() + "…"
