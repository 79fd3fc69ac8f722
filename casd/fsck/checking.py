"""`casd fsck`: everything that can be known of a stopped store without trusting any of it.

The order: the catalogue's file, then files against rows, uploads, quarantine, and last the catalogue's own sums,
which what went before may have changed.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from casd import folder
from casd.catalogue.sqlite.stopped import StoppedCatalogue
from casd.errors import CatalogueForeign, CatalogueUnusable
from casd.fsck.findings import Finding, Found, Outcome, Task
from casd.fsck.incoming import check_incoming, check_quarantine, check_secrets
from casd.fsck.payloads import Payloads
from casd.payloads.proving import Progress

BEFORE_REPAIR = "repair needs a catalogue that SQLite can read: restore a backup, or `casd fsck --rebuild`"


@dataclass(slots=True)
class Checked:
    """What was looked at, and how many findings ended how."""

    payloads: int = 0
    bytes: int = 0
    blobs: int = 0
    read_payloads: int = 0
    outcomes: dict[Outcome, int] = field(default_factory=lambda: dict.fromkeys(Outcome, 0))

    @property
    def is_whole(self) -> bool:
        """Nothing is wrong, or nothing is any more."""
        return not self.outcomes[Outcome.LEFT] and not self.outcomes[Outcome.CONTAINED]


def check(
    data: Path,
    progress: Progress,
    found: Found,
    *,
    for_repair: bool = False,
    is_deep: bool = False,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> Checked:
    """Tell `found` of all that is wrong with the store, and return how it stands. The caller holds the folder.

    Without repair nothing is changed. Raises CatalogueForeign for a catalogue that is not this casd's, OSError.
    """
    checked = Checked()

    def count(finding: Finding) -> None:
        checked.outcomes[finding.outcome] += 1
        found(finding)

    task = Task(data, for_repair, is_deep, progress, count, now)
    path = data / folder.CATALOGUE
    try:
        with StoppedCatalogue.opened(path, for_repair=for_repair) as catalogue:
            if _check_file(task, catalogue, path):
                _check_contents(task, catalogue, checked)
    except CatalogueForeign:
        raise
    except CatalogueUnusable as error:
        task.tell("catalogue-unusable", str(error), "no daemon starts on it", BEFORE_REPAIR)
    return checked


def _check_file(task: Task, catalogue: StoppedCatalogue, path: Path) -> bool:
    """Whether SQLite finds nothing wrong, or nothing any more."""
    problems = catalogue.problems()
    if not problems:
        return True
    more = f", and {len(problems) - 1} more" if len(problems) > 1 else ""
    is_mended = task.for_repair and catalogue.mend_indexes(problems)
    task.tell(
        "catalogue-damaged",
        f"{path} is damaged: {problems[0]}{more}",
        "what it says cannot be trusted, and nothing else was checked",
        "makes indexes anew where they alone are wrong; otherwise " + BEFORE_REPAIR,
        lambda: is_mended,
    )
    return is_mended


def _check_contents(task: Task, catalogue: StoppedCatalogue, checked: Checked) -> None:
    for table, parent, count in catalogue.dangling():
        task.tell(
            "dangling-rows",
            f"{count} rows of the catalogue's table {table} refer to one of {parent} that is not there",
            "what they belong to is lost",
            "cannot know what it was: restore a backup if it matters",
        )
    checked.payloads, checked.bytes, checked.blobs = catalogue.counts()
    payloads = Payloads(task, catalogue)
    payloads.check()
    checked.read_payloads = payloads.read_count
    check_incoming(task, catalogue)
    check_quarantine(task)
    check_secrets(task)
    for invariant, breaches in catalogue.breaches():
        is_mended = bool(task.for_repair and invariant.mend) and catalogue.mend(invariant, task.now())
        for what in breaches:
            task.tell(invariant.code, what, invariant.means, invariant.way_out, partial(bool, is_mended))
