"""How fast casd is beside nginx, and beside what the machine can do: `python -m tests.bench` (`--help` tells more).

Not a test: nothing here fails because something was slow. Each case runs its sides (casd, nginx, a bare limit) one
after the other in every round, in rotating order, so that what else the machine does meets them all; what is reported
are the medians over the rounds of the ratios within a round. `figures.py` has that arithmetic, `case.py` runs the
rounds, `transfers.py`, `latency.py`, `checked.py`, `moving.py` and `catalogues.py` hold the cases, `client.py` is the
process that loads a server, `peers.py` starts servers and reads what they used, `targets.py` and `report.py` say what
came out.
"""
