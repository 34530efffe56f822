"""How jobs that wait for each other are drawn."""

from dataclasses import dataclass

from msgspec.structs import replace

from opsconsole_console.model.graph import graph_lines
from opsconsole_protocol.api import GraphRow, NeedRow
from tests.protocol.sample import JOB_ROW


@dataclass
class Jobs:
    """A graph from `name: what it waits for`."""

    needs: dict[str, list[NeedRow]]

    def lines(self) -> list[str]:
        rows = [GraphRow(job=replace(JOB_ROW, id=name), needs=tuple(needs)) for name, needs in self.needs.items()]
        return [f"{one.branch}{one.job.id} ({one.note})" for one in graph_lines(rows, str.upper)]


def after(name: str, end: str = "after", part: str = "") -> NeedRow:
    return NeedRow(id=name, end=end, part=part)


def test_a_diamond_stands_once_and_says_what_else_it_waits_for() -> None:
    jobs = Jobs(
        {
            "a": [],
            "b": [after("a")],
            "c": [after("a", "takes")],
            "d": [after("b"), after("c", "after_failure")],
            "e": [after("d", part="*"), after("a", "after_any", "3")],
        }
    )
    assert jobs.lines() == [
        "a ()",
        "├─ b ()",
        "│  └─ d (also after a failure of C)",
        "│     └─ e (task by task; also after any end of A, task 3)",
        "└─ c (with the results)",
    ]


def test_several_beginnings_stand_one_below_the_other() -> None:
    assert Jobs({"a": [], "b": [], "c": [after("b")], "d": [after("b", "after_any", "*")]}).lines() == [
        "a ()", "b ()", "├─ c ()", "└─ d (after any end, task by task)",
    ]  # fmt: skip


def test_a_job_alone_is_a_line() -> None:
    assert Jobs({"a": []}).lines() == ["a ()"]
