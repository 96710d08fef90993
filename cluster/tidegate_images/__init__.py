"""Builds Tidegate's images, and without a Docker engine also the images that they and the chart start from."""
