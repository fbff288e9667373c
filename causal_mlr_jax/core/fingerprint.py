"""Fingerprints: short hashes of everything an artefact was made from."""

from __future__ import annotations

import hashlib
import json
from typing import Any


def fingerprint(**parts: Any) -> str:
  """Returns a hash of 16 hexadecimal digits that depends on every part.

  Args:
    **parts: JSON-serialisable values by name.
  """
  text = json.dumps(parts, sort_keys=True)
  return hashlib.sha256(text.encode()).hexdigest()[:16]
