"""The dashboard: server-rendered pages, a kept UI kit's CSS, and a little script that keeps them current."""
