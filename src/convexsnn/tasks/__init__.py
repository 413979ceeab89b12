"""Seeded tasks with training, validation and test splits.

`load_task` draws or loads a task by name, `list_tasks` says which there are.
"""

from convexsnn.tasks.att import read_att, write_att
from convexsnn.tasks.automaton import Automaton, automaton_from_dict, read_automaton
from convexsnn.tasks.base import SequenceArrays, Split, Streams, TaskData, TaskInfo, TaskSettings, assemble, draw_splits
from convexsnn.tasks.dfa import DFA
from convexsnn.tasks.dfa_library import library_dfa, random_dfa
from convexsnn.tasks.joint import Feedback, JointLabels
from convexsnn.tasks.registry import TASK_FAMILIES, TaskFamily, check_task, list_tasks, load_task, smallest
from convexsnn.tasks.task_words import automaton_of

__all__ = [
    "DFA",
    "TASK_FAMILIES",
    "Automaton",
    "Feedback",
    "JointLabels",
    "SequenceArrays",
    "Split",
    "Streams",
    "TaskData",
    "TaskFamily",
    "TaskInfo",
    "TaskSettings",
    "assemble",
    "automaton_from_dict",
    "automaton_of",
    "check_task",
    "draw_splits",
    "library_dfa",
    "list_tasks",
    "load_task",
    "random_dfa",
    "read_att",
    "read_automaton",
    "smallest",
    "write_att",
]
