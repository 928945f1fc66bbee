"""Deliberate defects, one line each, and which lane finds them: `python -m tests.mutants`, or `make mutants`.

`listed` is the list, `lanes` what is run against a defect (in a process of its own, on a copy of the package),
`__main__` makes the copies and prints the table. The work tree is never touched.
"""
