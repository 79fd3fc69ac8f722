"""`python -m casd` is `casd`."""

from casd.cli import main

main()
