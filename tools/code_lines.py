"""Count code lines: neither blank, nor a comment, nor a docstring.

    python tools/code_lines.py [CHECKOUT] [--compare OTHER_CHECKOUT] [--files]

A statement over several lines counts each line that holds a part of it; all lines of a text that is a value
count, blank ones as well. A string that is a statement by itself documents something and counts nothing.
"""

from __future__ import annotations

import argparse
import ast
import io
import sys
import tokenize
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

TOP = ("shared", "daemon", "workers", "client")
_NO_CODE = {
    tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENCODING,
    tokenize.ENDMARKER,
}  # fmt: skip


def code_lines(source: str) -> int:
    """Count the code lines of a module."""
    documented = set(_documented_lines(ast.parse(source)))
    lines: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type in _NO_CODE or (token.type == tokenize.STRING and token.start[0] in documented):
            continue
        lines.update(range(token.start[0], token.end[0] + 1))
    return len(lines)


def _documented_lines(tree: ast.AST) -> Iterator[int]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(value := node.value, ast.Constant):
            text = isinstance(value.value, str)
            yield from range(node.lineno, (node.end_lineno or node.lineno) + 1) if text else ()


def count_files(checkout: Path) -> dict[str, int]:
    """Count the code lines of each module of a checkout's product, by its path in the checkout.

    Raises
    ------
    SystemExit
        If there is no product in `checkout`, or a module can't be parsed.
    """
    if not (checkout / TOP[0]).is_dir():
        raise SystemExit(f"{checkout}: there is no folder {TOP[0]}/ in it; name a checkout of blockmill")
    paths = sorted(
        [*checkout.glob("*.py"), *(path for top in TOP for path in (checkout / top).rglob("*.py"))]
    )
    return {path.relative_to(checkout).as_posix(): _of_file(path) for path in paths}


def _of_file(path: Path) -> int:
    try:
        return code_lines(path.read_text(encoding="utf-8"))
    except (SyntaxError, UnicodeDecodeError) as error:
        raise SystemExit(f"{path}: no Python that this interpreter reads: {error}") from None


def by_package(files: dict[str, int]) -> Counter[str]:
    """Sums of each package (`daemon/`), of each top folder with all in it (`daemon/**`), and of all."""
    sums: Counter[str] = Counter()
    for path, count in files.items():
        folder, _, name = path.rpartition("/")
        sums[f"{folder}/" if folder else "(root)"] += count
        if folder:
            sums[f"{folder.split('/')[0]}/**"] += count
        if name == "__init__.py":
            sums["__init__.py of all"] += count
        sums["total"] += count
    return sums


def table(sums: dict[str, int], old: dict[str, int] | None = None) -> str:
    """Format a line for each name.

    Parameters
    ----------
    sums : dict of str to int
    old : dict of str to int, optional
        Figures to compare with.

    Returns
    -------
    str
    """
    names = sorted({*sums, *(old or {})}, key=_sort_key)
    width = max(map(len, names))
    if old is None:
        return "\n".join(f"{name:<{width}} {sums[name]:>7,}" for name in names)
    rows = [f"{'':<{width}} {'other':>7} {'this':>7} {'change':>7}"]
    for name in names:
        before, now = old.get(name, 0), sums.get(name, 0)
        rows.append(f"{name:<{width}} {before:>7,} {now:>7,} {now - before:>+7,}")
    return "\n".join(rows)


def _sort_key(name: str) -> tuple[bool, bool, str]:
    return name == "total", name.startswith("__init__.py of"), name.replace("/**", "")


def main(arguments: list[str] | None = None) -> int:
    """Print the table; return the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("checkout", type=Path, nargs="?", default=Path(__file__).resolve().parent.parent)
    parser.add_argument("--compare", type=Path, metavar="OTHER_CHECKOUT", help="its figures and the changes")
    parser.add_argument("--files", action="store_true", help="of each module, not of each package")
    args = parser.parse_args(arguments)
    sums = [count_files(checkout) for checkout in (args.checkout, args.compare) if checkout is not None]
    print(table(*sums) if args.files else table(*map(by_package, sums)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
