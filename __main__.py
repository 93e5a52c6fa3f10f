"""``python -m blockmill`` is the command ``blockmill``."""

from blockmill.client.cli.main import main

if __name__ == "__main__":
    main()
