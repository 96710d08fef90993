"""The apiserver: its client, and the objects that the web app reads and writes there."""
