"""The public names, with what they take."""

import inspect

import blockmill


def signature_of(thing):
    """Parameters with kinds and defaults; annotations are the type checker's."""
    found = inspect.signature(thing)
    bare = [p.replace(annotation=p.empty, default=default_of(p)) for p in found.parameters.values()]
    return str(found.replace(parameters=bare, return_annotation=found.empty))


class Shown:
    """A default by the text that stands for it."""

    def __init__(self, text):
        self.text = text

    def __repr__(self):
        return self.text


def default_of(parameter):
    value = parameter.default
    if value is parameter.empty or isinstance(value, (str, int, float, bytes, tuple, type(None))):
        return value
    return Shown(getattr(value, "__qualname__", f"<{type(value).__qualname__}>"))


def members_of(kind):
    """Own public attributes of a class: name, and what it takes where it can be called."""
    for name in sorted(dir(kind)):
        if name.startswith(("_", "model_")):  # those of pydantic are its own
            continue
        home = next((k for k in kind.__mro__ if name in vars(k)), None)
        if home is None or not home.__module__.startswith("blockmill"):
            continue
        static = inspect.getattr_static(kind, name)
        if isinstance(static, property) or not callable(getattr(kind, name)):
            yield f"    .{name}"
        else:
            yield f"    .{name}{signature_of(getattr(kind, name))}"


def described(name):
    thing = getattr(blockmill, name)
    if not inspect.isclass(thing):
        return [f"{name}{signature_of(thing)}" if callable(thing) else f"{name}: {type(thing).__name__}"]
    return [f"class {name}{signature_of(thing)}", *members_of(thing)]


def test_public_names_and_their_signatures(golden):
    lines = [line for name in sorted(blockmill.__all__) for line in described(name)]
    golden("public-names.txt", "\n".join(lines) + "\n")
