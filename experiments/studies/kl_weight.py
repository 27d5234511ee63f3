"""Whether the weight W of KL[z] reaches gamma and the prior's own update.

Sec. 4.2 weights KL[z], line 4b, by 20 at first and does not say for whom. Read
literally, eq. 4 with W on line 4b is maximised by

  gamma_k  ~  exp(W E[log N_k] + E[log pi_k]),

and by eq. 13 with its sums over mu_phi and sigma2_phi, not those of the counts
c, scaled by W. In `train_step` W reaches theta, phi and the named factors
alone. This trains experiments/shapes.py both ways with 4,000 joint steps, W by
steps (20, 10, 5), and has the same classifier look at generated pictures. Seven
minutes of one core each:

  python -m experiments.studies.kl_weight --workdir=runs/kl_weight --only=here
  python -m experiments.studies.kl_weight --workdir=runs/kl_weight \\
    --only=literal
"""

import csv
import dataclasses
import pathlib

import jax
import jax.numpy as jnp
from absl import app, flags

from experiments import shapes
from fmvae import evaluation, prior
from fmvae.evaluation import PropertyScores
from fmvae.model import Phase, phases
from fmvae.model.priors import Costs, FactorialMixture
from fmvae.prior import dirichlet, svi
from fmvae.prior.state import split
from fmvae.storage import replacing
from fmvae.trained import load
from fmvae.training import loop
from launch import common

_WORKDIR = flags.DEFINE_string("workdir", None, "For the runs.", required=True)
_ONLY = flags.DEFINE_enum(
  "only", None, ["here", "literal"], "Which reading to train.", required=True
)
_OUT = "experiments/results/kl_weight_{}.csv"
_WEIGHTS = ((0.6, 20.0), (0.8, 10.0), (1.0, 5.0))  # until so much of the phase
_CLASSIFIER_STEPS, _PICTURES = 2000, 2000


@dataclasses.dataclass(frozen=True)
class Literal(FactorialMixture):
  """The factorial mixture under eq. 4 with line 4b weighted."""

  weight: float = 1.0

  def responsibilities(self, state, loc, log_var, labels):
    """gamma of the weighted objective, clamped where there are labels."""
    weighted = []
    for f, logits in zip(
      state.factors, prior.component_logits(state, loc, log_var), strict=True
    ):
      log_pi = dirichlet.expected_log_weights(f.c)
      weighted.append(self.weight * (logits - log_pi) + log_pi)
    gammas = [jax.nn.softmax(x) for x in weighted]
    if labels is None:
      return tuple(gammas)
    return tuple(
      jnp.where(
        labels[..., i, None] >= 0,
        jax.nn.one_hot(labels[..., i], gamma.shape[-1]),
        gamma,
      )
      for i, gamma in enumerate(gammas)
    )

  def costs(self, variables, encoding, labels):
    state, (loc, log_var, _, _) = variables.state, encoding
    plain = super().costs(variables, encoding, labels)
    resp = jax.lax.stop_gradient(
      self.responsibilities(state, loc, log_var, labels)
    )
    return Costs(
      prior.kl_z(state, loc, log_var, resp),
      prior.kl_r(state, resp),
      plain.label_log_prob,
      resp,
    )

  def update(
    self, variables, loc, log_var, *, num_data, step_size, labels, axis_name
  ):
    state, new = variables.state, []
    gammas = self.responsibilities(state, loc, log_var, labels)

    def psum(tree):
      return tree if axis_name is None else jax.lax.psum(tree, axis_name)

    points = psum(jnp.float32(len(loc)))
    for f, mu, lv, gamma in zip(
      state.factors,
      split(state, loc),
      split(state, log_var),
      gammas,
      strict=True,
    ):
      at = svi._weighted_means(f, mu, gamma, psum)
      sums = psum(svi._moments(f, at, mu, jnp.exp(lv), gamma))
      plain, weighted = (
        svi._update_factor(f, state.hyperprior, at, sums, w, step_size)
        for w in (num_data / points, self.weight * num_data / points)
      )
      new.append(dataclasses.replace(weighted, c=plain.c))
    return dataclasses.replace(state, factors=tuple(new))


def with_steps(experiment, literal: bool):
  """The joint phase cut in three, each with a weight of its own."""
  *before, joint = experiment.phases
  cut, start = [], joint.start
  for fraction, weight in _WEIGHTS:
    end = joint.start + round(fraction * (joint.end - joint.start))
    its_prior = joint.prior
    if literal:
      its_prior = Literal(joint.prior.factors, joint.prior.hyperprior, weight)
    phase: Phase = dataclasses.replace(
      joint,
      name=f"joint, weight {weight:g}",
      start=start,
      end=end,
      prior=its_prior,
      kl_z_weight=phases.constant(weight),
    )
    cut.append(phase)
    start = end
  return dataclasses.replace(experiment, phases=(*before, *cut))


def main(argv: list[str]) -> None:
  workdir = pathlib.Path(_WORKDIR.value) / _ONLY.value
  config = shapes.get_config()
  config.steps.joint = 4000
  plain = common.build(argv, config)
  experiment = with_steps(plain, _ONLY.value == "literal")
  loop.prepare(experiment, workdir)
  loop.train(experiment, workdir)
  state = load(workdir).state
  model, train, test = plain.model, plain.train, plain.test
  result = evaluation.evaluate(model, state, test, num_data=len(train))
  classifier = evaluation.train_classifier(
    model, train, test, _CLASSIFIER_STEPS
  )
  seen = evaluation.classify_generated(model, state, classifier, _PICTURES)
  assigned = result.score(PropertyScores)
  assert assigned is not None  # shapes has named factors
  out = pathlib.Path(_OUT.format(_ONLY.value))
  with replacing(out) as path, path.open("w") as file:
    rows = csv.writer(file, lineterminator="\n")
    rows.writerow(["weight_reaches", "measure", "value"])
    values = {
      "bound": result.bound,
      "kl_z": sum(result.kl_z),
      "kl_r": sum(result.kl_r),
    }
    values |= {f"assigned/{m.feature}": m.accuracy for m in assigned.matrices}
    values |= {f"generated/{m.feature}": m.accuracy for m in seen}
    for i, used in enumerate(result.used):
      values[f"used/{i}"] = used
    for measure, value in values.items():
      rows.writerow([_ONLY.value, measure, f"{value:.6g}"])


if __name__ == "__main__":
  app.run(main)
