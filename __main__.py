"""``python -m blockmill`` is the command ``blockmill``."""

import sys

_INTERRUPTED = 130  # as `client.formatting.exit_codes` has it


def main() -> None:
    """Entry point of ``blockmill``: ends quietly also if Ctrl-C comes while modules are imported."""
    try:
        from blockmill.client.cli.main import main as run

        run()
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(_INTERRUPTED)


if __name__ == "__main__":
    main()
