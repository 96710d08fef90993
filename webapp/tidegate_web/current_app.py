"""What the views of the present request work with: the edges alone ask for it."""

from typing import cast

from flask import current_app

from tidegate_web.services import KEY, Services


def services() -> Services:
    """Those of the app that answers the present request."""
    return cast("Services", current_app.extensions[KEY])
