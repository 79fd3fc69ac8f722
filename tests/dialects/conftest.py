"""The real clients of four products, each in a virtual environment of its own."""

from tests.environments import client_environment as client_environment
