"""A small structural causal model with exact probabilities.

The scene S is a categorical root, the occasions U are hidden binary roots, and
the objects are binary. An object is the noisy OR of its causes,

  P(Y = 1 | parents) = 1 - (1 - leak_Y(S)) * prod_i (1 - w_iY) ^ X_i,

where the X_i are occasions or other objects. Probabilities are exact: all
values of the query's ancestors are enumerated, after the edges into the
variables in `do` are removed.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterable, Mapping

import numpy as np

from causal_mlr_jax.core.errors import UserError
from causal_mlr_jax.core.lookup import unknown_name

SCENE = "scene"
# Values by variable name: 0 or 1, or for `SCENE` the index of the scene.
Values = Mapping[str, int]


@dataclasses.dataclass(frozen=True)
class Draw:
  """M samples of every variable.

  Attributes:
    scenes: Index of the scene, int [M].
    occasions: Hidden common causes, uint8 [M, occasions].
    objects: Presence of each object, uint8 [M, objects].
  """

  scenes: np.ndarray
  occasions: np.ndarray
  objects: np.ndarray


@dataclasses.dataclass(frozen=True)
class Model:
  """An immutable model of a scene, hidden occasions and objects.

  Attributes:
    prior: P(S = s), one number per scene; sums to 1.
    occasions: P(U = 1) by name of the occasion.
    leaks: P(Y = 1) in each scene when no cause is present, by name of the
      object.
    weights: Probability w that the cause alone brings about the effect, by
      (cause, effect); causes are occasions or objects.
  """

  prior: tuple[float, ...]
  occasions: Mapping[str, float]
  leaks: Mapping[str, tuple[float, ...]]
  weights: Mapping[tuple[str, str], float]

  def __post_init__(self):
    """Checks names and numbers, so that mistakes are found at once."""
    if not np.isclose(sum(self.prior), 1):
      raise UserError(f"P(scene) must sum to 1, got {sum(self.prior)}.")
    names = [SCENE, *self.occasions, *self.leaks]
    if len(set(names)) < len(names):
      raise UserError(f"Variable names must differ, got {names}.")
    for name, leak in self.leaks.items():
      if len(leak) != len(self.prior):
        raise UserError(
          f"{name!r} needs one leak per scene: expected {len(self.prior)} "
          f"numbers, got {len(leak)}."
        )
    for cause, effect in self.weights:
      if cause not in names[1:]:
        raise unknown_name("cause", cause, names[1:])
      if effect not in self.leaks:
        raise unknown_name("effect", effect, self.leaks)
    numbers = [
      *self.prior,
      *self.occasions.values(),
      *itertools.chain.from_iterable(self.leaks.values()),
      *self.weights.values(),
    ]
    if not all(0 <= p <= 1 for p in numbers):
      raise UserError("Probabilities and strengths must lie in [0, 1].")
    self.order()

  @property
  def objects(self) -> tuple[str, ...]:
    """The names of the objects."""
    return tuple(self.leaks)

  def causes(self, name: str) -> tuple[str, ...]:
    """Returns the direct causes of an object, except the scene."""
    return tuple(i for i, j in self.weights if j == name)

  def order(self) -> tuple[str, ...]:
    """Returns the objects in an order where causes precede their effects.

    Raises:
      UserError: The edges form a cycle.
    """
    done: list[str] = []
    left = list(self.leaks)
    while left:
      ready = [
        y
        for y in left
        if all(x in done or x in self.occasions for x in self.causes(y))
      ]
      if not ready:
        raise UserError(
          f"The causal edges among {', '.join(left)} form a cycle: expected "
          "an acyclic graph. Remove one of the edges."
        )
      done += ready
      left = [y for y in left if y not in ready]
    return tuple(done)

  def sample(
    self, count: int, rng: np.random.Generator, do: Values | None = None
  ) -> Draw:
    """Draws all variables, causes before effects.

    Every variable has its own uniform noise, drawn row by row. The first rows
    are therefore the same for every `count`. Equal generators give the same
    noise with and without an intervention, so `do` changes only the variables
    that it affects.

    Args:
      count: Number of samples M.
      rng: Source of the noise.
      do: Values set by the intervention.
    """
    do = self._checked(do)
    noise = rng.random((count, 1 + len(self.occasions) + len(self.objects)))
    columns = dict(zip(self._all(), noise.T, strict=True))
    edges = np.cumsum(self.prior)[:-1]
    values = {SCENE: np.searchsorted(edges, columns[SCENE], side="right")}
    if SCENE in do:
      values[SCENE] = np.full(count, do[SCENE])
    for name in (*self.occasions, *self.order()):
      chance = self._chance(name, values)
      drawn = (columns[name] < chance).astype(np.uint8)
      values[name] = np.full_like(drawn, do[name]) if name in do else drawn

    def stack(names: Iterable[str]) -> np.ndarray:
      chosen = [values[name] for name in names]
      return np.stack(chosen, 1) if chosen else np.zeros((count, 0), np.uint8)

    return Draw(values[SCENE], stack(self.occasions), stack(self.objects))

  def probability(self, event: Values, do: Values | None = None) -> float:
    """Returns the exact P(event | do).

    Args:
      event: Values by name, all of which must hold.
      do: Values set by the intervention, regardless of the variables' causes.
    """
    event, do = self._checked(event), self._checked(do)
    if any(do.get(name, value) != value for name, value in event.items()):
      return 0.0
    needed = self._ancestors(event, do)
    free = [x for x in self._all() if x in needed and x not in do]
    ranges = [self._range(x) if x not in event else (event[x],) for x in free]
    table = np.array(list(itertools.product(*ranges)), int)
    values = {name: table[:, k] for k, name in enumerate(free)}
    values |= {name: np.full(len(table), value) for name, value in do.items()}
    chance = np.ones(len(table))
    for name in free:
      if name == SCENE:
        chance *= np.asarray(self.prior)[values[SCENE]]
      else:
        p = self._chance(name, values)
        chance *= np.where(values[name] == 1, p, 1 - p)
    return float(chance.sum())

  def conditional(
    self, event: Values, given: Values, do: Values | None = None
  ) -> float:
    """Returns the exact P(event | given, do).

    Raises:
      UserError: `given` has probability 0.
    """
    if any(given.get(name, value) != value for name, value in event.items()):
      return 0.0
    base = self.probability(given, do)
    if base == 0:
      raise UserError(f"P({given} | do {do}) = 0: nothing to condition on.")
    return self.probability({**event, **given}, do) / base

  def _all(self) -> tuple[str, ...]:
    return (SCENE, *self.occasions, *self.objects)

  def _range(self, name: str) -> range:
    return range(len(self.prior)) if name == SCENE else range(2)

  def _checked(self, values: Values | None) -> dict[str, int]:
    values = dict(values or {})
    for name, value in values.items():
      if name not in self._all():
        raise unknown_name("variable", name, self._all())
      if value not in self._range(name):
        raise UserError(
          f"{name!r} cannot be {value}: expected a whole number from 0 to "
          f"{len(self._range(name)) - 1}."
        )
    return values

  def _ancestors(self, names: Iterable[str], do: Values) -> set[str]:
    """Returns the variables and their ancestors, not going beyond `do`."""
    found: set[str] = set()
    todo = list(names)
    while todo:
      name = todo.pop()
      if name in found:
        continue
      found.add(name)
      if name in self.leaks and name not in do:
        todo += [SCENE, *self.causes(name)]
    return found

  def _chance(self, name: str, values: Mapping[str, np.ndarray]) -> np.ndarray:
    """Returns P(name = 1 | its parents), one number per row of `values`."""
    if name in self.occasions:
      return np.asarray(self.occasions[name])
    off = 1 - np.asarray(self.leaks[name])[values[SCENE]]
    for cause in self.causes(name):
      off = off * (1 - self.weights[cause, name]) ** values[cause]
    return 1 - off
