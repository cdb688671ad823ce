"""The one thing that setup.cfg cannot say: all packages found, plus targets/ under the name edgekit.targets."""

from setuptools import find_packages, setup

setup(packages=[*find_packages(include=["edgekit", "edgekit.*"]), "edgekit.targets"])
