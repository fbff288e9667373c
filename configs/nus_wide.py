r"""NUS-WIDE, 81 labels, with ResNet-101: each method by its own recipe.

  python -m causal_mlr_jax.main --config=configs/nus_wide.py:METHOD \
    --config.data.manual_dir=DIR --workdir=WORKDIR

The argument after the colon is the method, `causal` by default. The paper tests
across data sets: mAP in % over the labels that both have
(`data/shared_labels.py`), COCO to NUS-WIDE / NUS-WIDE to COCO:

  add_gcn  81.8 / 77.2    ccd            81.9 / 78.3    causal  83.2 / 80.2
  ml_gcn   81.4 / 77.2    q2l            82.1 / 78.6
  ssgrl    80.2 / 76.1    ida            82.3 / 78.9
  c_tran   80.9 / 76.9    cam_based      81.0 / 77.8
  baseline 81.1 / 77.1    feature_split  81.9 / 78.3

The paper's slides do not say which labels and images these results are for.
This configuration has not been run, because the images were not available.

Training needs torchvision's resnet101-63fe2227.pth in pretrained/; see
docs/weights.md.

The files are from https://lms.comp.nus.edu.sg/wp-content/uploads/2019/research/
nuswide/NUS-WIDE.html, unpacked in DIR; or the CSV of the asymmetric loss's
authors (https://github.com/Alibaba-MIIL/ASL) with the images it names:

  nus_wid_data.csv                  and the images it names, or else
  ConceptsList/Concepts81.txt
  ImageList/TrainImagelist.txt, TestImagelist.txt
  Groundtruth/TrainTestLabels/Labels_<concept>_Train.txt and _Test.txt
      or Groundtruth/AllLabels/Labels_<concept>.txt and ImageList/Imagelist.txt
  Flickr/                           or images/

Some images are no longer available: --config.data.options.missing=drop
continues without them. The model is selected on a twentieth of the training
images.
"""

import ml_collections

from causal_mlr_jax.data.builders import nus_wide
from configs import published_data


def get_config(argument: str = "causal") -> ml_collections.ConfigDict:
  """Returns the configuration.

  Args:
    argument: The method and the recipe, as in `published_data.configuration`.
  """
  config = published_data.configuration(argument, nus_wide, 101)
  published_data.choose_on_training_images(config)
  return config
