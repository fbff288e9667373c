r"""From NUS-WIDE to COCO, on the labels that both have, with ResNet-101.

  python -m causal_mlr_jax.main --config=configs/nus_to_coco.py:METHOD \
    --config.data.manual_dir=DIR --config.transfer.manual_dir=DIR2

Trained as `configs/nus_wide.py` says, on all labels; tested on the other data
set's test images, on the labels of `data/shared_labels.py`. Where the files of
both come from, and the layout on disk, are in `configs/coco.py` and
`configs/nus_wide.py`. Which labels and images the paper took is not known.
The paper, mAP in %: add_gcn 77.2, ml_gcn 77.2, ssgrl 76.1, c_tran 76.9, ccd
78.3, q2l 78.6, ida 78.9, cam_based 77.8, feature_split 78.3, baseline 77.1,
causal 80.2.
"""

import ml_collections

from causal_mlr_jax.data.builders import coco
from configs import nus_wide, published_data


def get_config(argument: str = "causal") -> ml_collections.ConfigDict:
  """Returns the configuration.

  Args:
    argument: as of `published_data.configuration`.
  """
  config = nus_wide.get_config(argument)
  published_data.test_on(config, coco)
  return config
