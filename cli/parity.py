"""``parked monitor parity``: was what the server fed its model what was known then?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.console import JsonOption, emit, progress
from cli.inputs import MOMENT, RulesOption, moment, settings_of

if TYPE_CHECKING:
    from monitoring.parity import Mismatch, Parity

SHOWN = 10
"""Mismatches told without --json."""


def parity(
    start: Annotated[
        str | None, typer.Option("--from", help=f"Answers from this on, {MOMENT}; default: all logged.")
    ] = None,
    end: Annotated[str | None, typer.Option("--to", help="Answers before this; default: all logged.")] = None,
    sample: Annotated[int, typer.Option(min=1, max=100_000, help="So many answers, chosen by hash.")] = 500,
    lag: Annotated[
        float, typer.Option(min=0, max=31_622_400, help="Seconds that news may wait for the online store.")
    ] = 3600.0,
    rules: RulesOption = None,
    json: JsonOption = False,
) -> None:
    """Compare served features with the offline ones as known at the moment of each answer, bit for bit.

    Exit code 1 where one answer rests on something else: all or part of it on what was known longer ago than --lag, on
    what became known only later, or on what never was.

    Example: parked monitor parity --from 2024-05-01 --sample 1000
    """
    from datetime import UTC, datetime

    from monitoring.parity import as_dict, check_parity
    from monitoring.windows import Window
    from parked.errors import InputError

    if lag != lag:  # NaN passes typer's bounds
        raise InputError("--lag nan", mend="give seconds")
    first, last = moment("--from", start), moment("--to", end)
    window = None
    if first or last:
        window = Window(first or datetime.min.replace(tzinfo=UTC), last or datetime.max.replace(tzinfo=UTC))
    settings = settings_of(rules)
    with progress("comparing with what was known") as advance:
        found = check_parity(settings, window, most=sample, lag_s=lag, progress=advance)
    emit(
        {**_counts(found), "mismatches": [as_dict(mismatch) for mismatch in found.mismatches]}, json=json,
        text=_told(found),
    )  # fmt: skip
    if found.mismatches:
        raise typer.Exit(1)


def _counts(found: Parity) -> dict[str, Any]:
    return {
        "answers": found.answers,
        "candidates": found.candidates,
        "equal": found.equal,
        "behind": found.behind,
        "mixed": found.mixed,
        "most_behind_s": found.most_behind_s,
        "as_if_live": found.as_if_live,
        "mismatched": len(found.mismatches),
    }


def _told(found: Parity) -> str:
    if not found.answers:
        return "No answers of these rules in the prediction log: nothing to compare."
    lines = [
        f"{found.answers} answers ({found.candidates} candidates): {found.equal} rest on all that was known then, "
        f"{found.behind} on a little less and {found.mixed} in part (news waited {found.most_behind_s:.0f} s at most), "
        f"{len(found.mismatches)} on something else.",
    ]
    if found.as_if_live:
        lines.append(f"{found.as_if_live} not judged: their phones' times of receipt are stated, not observed.")
    lines += [_line(mismatch) for mismatch in found.mismatches[:SHOWN]]
    if len(found.mismatches) > SHOWN:
        lines.append(f"... and {len(found.mismatches) - SHOWN} more; --json tells all.")
    return "\n".join(lines)


def _line(mismatch: Mismatch) -> str:
    names = sorted({difference.feature for difference in mismatch.differences})
    shown = ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
    by = "" if mismatch.seconds is None else f" by {mismatch.seconds:.0f} s"
    return f"{mismatch.verdict}{by}: answer {mismatch.answer_id} of {mismatch.device_id}, in {shown}"
