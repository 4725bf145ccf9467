"""python -m sqlinfer.cli: the sqlinfer command, where it is not on the PATH."""

from sqlinfer.cli import main

main(prog_name="sqlinfer")
