"""Asking for the description of a dataset, on an agent's link. The coordinator has decided who may ask."""

from opsconsole_protocol.bound import Label, Text, Whole
from opsconsole_protocol.dataset import DatasetDescription, DatasetFault, DatasetQuery
from opsconsole_protocol.link.message import Message


class DescribeDataset(Message, frozen=True, kw_only=True, tag="describe_dataset"):
    """Ask what a dataset is. Answered by `dataset_described`."""

    check_id: Whole
    query: DatasetQuery


class DatasetDescribed(Message, frozen=True, kw_only=True, tag="dataset_described"):
    """What a dataset is, or what is wrong with it; where it couldn't be looked at, `error` and `code` are as in `file_list`."""

    check_id: Whole
    description: DatasetDescription | None = None
    fault: DatasetFault | None = None
    code: Label = ""
    error: Text = ""
