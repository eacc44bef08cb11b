"""`python -m benchmarks gemm` measures the kernels; `python -m benchmarks report` draws them."""

import argparse

from benchmarks import gemm, report

parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
commands = parser.add_subparsers(dest="command", required=True)
command = commands.add_parser("gemm", help="every rung of the ladder against NumPy and PyTorch")
command.add_argument("--quick", action="store_true", help="shows that it runs, not how fast")
commands.add_parser("report", help="the figures and tables, from the results of the last run")
options = parser.parse_args()

if options.command == "gemm":
    gemm.main(options.quick)
report.main()
