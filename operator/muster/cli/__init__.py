"""The `muster` command, also `kubectl muster`: one module a command, imported when it is called.

Each command module has one function `command` whose docstring is its help, with an example. `-o json` prints a stable
schema (api.md). What goes wrong is one clear line on standard error and exit code 1, never a traceback: raise
`output.Failed`. `main.main(argv)` returns the exit code; `what-if` and `explain` answer 0 (fits or is placed),
2 (waits), 3 (never will), 1 (error); of several jobs the worst in the order 0 < 2 < 3 < 1.
"""
