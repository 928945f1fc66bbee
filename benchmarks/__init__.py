"""Figures and ratios on a real control plane: `python -m benchmarks [--only NAME] [--quick]`.

Absolute times depend on the machine and on what else it does, so every benchmark measures a floor in the same run, in
turn with the operator, and the ratio of the medians is what counts. Results go to benchmarks/results/<name>.md.
"""
