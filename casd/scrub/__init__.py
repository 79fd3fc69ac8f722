"""Reading all that is stored, again and again, so that damage is found before a reader meets it.

Light compares each block with its XXH3, deep the whole with its SHA-512; both read past the page cache and leave
nothing in it. What was not checked for longest comes first, and what was checked is recorded on the way: a run that
was stopped goes on where it was. What seems wrong is left to `judging.py`. No lock is held while anything is read.
"""

from casd.scrub.pace import Pace
from casd.scrub.report import Finding, ScrubReport
from casd.scrub.rounds import Rounds, ScrubRules
from casd.scrub.run import Scrub

__all__ = ["Finding", "Pace", "Rounds", "Scrub", "ScrubReport", "ScrubRules"]
