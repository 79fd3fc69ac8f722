"""One suite for each contract, run against every backend and every fake that claims to keep it."""

import pytest

pytest.register_assert_rewrite(
    "tests.contracts.payload_store",
    "tests.contracts.catalogue_reading",
    "tests.contracts.catalogue_transfers",
    "tests.contracts.catalogue_writing",
)
