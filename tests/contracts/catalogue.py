"""What every catalogue must do: derive from CatalogueContract and give the fixture `catalogue`, open and empty.

Writes that returned are seen by every look-up and listing, so no test waits for anything.
"""

import pytest

from casd.catalogue.base import Catalogue
from tests.contracts.catalogue_checking import CheckingContract
from tests.contracts.catalogue_holding import HoldingContract
from tests.contracts.catalogue_naming import NamingContract
from tests.contracts.catalogue_reading import ListingContract, LookupContract
from tests.contracts.catalogue_retention import RetentionContract
from tests.contracts.catalogue_sharing import SharingContract
from tests.contracts.catalogue_transfers import TransferContract
from tests.contracts.catalogue_writing import UpkeepContract, WriteContract
from tests.contracts.desk import Desk


class CatalogueContract(
    LookupContract,
    ListingContract,
    WriteContract,
    NamingContract,
    HoldingContract,
    SharingContract,
    RetentionContract,
    TransferContract,
    UpkeepContract,
    CheckingContract,
):
    @pytest.fixture
    async def desk(self, catalogue: Catalogue) -> Desk:
        return await Desk(catalogue).open()
