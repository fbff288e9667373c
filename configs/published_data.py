"""What the configurations of the published data sets share."""

from types import ModuleType

import ml_collections

from configs import common, recipes


def configuration(
  argument: str, builder: ModuleType, depth: int
) -> ml_collections.ConfigDict:
  """Returns the configuration of a published data set.

  Args:
    argument: A key of `registry.METHODS`, and after a comma 'published' (the
      default), the method's own recipe, or 'common', one recipe for all.
    builder: The data set's module.
    depth: Depth of the ResNet.

  Raises:
    UserError: An unknown method or recipe.
  """
  method, _, recipe = argument.partition(",")
  config = common.get_config(method, "resnet")
  config.data.update(
    name=builder.__name__.rpartition(".")[2],
    options=ml_collections.ConfigDict(builder.OPTIONS),
  )
  recipes.resnet(config, depth)
  if recipe in ("", "published"):
    recipes.apply(config)
  elif recipe == "common":
    recipes.causal(config)
  else:
    from causal_mlr_jax.core.lookup import unknown_name

    raise unknown_name("recipe", recipe, ("published", "common"))
  return config


def choose_on_training_images(config: ml_collections.ConfigDict) -> None:
  """Holds a twentieth of the training images back to choose the model on."""
  config.data.update(
    train_split="train[:95%]",
    validation_split="train[95%:]",
    test_splits=("test",),
  )


def test_on(config: ml_collections.ConfigDict, builder: ModuleType) -> None:
  """Tests on another data set, on the labels that both have."""
  config.transfer.name = builder.__name__.rpartition(".")[2]
  config.transfer.options = ml_collections.ConfigDict(builder.OPTIONS)
