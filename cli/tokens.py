"""``parked tokens``: who may ask about which phones."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer

from cli.console import JsonOption, emit, table
from cli.inputs import MOMENT, moment, user_name

if TYPE_CHECKING:
    from parked.tokens import Kind, TokenRecord

app = typer.Typer(
    name="tokens",
    help="Bearer tokens of the REST service: make, list, revoke. Servers ask for them with PARKED_SERVE_AUTH=tokens.",
    no_args_is_help=True,
)

SHOWN = 3
"""Devices of a token that a list names."""


@app.command()
def create(
    device: Annotated[list[str] | None, typer.Option(help="A device it is for; repeat for more.")] = None,
    all_devices: Annotated[bool, typer.Option("--all-devices", help="It is for every device.")] = False,
    may: Annotated[
        list[str] | None,
        typer.Option(help="What it may do: read, write, or both (read,write, or once for each); default: both."),
    ] = None,
    name: Annotated[str, typer.Option(help="Whose it is or what for, for the list.")] = "",
    expires: Annotated[str | None, typer.Option(help=f"When it ends, {MOMENT}; default: never.")] = None,
    rate: Annotated[
        float | None,
        typer.Option(min=0, help="Requests a second over all workers, 0: no limit; default PARKED_SERVE_RATE_PER_S."),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Make a token. It is shown this once; only its hash is kept.

    Example: parked tokens create --device phone-0042 --name "Jane's phone"
    """
    from parked.errors import InputError

    if all_devices == bool(device):
        raise InputError("a token needs a scope", mend="give either --device (once or more) or --all-devices")
    kinds = _kinds(may)
    expires_at = moment("--expires", expires)
    import secrets

    from parked.clock import system_clock
    from parked.opsdb.engine import open_database
    from parked.opsdb.tokens import create_token
    from parked.settings import load_settings

    minted = create_token(
        open_database(load_settings().database),
        devices=None if all_devices else device,
        kinds=kinds,
        name=name,
        who=user_name(),
        clock=system_clock,
        random=secrets.token_bytes,
        expires_at=expires_at,
        rate_per_s=rate,
    )
    emit(
        {"id": minted.id, "token": minted.token},
        json=json,
        text=f"{minted.token}\nKeep it: it is not shown again. Send it as: Authorization: Bearer <token>. "
        f"End it with: parked tokens revoke {minted.id}",
    )


@app.command("list")
def list_(json: JsonOption = False) -> None:
    """List all tokens, newest first: whose they are and what they may do, never the tokens themselves.

    Example: parked tokens list --json
    """
    from parked.clock import system_clock
    from parked.opsdb.engine import open_database
    from parked.opsdb.tokens import list_tokens
    from parked.settings import load_settings
    from parked.tokens import describe

    found = list_tokens(open_database(load_settings().database))
    now = system_clock()
    if json:
        emit({"tokens": [{**describe(record), "state": record.state(now)} for record in found]}, json=True)
    elif not found:
        emit({}, json=False, text="No tokens yet; `parked tokens create` makes one.")
    else:
        table("Tokens", ["id", "name", "devices", "may", "expires", "state"], [_row(record, now) for record in found])


@app.command()
def revoke(
    token: Annotated[str, typer.Argument(metavar="ID", help="As `parked tokens list` shows it.")],
    json: JsonOption = False,
) -> None:
    """Revoke a token: every running server refuses it within seconds.

    Example: parked tokens revoke 5f2b8c1d9e7a4630
    """
    from parked.clock import system_clock
    from parked.opsdb.engine import open_database
    from parked.opsdb.tokens import revoke_token
    from parked.settings import load_settings

    token_id = _id_of(token)
    revoked = revoke_token(open_database(load_settings().database), token_id, who=user_name(), clock=system_clock)
    emit(
        {"id": token_id, "revoked": revoked},
        json=json,
        text=f"Revoked {token_id}." if revoked else f"{token_id} was revoked already.",
    )


def _kinds(may: list[str] | None) -> tuple[Kind, ...]:
    from parked.errors import InputError
    from parked.tokens import KINDS

    if may is None:
        return KINDS
    text = ",".join(may)
    told = {part.strip() for part in text.split(",")}
    if told - set(KINDS):
        raise InputError(f"--may {text}: not one of {', '.join(KINDS)}", mend="give read, write, or read,write")
    return tuple(kind for kind in KINDS if kind in told)


def _id_of(told: str) -> str:
    """The id, also where the whole token was given; so that it is not repeated in an error."""
    parts = told.split("_")
    return parts[1] if parts[0] == "parked" and len(parts) >= 3 else told


def _row(record: TokenRecord, now: datetime) -> tuple[str, ...]:
    if record.devices is None:
        devices = "all"
    else:
        more = len(record.devices) - SHOWN
        devices = ", ".join(record.devices[:SHOWN]) + (f" and {more} more" if more > 0 else "")
    expires = "never" if record.expires_at is None else f"{record.expires_at:%Y-%m-%d %H:%M}"
    return record.id, record.name, devices, ", ".join(record.kinds), expires, record.state(now)
