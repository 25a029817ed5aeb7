"""The package's metadata. Settings of the build system and of the tools are in pyproject.toml."""

import os
import pathlib
import re

from setuptools import find_packages, setup

ROOT = pathlib.Path(__file__).parent
VERSION_FILE = ROOT / "recsim" / "_internal" / "version.py"
VERSION, NAME = re.findall(
    r'^(?:__version__|DISTRIBUTION) = "(.+)"$', VERSION_FILE.read_text(encoding="utf-8"), re.M
)
# Where the release is published from, as the workflow knows it; there is none in a clone.
REPOSITORY = os.environ.get("RECSIM_REPOSITORY", "").rstrip("/")


def readme() -> str:
    """Returns the README; an index shows it elsewhere, so that its links need the repository."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    if not REPOSITORY:
        return text
    text = re.sub(r"(!\[[^\]]*\]\()(?!\w+:|#)", rf"\1{REPOSITORY}/raw/v{VERSION}/", text)
    return re.sub(r"((?<!!)\[[^\]]*\]\()(?!\w+:|#)", rf"\1{REPOSITORY}/blob/v{VERSION}/", text)


setup(
    name=NAME,
    version=VERSION,
    description="Simulation of recommender systems that interact with users over time",
    long_description=readme(),
    long_description_content_type="text/markdown",
    project_urls={"Source": REPOSITORY} if REPOSITORY else {},
    license="Apache-2.0",
    license_files=["LICENSE"],
    packages=find_packages(include=["recsim", "recsim.*"]),
    package_data={"recsim": ["py.typed"], "recsim.watching": ["page.css", "page.js"]},
    python_requires=">=3.10",
    install_requires=[
        "cloudpickle>=3.0",
        "gin-config>=0.5.0",
        "gym>=0.24.1,<0.27",
        "gymnasium>=1.1",
        "loky>=3.4.1",
        "matplotlib>=3.8",
        "numpy>=1.26",
        "pandas>=2.1",
        "psutil>=5.9",
        "PyYAML>=6.0",
        "pyarrow>=14.0",
        "scipy>=1.11.1",
        "tensorflow>=2.16.1",
        "threadpoolctl>=3.1",
        "tqdm>=4.60",
    ],
    extras_require={
        "test": [
            "array-api-compat>=1.10",
            "duckdb>=0.10",
            "hypothesis>=6.90",
            "ipykernel>=6.29",
            "mypy>=1.8",
            "nbconvert>=7.16",
            "polars>=1.0",
            "pytest>=8.0",
            "pytest-cov>=5.0",
            "pytest-xdist>=3.5",
            "ruff>=0.6",
        ],
        "dask": ["distributed>=2024.1"],
        "fsspec": ["fsspec>=2023.6"],
        "minari": ["minari>=0.5; python_version >= '3.11'"],
        "ray": ["ray>=2.9"],
        "sb3": ["stable-baselines3>=2.6"],
        # What the site is built with, and what its examples run beside the extra sb3.
        "docs": [
            "docutils>=0.21",
            "duckdb>=0.10",
            "furo>=2024.1",
            "myst-nb>=1.1",
            "polars>=1.0",
            "sphinx>=7.3",
            "sphinx-copybutton>=0.5.2",
            "sphinx-design>=0.6",
            "sphinx-notfound-page>=1.0",
            "sphinxext-opengraph>=0.9",
            "ziamath>=0.11",
        ],
    },
    entry_points={"console_scripts": ["recsim = recsim.cli:main"]},
    keywords=["recommender systems", "reinforcement learning", "simulation", "bandits"],
    classifiers=[
        "Development Status :: 3 - Alpha",
        "Intended Audience :: Education",
        "Intended Audience :: Science/Research",
        "License :: OSI Approved :: Apache Software License",
        "Operating System :: OS Independent",
        "Programming Language :: Python :: 3",
        "Programming Language :: Python :: 3.10",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
        "Typing :: Typed",
    ],
)
