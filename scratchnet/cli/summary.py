"""The summary that a command prints first: the data, the network, the kernel, the folder.

So nobody takes the sample for MNIST, or one kernel for another.
"""

import importlib.metadata
import textwrap

import threadpoolctl


def print_data(dataset, amounts):
    """Print whose images these are, so many, and from where."""
    titles = {"mnist": "MNIST", "sample": "a SAMPLE of MNIST, not the full set"}
    print(f"data    {titles.get(dataset.name, 'NOT MNIST')}: {amounts}, from {dataset.origin}")
    indent = {"initial_indent": " " * 8, "subsequent_indent": " " * 8}
    for line in textwrap.wrap(dataset.notice, 100, break_on_hyphens=False, **indent):
        print(line)


def print_network(network):
    """Print the shapes of a network's weights and biases, a line a layer, and their number."""
    layers = network.parametric_layers
    shapes = [f"{' x '.join(map(str, layer.W.shape))} + {len(layer.b)}" for layer in layers]
    width = 1 + max(map(len, shapes))
    for i, (layer, shape) in enumerate(zip(layers, shapes, strict=True), start=1):
        size = layer.W.size + layer.b.size
        print(f"        {layer.name + str(i):<7}  {shape:>{width}}  {size:>9,} parameters")
    total = sum(array.size for _, array in network.parameters())
    print(f"        {'':>7}  {'':>{width}}  {total:>9,} in all")


def print_machine(config, folder):
    """Print by which kernel the run multiplies, and where its files will lie."""
    print(f"kernel  {config.matmul} ({library(config.matmul)}), threads: {config.threads}")
    print(f"run     {folder}{' (a dry run: removed at the end)' if config.dry_run else ''}")


def library(name):
    """Name the library behind a kernel, for example "openblas 0.3.31"."""
    if name != "numpy":
        return f"numba {importlib.metadata.version('numba')}"
    blas = [info for info in threadpoolctl.threadpool_info() if info["user_api"] == "blas"]
    return f"{blas[0]['internal_api']} {blas[0]['version']}" if blas else "its own loops"


def print_commands(commands):
    """Print {module: what it does}, each as it is started."""
    for module, purpose in commands.items():
        print(f"python -m {module:22} {purpose}")
    print("\nEach lists its options with --help.")
