"""Public functions document their parameters, results and errors; every package says what it is.

Public is what ``blockmill.__all__`` names and what a package exports from its ``__init__``: functions, and of
classes the constructor and the public methods, also inherited ones that are written in this project.
"""

import ast
import builtins
import importlib
import inspect
import re
import textwrap
from functools import cached_property
from pathlib import Path

import pytest

import blockmill
from blockmill.shared import errors

ROOT = Path(blockmill.__file__).parent
PACKAGES = sorted(
    path.parent.relative_to(ROOT).as_posix()
    for top in ("shared", "daemon", "workers", "client")
    for path in (ROOT / top).rglob("__init__.py")
)
# An OSError is not among them: ours are translated before they leave the function.
ON_PURPOSE = (errors.BlockmillError, ValueError, TypeError, LookupError)
WITHOUT_RESULT = ("None", "NoReturn", "Never", inspect.Signature.empty, None)


def sections(docstring):
    """The sections of a numpydoc docstring: title -> its lines."""
    found, title = {}, ""
    lines = inspect.cleandoc(docstring or "").splitlines()
    for line, below in zip(lines, [*lines[1:], ""], strict=False):
        if re.fullmatch(r"-{3,}", below) and len(below) == len(line):
            title = line
        found.setdefault(title, []).append(line)
    return {title: lines[2:] for title, lines in found.items() if title}


def entries(lines):
    """The names that a section has an entry for: ``a, b : int`` has two, ``*rest`` is named rest."""
    heads = (line.split(" : ")[0] for line in lines if line and not line[0].isspace())
    return [name.strip().lstrip("*").rstrip(":") for head in heads for name in head.split(",")]


def described(lines):
    """Whether a section holds text below its title."""
    return any(line.strip() for line in lines)


def raised(function):
    """Classes of the errors that a function's own body raises: ``raise X(...)``, functions in it left out."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    waiting, names = list(tree.body[0].body), set()
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Lambda):
            continue
        if isinstance(node, ast.Raise):
            raises = node.exc.func if isinstance(node.exc, ast.Call) else node.exc
            names.add(ast.unparse(raises) if raises is not None else "")
        waiting += ast.iter_child_nodes(node)
    known = (function.__globals__.get(name, getattr(builtins, name, None)) for name in names)
    return {kind for kind in known if inspect.isclass(kind) and issubclass(kind, ON_PURPOSE)}


def parameters(function, bound=False):
    """The names of a function's parameters; `bound`: without the first, which is the instance or class."""
    return list(inspect.signature(function).parameters)[bound:]


def faults_of(function, docstring, names):
    """What a docstring with two or more parameters lacks, as sentences; empty if nothing."""
    found, faults = sections(docstring), []
    if len(names) < 2:
        return faults
    listed = entries(found.get("Parameters", []))
    if sorted(listed) != sorted(names):
        faults.append(f"Parameters: {listed} are documented, {names} exist")
    returns = inspect.signature(function).return_annotation not in WITHOUT_RESULT
    if returns and not any(described(found.get(title, [])) for title in ("Returns", "Yields")):
        faults.append("Returns is missing")
    documented = {
        getattr(errors, name, function.__globals__.get(name, getattr(builtins, name, None)))
        for name in entries(found.get("Raises", []))
    }
    parents = tuple(kind for kind in documented if inspect.isclass(kind))
    faults += [f"Raises: {kind.__name__}" for kind in raised(function) if not issubclass(kind, parents)]
    return faults


def unwrapped(member):
    """The function behind a method, class method, static method or property; None of anything else."""
    if isinstance(member, staticmethod | classmethod):
        member = member.__func__
    if isinstance(member, property | cached_property):
        member = member.fget if isinstance(member, property) else member.func
    member = inspect.unwrap(member) if callable(member) else member
    return member if inspect.isfunction(member) and member.__module__.startswith("blockmill") else None


def constructor(kind):
    """(function, docstring, parameters) of a class with a constructor of its own; the class documents it.

    None of dataclasses, which list their attributes, and of errors, whose docstring is their default message.
    """
    init = unwrapped(kind.__dict__.get("__init__"))
    if init is None or "__dataclass_fields__" in kind.__dict__ or issubclass(kind, Exception):
        return None
    return init, kind.__doc__, parameters(init, bound=True)


def functions_of(name, value):
    """(name, function, docstring, parameters) of a public function, or of what a public class offers."""
    if inspect.isfunction(value):
        yield name, value, value.__doc__, parameters(value)
    elif inspect.isclass(value) and value.__module__.startswith("blockmill"):
        if (made := constructor(value)) is not None:
            yield name, *made
        for member in dir(value):
            found = inspect.getattr_static(value, member)
            function = None if member.startswith("_") else unwrapped(found)
            if function is not None:
                names = parameters(function, bound=not isinstance(found, staticmethod))
                yield f"{name}.{member}", function, function.__doc__, names


def public():
    """All public functions: ``Class.method`` or ``package.function`` -> (function, docstring, parameters)."""
    values = {name: getattr(blockmill, name) for name in blockmill.__all__}
    for package in PACKAGES:
        module = importlib.import_module("blockmill." + package.replace("/", "."))
        values |= {f"{package}.{name}": getattr(module, name) for name in getattr(module, "__all__", ())}
    return {name: rest for exported, value in values.items() for name, *rest in functions_of(exported, value)}


PUBLIC = public()


@pytest.mark.parametrize("name", sorted(PUBLIC))
def test_a_public_function_documents_parameters_result_and_errors(name):
    function, docstring, names = PUBLIC[name]
    assert faults_of(function, docstring, names) == []


def table_of_imports():
    """MAY_IMPORT of test_layers.py, read rather than imported: a test module is no library."""
    for node in ast.parse((ROOT / "tests/test_layers.py").read_text()).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "MAY_IMPORT":
            return ast.literal_eval(node.value)
    raise AssertionError("test_layers.py has no MAY_IMPORT")


def in_words(package, allowed):
    """Packages as a docstring names them: within the same floor by their path in it, else by the floor."""
    top = package.split("/")[0]
    for one in allowed.split():
        floor, _, rest = one.partition("/")
        yield rest.replace("/", ".") if floor == top and rest else floor.replace("the-root", "blockmill")


@pytest.mark.parametrize("package", PACKAGES)
def test_a_package_says_what_it_is_and_what_it_may_import(package):
    docstring = ast.get_docstring(ast.parse((ROOT / package / "__init__.py").read_text())) or ""
    assert len(docstring.partition("May import:")[0].split()) >= 5
    allowed = table_of_imports().get(package)
    if allowed is not None:
        named = re.search(r"May import: ([^:]+)\.$", docstring)
        assert named, "the last line should be 'May import: names of packages.'"
        names = set(re.split(r",\s+", named[1])) - {"nothing of ours"}
        assert names == set(in_words(package, allowed))
