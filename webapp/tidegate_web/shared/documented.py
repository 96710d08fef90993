"""How the fields of a TypedDict are described: by the text under each."""

from pydantic import with_config

documented = with_config(use_attribute_docstrings=True)
"""For a TypedDict: the text under a field is its description."""
