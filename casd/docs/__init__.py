"""The pages for people at `/docs`: the API's reference, made of its OpenAPI document, and the help topics.

Written on the server, without a script: what a browser gets is HTML and one style sheet. Knows no HTTP and no route.
"""

from casd.docs.guides import TOPICS_FOLDER, guide, titles
from casd.docs.reference import reference
from casd.docs.search import found

__all__ = ["TOPICS_FOLDER", "found", "guide", "reference", "titles"]
