"""Fingerprints: what an artefact was made from, as one short string."""

from __future__ import annotations

import hashlib
import json
from typing import Any


def fingerprint(**parts: Any) -> str:
  """Returns 16 hexadecimal digits that change with any of the parts.

  Args:
    **parts: JSON-able values by name.
  """
  text = json.dumps(parts, sort_keys=True)
  return hashlib.sha256(text.encode()).hexdigest()[:16]
