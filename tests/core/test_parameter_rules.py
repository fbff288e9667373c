import pytest

from causal_mlr_jax.core import parameter_rules
from causal_mlr_jax.core.errors import UserError

TREE = {"backbone": {"bn": {"scale": 1}, "conv": {"kernel": 2}}, "head": 3}


def test_the_first_rule_that_matches_the_whole_path_wins():
  rules = (("backbone/.*/scale", 0.0), ("backbone/.*", 0.1), (".*", 1.0))
  found = parameter_rules.match("rules", rules, TREE)
  assert found == {
    "backbone": {"bn": {"scale": 0.0}, "conv": {"kernel": 0.1}},
    "head": 1.0,
  }


def test_a_rule_must_match_the_whole_path():
  with pytest.raises(UserError, match=r"no rule matches .*'head'"):
    parameter_rules.match("rules", (("backbone/.*", 1), ("hea", 2)), TREE)


def test_an_idle_rule_is_an_error_and_a_last_catch_all_is_none():
  with pytest.raises(UserError, match=r"'neck/\.\*' matches no parameter"):
    parameter_rules.match("rules", (("neck/.*", 1), (".*", 2)), TREE)
  parameter_rules.match("rules", (("backbone/.*|head", 1), (".*", 2)), TREE)


def test_a_wrong_expression_is_named():
  message = r"'\*\*' is not a valid regular expression"
  with pytest.raises(UserError, match=message):
    parameter_rules.match("rules", (("**", 1),), TREE)
