"""The `tsugiki` command. The rules of the workflow call it; so do people."""

from __future__ import annotations

import sys

from tsugiki.terminal import end_by_hand
from tsugiki.workers.dispatch import dispatch


def main(arguments: list[str] | None = None) -> None:
    """Run a command.

    What a worker can do is dispatched to it before anything else is imported: most of a short step's
    time would be spent on imports.
    """
    given = sys.argv[1:] if arguments is None else arguments
    try:
        status = dispatch(given)
        if status is not None:
            sys.exit(status)
        from tsugiki.commands.all import main as run

        run(given)
    except KeyboardInterrupt:
        end_by_hand(told="--log" not in given)


if __name__ == "__main__":
    main()
