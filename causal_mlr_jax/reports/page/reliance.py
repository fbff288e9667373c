"""How much the scores of each label change with the context, as plain rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

SCENE, COMPANION = "scene_drop", "companion_drop"
HOME, ELSEWHERE = "home_false_positive_rate", "elsewhere_false_positive_rate"


def section(reliance: Mapping[str, Any] | None) -> dict[str, Any] | None:
  """Returns what the page shows of it; None where images cannot be redrawn.

  Args:
    reliance: The value of `reliance` in effects.json.
  """
  if reliance is None:
    return None
  scene, home = reliance[SCENE]["each"], reliance[HOME]["each"]
  elsewhere = reliance[ELSEWHERE]["each"]
  return {
    "images": reliance["images"],
    "means": {
      key: reliance[key]["mean"] for key in (SCENE, COMPANION, HOME, ELSEWHERE)
    },
    "labels": [
      {
        "name": name,
        "images": found["images"],
        "drop": found["value"],
        "home": home.get(name, {}).get("value"),
        "elsewhere": elsewhere.get(name, {}).get("value"),
      }
      for name, found in _widest_first(scene)
    ],
    "pairs": [
      {"name": name, "images": found["images"], "drop": found["value"]}
      for name, found in _widest_first(reliance[COMPANION]["each"])
    ],
  }


def _widest_first(each: Mapping[str, Any]) -> list[tuple[str, Any]]:
  def width(item: tuple[str, Any]) -> float:
    value = item[1]["value"]
    return float("inf") if value is None else -value

  return sorted(each.items(), key=width)
