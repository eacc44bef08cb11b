"""Lines of code that a user writes: those that hold more than a comment or a docstring.

What a contender imports from its neighbours, another contender or `torch_ref`, is no library that
could be installed: its user writes these definitions, too, so they count.
"""

import ast
import tokenize

from benchmarks.readme import ROOT

SILENT = tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT
NEIGHBOURS = "benchmarks.contenders", "torch_ref"


def count_lines(path):
    """The number of lines of code of a contender, and of the definitions it takes from others.

    Definitions of another contender are followed further. Those of `torch_ref` are not: what they
    use in turn is for the comparison with PyTorch, and no user of it needs that.
    """
    lines = {(path, number) for number in code_lines(content(path))}
    wanted, found = list(neighbours(path, parsed(path))), set()
    while wanted:
        file, name = wanted.pop()
        defined = {node.name: node for node in parsed(file).body if hasattr(node, "name")}
        if (file, name) in found or name not in defined:  # such as a library's, passed on
            continue
        found.add((file, name))
        node = defined[name]
        first = min(part.lineno for part in (node, *node.decorator_list))
        lines |= {(file, n) for n in code_lines(content(file)) if first <= n <= node.end_lineno}
        if file.parent.name == "contenders":
            wanted += neighbours(file, node)
            wanted += ((file, other) for other in names_in(node) & defined.keys())
    return len(lines)


def neighbours(path, within):
    """Yield (file, name) of what a part of a file uses of the neighbours that the file imports."""
    for node in ast.walk(parsed(path)):
        if not isinstance(node, ast.ImportFrom) or not node.module.startswith(NEIGHBOURS):
            continue
        for alias in node.names:
            name, place = alias.asname or alias.name, ROOT / node.module.replace(".", "/")
            if name not in names_in(within):
                continue
            if (module := place / f"{alias.name}.py").exists():
                yield from ((module, attribute) for attribute in attributes_of(name, within))
            else:
                yield place.with_suffix(".py"), alias.name


def names_in(node):
    """The names that a part of a program uses."""
    return {part.id for part in ast.walk(node) if isinstance(part, ast.Name)}


def attributes_of(name, node):
    """What a part of a program takes from the module of that name."""
    return {
        part.attr
        for part in ast.walk(node)
        if isinstance(part, ast.Attribute)
        and isinstance(part.value, ast.Name)
        and part.value.id == name
    }


def content(path):
    return path.read_text(encoding="utf-8")


def parsed(path):
    return ast.parse(content(path))


def code_lines(source):
    """The numbers of the lines of a Python file's content that hold code."""
    lines = set()
    for token in tokenize.generate_tokens(iter(source.splitlines(keepends=True)).__next__):
        if token.type not in (*SILENT, tokenize.ENDMARKER):
            lines.update(range(token.start[0], token.end[0] + 1))
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(
            node
        ):
            docstring = node.body[0]
            lines.difference_update(range(docstring.lineno, docstring.end_lineno + 1))
    return lines
