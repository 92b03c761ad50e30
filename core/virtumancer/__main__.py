"""`python -m virtumancer`: the program, for an environment whose scripts are not on the path."""

from virtumancer.cli import main

main()
