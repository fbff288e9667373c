r"""From COCO to NUS-WIDE, on the labels that both have, with ResNet-101.

  python -m causal_mlr_jax.main --config=configs/coco_to_nus.py:METHOD \
    --config.data.manual_dir=DIR --config.transfer.manual_dir=DIR2

Trained as `configs/coco.py` says, on all labels; tested on the other data
set's test images, on the labels of `data/shared_labels.py`. Where the files of
both come from, and the layout on disk, are in `configs/coco.py` and
`configs/nus_wide.py`. Which labels and images the paper took is not known.
The paper, mAP in %: add_gcn 81.8, ml_gcn 81.4, ssgrl 80.2, c_tran 80.9, ccd
81.9, q2l 82.1, ida 82.3, cam_based 81.0, feature_split 81.9, baseline 81.1,
causal 83.2.
"""

import ml_collections

from causal_mlr_jax.data.builders import nus_wide
from configs import coco, published_data


def get_config(argument: str = "causal") -> ml_collections.ConfigDict:
  """Returns the configuration.

  Args:
    argument: as of `published_data.configuration`.
  """
  config = coco.get_config(argument)
  published_data.test_on(config, nus_wide)
  return config
