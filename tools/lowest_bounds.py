"""Print pip's pins for the lowest versions that pyproject.toml declares: `name==bound` of each `name>=bound`.

Names of extras may follow; an extra that takes up others (`blockmill[test]`) brings theirs with it.
"""

import re
import sys
import tomllib
from pathlib import Path
from typing import Any

PYPROJECT = Path(__file__).resolve().parent.parent / "pyproject.toml"
_REQUIREMENT = re.compile(r"(?P<name>[\w.-]+)(?:\[(?P<extras>[\w,. -]+)\])?(?:(?:>=|==)(?P<version>[\w.]+))?")


def pins(project: dict[str, Any], extras: list[str]) -> dict[str, str]:
    """Return pins by name, of the project's own dependencies and those of its extras.

    Parameters
    ----------
    project
        The table `project` of pyproject.toml.
    extras
        Names of extras.

    Returns
    -------
    dict
        `name` or `name[extra]`, and its version.

    Raises
    ------
    ValueError
        If a requirement has no lower bound, or is written in a way that isn't known here.
    """
    pins_by_name: dict[str, str] = {}
    pending = list(project["dependencies"])
    for extra in extras:
        pending += project["optional-dependencies"][extra]
    while pending:
        text = pending.pop(0)
        match = _REQUIREMENT.fullmatch(text)
        if match is not None and match["name"] == project["name"] and match["extras"]:
            pending += [
                each
                for extra in match["extras"].split(",")
                for each in project["optional-dependencies"][extra.strip()]
            ]
        elif match is not None and match["version"]:
            extras_text = f"[{match['extras']}]" if match["extras"] else ""
            pins_by_name[match["name"] + extras_text] = match["version"]
        else:
            raise ValueError(f"{PYPROJECT}: {text!r} has no lower bound; write it as name>=version")
    return pins_by_name


if __name__ == "__main__":
    for name, version in pins(tomllib.loads(PYPROJECT.read_text())["project"], sys.argv[1:]).items():
        print(f"{name}=={version}")
