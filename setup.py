"""What pyproject.toml cannot say: `configs/` is packaged within the package.

A folder `configs` of its own among the installed packages could hide others
of that common name; see `causal_mlr_jax/core/config_files.py`.
"""

import setuptools

setuptools.setup(
  packages=[
    *setuptools.find_packages(include=["causal_mlr_jax*"]),
    "causal_mlr_jax.configs",
  ],
  package_dir={"causal_mlr_jax.configs": "configs"},
)
