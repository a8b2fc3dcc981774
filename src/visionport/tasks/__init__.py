"""What goes out: answers, when two agree, and how they are recorded, drawn and measured. A module or folder a task."""

import importlib
from typing import TYPE_CHECKING

from visionport.errors import InputError, nearest

if TYPE_CHECKING:
    from visionport.tasks.base import Task

# Task -> the module that holds it, as TASK.
TASKS = {name: f"visionport.tasks.{name}.task" for name in ("detection", "classification", "segmentation", "video")}


def task_of(name: str) -> "Task":
    """The task of that name; raises InputError for an unknown one, as a manifest of a later version may name."""
    if name not in TASKS:
        raise InputError(f"the task {name!r} is not known{nearest(name, TASKS)}. Known: {', '.join(TASKS)}.")
    return importlib.import_module(TASKS[name]).TASK
