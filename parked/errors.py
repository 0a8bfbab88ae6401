"""The one error tree.

ParkedError
├── UserError            a person's mistake: one line, exit code 2, nothing changed
│   ├── InputError       a file or record that is not what it must be (missing, wrong columns, empty, unreadable)
│   ├── SettingError     a setting, policy, rules or outlier file with a wrong value
│   ├── NotFoundError    a named thing that is not there (a model, a run, a device)
│   └── ConflictError    the thing asked for clashes with what is (port taken, model already champion)
└── InternalError        our mistake: a broken invariant, a damaged store
"""

from __future__ import annotations

import errno


class ParkedError(Exception):
    """Root of every error this platform raises on purpose."""

    exit_code = 1


class UserError(ParkedError):
    """A person's mistake. ``str(error)`` is one line naming the input and the mend.

    >>> str(InputError("drive.csv: no such file", mend="check the path"))
    'drive.csv: no such file; check the path'
    """

    exit_code = 2

    def __init__(self, what: str, *, mend: str = "") -> None:
        self.what = what
        self.mend = mend
        super().__init__(f"{what}; {mend}" if mend else what)


class InputError(UserError):
    """A file or record that is not what it must be."""


class SettingError(UserError):
    """A setting, policy, rules or outlier file holds a wrong value."""


class NotFoundError(UserError):
    """A named thing does not exist."""


class ConflictError(UserError):
    """The request clashes with the present state."""


class InternalError(ParkedError):
    """A broken invariant or a damaged store: ours to mend, not the user's."""


def first_line(error: BaseException) -> str:
    """The first line of what an error says; its type's name where it says nothing.

    >>> first_line(ValueError("no magic bytes\\nin 12 bytes")), first_line(ValueError())
    ('no magic bytes', 'ValueError')
    """
    return next(iter(str(error).strip().splitlines()), type(error).__name__)


def is_full(error: OSError) -> bool:
    """Is it that a disk, or somebody's share of it, is full?"""
    return error.errno in (errno.ENOSPC, errno.EDQUOT)
