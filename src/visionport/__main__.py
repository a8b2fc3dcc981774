"""python -m visionport: the command line."""

from visionport.cli import main

main(prog_name="visionport")
