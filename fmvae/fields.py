"""The fields of a config: default and meaning of each.

Needs the standard library alone, so that --help shows them at once.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple


class Field(NamedTuple):
  """A field of the config, whose defaults are the paper's where it has any."""

  default: Any
  meaning: str
  any_kind: bool = False  # it takes other kinds of value too, such as None
  added: bool = False  # later: runs that know nothing of it have the default


FIELDS: dict[str, Any] = {
  "seed": Field(0, "The seed of the parameters, the batches and all noise."),
  "dataset": {
    "name": Field(
      "mnist",
      "The name of a data set, one of ours or an image data set of the TFDS "
      "catalogue, or the path of a folder of pictures or of an .npz file.",
    ),
    "crop": Field(
      "none",
      "What is taken of a picture: 'centre', the largest square in the middle, "
      "or 'none', all of it.",
    ),
    "colour": Field(
      "keep", "What is made of the picture then: 'grey', 'colour' or 'keep'."
    ),
    "size": Field(
      None,
      "The side in pixels of the squares that pictures are resized to last; "
      "None leaves them.",
      any_kind=True,
    ),
    "in_memory": Field(
      True,
      "With False training images are read from disk as the steps need them.",
    ),
    "resplit": Field(
      (),
      "Sizes (train, test) of a random split of all images in place of the "
      "official one, which () leaves.",
    ),
    "split_seed": Field(0, "The seed of a random split."),
    "validation": Field(
      0,
      "How many training images are held out to choose by: the bound on them "
      "is what a run is evaluated by until its end.",
      added=True,
    ),
    "validation_seed": Field(
      0,
      "The seed by which they are drawn; None takes the last ones, as in the "
      "literature on MNIST.",
      any_kind=True,
      added=True,
    ),
    "test_fraction": Field(
      0.1,
      "The fraction of all images that is held out where there is no official "
      "split.",
    ),
    "binarisation": Field(
      "static",
      "How pixels become zeros and ones: 'static', by one Bernoulli draw; "
      "'dynamic', by a new draw each time (the test set stays static); "
      "'threshold'; 'none'; 'auto', 'dynamic' if they nearly are, else 'none'.",
    ),
    "binarisation_seed": Field(0, "The seed of the draw that is static."),
    "threshold": Field(0.5, "The value above which 'threshold' makes a 1."),
    "flips": Field(
      False,
      "Whether half of the training images, by chance, are seen from left to "
      "right as in a mirror.",
      added=True,
    ),
    "shifts": Field(
      0,
      "By how many pixels at most, by chance, a training image is moved up or "
      "down and left or right; its edges fill what becomes free.",
      added=True,
    ),
    "labels": Field(
      (),
      "The factors that stand for a property, ((i, feature), ..) or ((i, "
      "feature, values), ..): component k of factor i for its value values[k], "
      "by default k.",
    ),
    "labelled_fraction": Field(
      1.0,
      "The fraction of the training images whose labels are seen, or one for "
      "each entry of labels.",
      any_kind=True,
    ),
  },
  "network": {
    "name": Field(
      "mlp",
      "The pair of networks: 'mlp', 'gated_mlp', 'conv', 'conv28', 'conv64', "
      "'auto', without options, the one that fits, or 'my_module:make', a "
      "Python object of your own, as for the likelihood and the prior.",
    ),
    "hidden": Field(
      (512, 512),
      "The sizes of the hidden layers of 'mlp'. An option belongs to its "
      "network: another pair has others, such as width.",
    ),
  },
  "likelihood": Field(
    "bernoulli",
    "p(x|z): 'bernoulli', 'gaussian', 'free_gaussian', 'negative_binomial', or "
    "'auto', the one that fits the binarisation; where that is 'auto' too, "
    "both are for zeros and ones if the pictures are grey and nearly are such.",
  ),
  "latent_dim": Field(64, "L, the length of z."),
  "prior": Field(
    "factorial_mixture",
    "p(z): 'factorial_mixture'; 'gaussian_mixture', whose means, variances and "
    "weights are trained by gradients; 'vamp', of K trained inputs; or "
    "'standard_normal', which makes a plain VAE.",
  ),
  "factors": Field(
    ((64, 128),),
    "The dimensions and components (D_i, K_i) of each factor; D_i sum to L. "
    "K_i = 0 of one in dataset.labels is as many as its property has values.",
  ),
  "hyperprior": {
    "m0": Field(0.0, "The mean of a component's mean (Normal-Gamma)."),
    "s0": Field(1.0, "The precision of that mean, by the component's own."),
    "a0": Field(0.01, "The shape of the Gamma of a component's precision."),
    "b0": Field(0.01, "The rate of that Gamma."),
    "c0": Field(1.0, "The count of a component (Dirichlet)."),
  },
  "batch_size": Field(64, "How many images a training step takes."),
  "steps": {
    "pretrain": Field(100_000, "Steps of the networks alone, under N(0, I)."),
    "prior": Field(20_000, "Steps of the mixture alone, the networks at rest."),
    "joint": Field(200_000, "Steps of both together."),
  },
  "learning_rate": Field(1e-4, "The step size of Adam, for the networks."),
  "learning_rate_decay": Field(
    "cosine",
    "'cosine', it falls to 0 over the joint phase (our choice), or 'none'.",
  ),
  "kl_anneal_steps": Field(
    0, "Steps of pre-training over which the KL's weight rises from 0 to 1."
  ),
  "svi": {
    "kappa": Field(
      0.7, "The step size of update tau is initial (1 + tau/tau0)^-kappa."
    ),
    "tau0": Field(
      2000.0, "Updates of the prior after which it falls markedly."
    ),
    "initial": Field(
      0.01,
      "The first step size; with None it is (tau0 + tau)^-kappa.",
      any_kind=True,
    ),
  },
  "encode_again": Field(
    True,
    "Whether the prior is updated from the batch encoded anew, after the "
    "networks' step (Sec. 2.4.3). With False it takes the encodings of that "
    "step, which are older by it, and a step is cheaper by an encoding.",
    added=True,
  ),
  "delta": Field(
    ((0.0, 1000.0),),
    "Delta of eq. 8 over the joint phase: points (fraction of the phase, "
    "value), straight lines between them.",
  ),
  "kl_z_weight": Field(
    ((0.0, 1.0),), "The weight of KL[z] over the joint phase, as delta."
  ),
  "draw_named": Field(
    0.0,
    "The share of the images that are decoded, in the joint phase, from a draw "
    "of their component in each factor in dataset.labels: such a z_i then "
    "tells its component and no more.",
    added=True,
  ),
  "independence": Field(
    0.0,
    "The weight, in the joint phase, of what a network that is trained for it "
    "can read of each factor's component in the z_i of the others: nats.",
    added=True,
  ),
  "obedience": Field(
    0.0,
    "The weight, in the joint phase, of how little a network that is trained "
    "for it on the real images sees of chosen components, of the factors in "
    "dataset.labels, in pictures of them: nats.",
    added=True,
  ),
  "named_learning_rate": Field(
    1e-2,
    "The step size of Adam in log space, for the factors in dataset.labels "
    "while Delta > 0.",
  ),
  "init_encodings": Field(
    10_000, "Training points at whose encodings the mixture begins."
  ),
  "log_every": Field(100, "Steps between rows of metrics."),
  "evaluate_every": Field(
    0,
    "Steps between evaluations; 0: the ends of the phases; None: the end "
    "alone.",
    any_kind=True,
  ),
  "patience": Field(
    0,
    "Evaluations of the last phase without a better bound on the validation "
    "images after which it ends; the best checkpoint is then the result; 0: "
    "never.",
    added=True,
  ),
  "checkpoint_every": Field(10_000, "Steps between checkpoints."),
  "keep_checkpoints": Field(
    2, "How many of the newest, beside the one with the best bound."
  ),
}


def flat(
  fields: dict[str, Any] = FIELDS, path: str = ""
) -> Iterator[tuple[str, Field]]:
  """Every field with its dotted name."""
  for name, field in fields.items():
    if isinstance(field, dict):
      yield from flat(field, f"{path}{name}.")
    else:
      yield path + name, field
