"""The page on which admins of the installation see what each project uses."""

from flask import Blueprint, render_template

from tidegate_web.current_app import services
from tidegate_web.pages.charts import shares
from tidegate_web.projects.usage import TIME, usage_by_project
from tidegate_web.shared.permissions import Permission, requires


def add_routes(area: Blueprint) -> None:
    """The route of this page."""

    @area.get("/usage")
    @requires(Permission.INSTANCE_ADMIN)
    def usage_page() -> str:
        made = services()
        return render_template(
            "usage.html",
            found=usage_by_project(made),
            days=TIME.days,
            most_bytes=made.settings.archive_bound.most,
            shares=shares,
        )
