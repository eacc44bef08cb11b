"""An implementation of the network: ours, ours with a bug in it, or the files of a learner.

    {"layers": text of layers.py, ...} ──exec──> nn.layers.Linear, nn.losses.softmax, ...

Several stand side by side in one process. Within one of them `from layers import Linear`, as a
learner writes it, and `from scratchnet.nn.layers import Linear`, as we do, mean its own layers.py.
"""

import ast
import builtins
import functools
import re
from pathlib import Path
from types import ModuleType

import scratchnet

# The files of a learner's folder that are rewritten from scratch, and those of ours that they are.
FILES = {
    "layers": "nn/layers.py",
    "losses": "nn/losses.py",
    "network": "nn/network.py",
    "optim": "nn/optim.py",
    "batches": "data/batches.py",
    "conv": "nn/conv.py",
    "cnn": "nn/cnn.py",
    "activations": "nn/activations.py",
    "gan": "nn/gan.py",
}
PACKAGE = Path(scratchnet.__file__).parent


class Implementation:
    """Modules by their short names, as attributes: `nn.layers` is the module of layers.py.

    A module is run when it is first asked for; what is raised then is raised to who asked.
    """

    def __init__(self, sources):
        """Args: {short name: (path, text)} of the files."""
        self._sources, self._modules = sources, {}
        self.paths = [path for path, _ in sources.values()]

    def definitions(self, text):
        """Return ["layers.py, line 12"] of what a text names as "Linear.forward()"."""
        called = re.search(r"([\w.]+)\(\)", text)
        return [
            f"{path.name}, line {node.lineno}"
            for path, source in self._sources.values()
            for name, node in functions(ast.parse(source)).items()
            if called and name in (called[1], f"{called[1]}.__init__")
        ]

    def function_at(self, place):
        """Return "Linear.forward" of "layers.py, line 12", or None outside of a function."""
        for path, source in self._sources.values():
            for name, node in functions(ast.parse(source)).items() if path.name in place else ():
                lines = range(node.lineno, node.end_lineno + 1)
                if place in {f"{path.name}, line {line}" for line in lines}:
                    return name
        return None

    def __getattr__(self, name):
        if name not in self._sources:
            raise AttributeError(f"there is no {name}.py")
        if name not in self._modules:
            path, text = self._sources[name]
            module = ModuleType(name)
            module.__file__ = str(path)
            vars(module)["__builtins__"] = vars(builtins) | {"__import__": self._import}
            self._modules[name] = module
            try:
                exec(_compiled(str(path), text), vars(module))
            except BaseException:
                del self._modules[name]
                raise
        return self._modules[name]

    def _import(self, name, globals=None, locals=None, fromlist=(), level=0):
        own = re.sub(r"^scratchnet\.(nn|data)\.", "", name)
        if own in self._sources and (fromlist or own == name):
            return getattr(self, own)
        return builtins.__import__(name, globals, locals, fromlist, level)


def functions(tree):
    """Return {"Linear.forward": node, "softmax": node, ...} of a syntax tree."""
    found = {}
    for node in tree.body:
        if isinstance(node, ast.FunctionDef):
            found[node.name] = node
        elif isinstance(node, ast.ClassDef):
            found |= {
                f"{node.name}.{f.name}": f for f in node.body if isinstance(f, ast.FunctionDef)
            }
    return found


@functools.cache
def _compiled(path, text):
    return compile(text, path, "exec")


@functools.cache
def _text(file):
    return (PACKAGE / file).read_text(encoding="utf-8")


def ours():
    """Return scratchnet's own Implementation."""
    return Implementation(sources())


def sources(*bugs, lr=None):
    """Return {short name: (path, text)} of scratchnet's own files, with bugs in them.

    Args:
        bugs: `scratchnet.checking.bugs.Bug`s of the FILES.
        lr: the learning rate of the step, in place of the one that a few of the mistakes are
            written with.

    Raises:
        ValueError: two of them change the same text.
    """
    planted = {name: (PACKAGE / file, _text(file)) for name, file in FILES.items()}
    for bug in bugs:
        name = next(name for name, file in FILES.items() if file == bug.file)
        path, text = planted[name]
        text = bug.plant(text)
        if lr:
            text = text.replace("0.1 * self.dW", f"{lr!r} * self.dW")
        planted[name] = path, text
    return planted


@functools.cache
def with_bugs(*bugs, lr=None):
    """Return ours with bugs in it, as `sources`."""
    return Implementation(sources(*bugs, lr=lr))


def of_folder(folder, names=tuple(FILES)):
    """Return the Implementation that lies in a folder: every file of FILES that is there.

    OSError for a file that cannot be read, ValueError for one that is no text; they name it.
    """
    found = {}
    for name in names:
        path = Path(folder, f"{name}.py")
        if path.exists():
            try:
                found[name] = path, path.read_text(encoding="utf-8")
            except UnicodeDecodeError as error:
                raise ValueError(f"{path.name} is no text in UTF-8") from error
    return Implementation(found)
