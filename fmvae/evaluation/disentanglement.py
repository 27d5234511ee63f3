"""What each latent tells of each property: scores of the field, on arrays.

A latent is a column of `latents` `[N, J]`: the component of a factor (integers)
or a dimension of the means of q(z|x) (floats). A property is a column of
`properties` `[N, P]`, integers. No model and nothing else of fmvae is needed.
"""

import dataclasses

import numpy as np

_BINS = 20  # of a continuous latent in MIG, as in Locatello et al. 2019
_TREES = 50
_ACTIVE = 1 / 8  # of the widest range; narrower latents tell nothing (InfoMEC)


@dataclasses.dataclass(frozen=True)
class Disentanglement:
  """Scores of latents against properties, each at most 1, where 1 is best.

  Attributes:
    mig: mutual information gap (Chen et al. 2018): of a property, how much more
      the best latent tells than the second, over its entropy.
    dci_disentanglement: a latent matters for one property alone (Eastwood and
      Williams 2018), by the importances of random forests.
    dci_completeness: of a property one latent alone matters.
    dci_informativeness: accuracy of the forests on the half that they have not
      seen.
    infom: modularity (Hsu et al. 2023): as `dci_disentanglement`, by the
      mutual information.
    infoc: compactness: as `dci_completeness`, by the mutual information.
    infoe: explicitness: how much of a property's entropy a linear classifier
      takes away, on the half that it has not seen; 0 at least.
  """

  mig: float
  dci_disentanglement: float
  dci_completeness: float
  dci_informativeness: float
  infom: float
  infoc: float
  infoe: float


def nmi_matrix(codes: np.ndarray, properties: np.ndarray) -> np.ndarray:
  """Normalised mutual information (arithmetic mean) of columns, `[J, P]`.

  Args:
    codes: int `[N, J]`.
    properties: int `[N, P]`; where one is -1, missing, the row is left out of
      that column.

  Raises:
    ValueError: arrays of another shape, or a property that is never known.
  """
  from sklearn import metrics  # loads slowly

  codes, properties = _checked(codes, properties)
  out = np.zeros((codes.shape[1], properties.shape[1]))
  for p, values in enumerate(properties.T):
    known = values >= 0
    if not known.any():
      raise ValueError(f"properties[:, {p}] must have a value that is not -1")
    for j, code in enumerate(codes.T):
      out[j, p] = metrics.normalized_mutual_info_score(
        values[known], code[known]
      )
  return out


def disentanglement(
  latents: np.ndarray, properties: np.ndarray, seed: int = 0
) -> Disentanglement:
  """All scores.

  Args:
    latents: `[N, J]`, int for components, float for means.
    properties: int `[N, P]`; rows with a -1, missing, are left out.
    seed: of the forests and of the halves.

  Raises:
    ValueError: arrays of another shape, or a property with one value only.
  """
  latents, properties = _checked(latents, properties)
  known = np.all(properties >= 0, 1)
  latents, properties = latents[known], properties[known]
  for p, values in enumerate(properties.T):
    if len(np.unique(values)) < 2:
      raise ValueError(
        f"properties[:, {p}] must have two values or more where all "
        "properties are known"
      )
  order = np.random.default_rng(seed).permutation(len(latents))
  latents, properties = latents[order], properties[order]
  entropies = np.array([_entropy(values) for values in properties.T])
  binned = _mutual_information(_binned(latents), properties) / entropies
  top = -np.sort(-np.concatenate([binned, np.zeros_like(binned[:1])]), 0)
  importances, accuracy = _forests(latents, properties, seed)
  informed = _nmi_by_source(latents, properties, seed) / entropies
  return Disentanglement(
    mig=float(np.mean(top[0] - top[1])),
    dci_disentanglement=_concentration(importances),
    dci_completeness=_concentration(importances.T),
    dci_informativeness=accuracy,
    infom=_largest_share(informed),
    infoc=_largest_share(informed.T),
    infoe=_explicitness(latents, properties, entropies),
  )


def _checked(
  latents: np.ndarray, properties: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
  latents, properties = np.asarray(latents), np.asarray(properties)
  if (
    latents.ndim != 2
    or properties.ndim != 2
    or (len(latents) != len(properties))
  ):
    raise ValueError(
      "latents and properties must be [N, J] and [N, P], got "
      f"{latents.shape} and {properties.shape}"
    )
  if not np.issubdtype(properties.dtype, np.integer):
    raise ValueError(f"properties must be integers, got {properties.dtype}")
  return latents, properties


def _is_discrete(latents: np.ndarray) -> bool:
  return bool(np.issubdtype(latents.dtype, np.integer))


def _entropy(values: np.ndarray) -> float:
  """In nats."""
  share = np.unique(values, return_counts=True)[1] / len(values)
  return float(-np.sum(share * np.log(share)))


def _binned(latents: np.ndarray) -> np.ndarray:
  if _is_discrete(latents):
    return latents
  columns = [
    np.digitize(z, np.histogram_bin_edges(z, _BINS)[:-1]) for z in latents.T
  ]
  return np.stack(columns, -1)


def _mutual_information(
  codes: np.ndarray, properties: np.ndarray
) -> np.ndarray:
  """In nats, `[J, P]`."""
  from sklearn import metrics

  found = [
    metrics.mutual_info_score(values, code)
    for code in codes.T
    for values in properties.T
  ]
  return np.reshape(found, (-1, properties.shape[1]))


def _nmi_by_source(
  latents: np.ndarray, properties: np.ndarray, seed: int
) -> np.ndarray:
  """Mutual information of the active latents in nats, `[J, P]`.

  That of a continuous one is estimated by nearest neighbours (Ross 2014).
  """
  if _is_discrete(latents):
    used = [len(np.unique(code)) > 1 for code in latents.T]
    return _mutual_information(latents[:, used], properties)
  from sklearn.feature_selection import mutual_info_classif

  ranges = np.ptp(latents, 0)
  active = latents[:, ranges >= _ACTIVE * np.max(ranges)]
  columns = [
    mutual_info_classif(active, values, random_state=seed)
    for values in properties.T
  ]
  return np.stack(columns, -1)


def _concentration(weights: np.ndarray) -> float:
  """1 - the entropy of each row in units of the largest one, rows by weight."""
  rows = weights[weights.sum(1) > 0]
  if not len(rows):
    return 0.0
  share = rows / rows.sum(1, keepdims=True)
  logs = np.log(np.where(share > 0, share, 1))
  entropy = -np.sum(share * logs, 1) / np.log(max(weights.shape[1], 2))
  return float(np.average(1 - entropy, weights=rows.sum(1)))


def _largest_share(nmi: np.ndarray) -> float:
  """Mean over rows of the largest entry's share, 0 where all are alike."""
  rows = nmi[nmi.sum(1) > 0]
  num = nmi.shape[1]
  if not len(rows):
    return 0.0
  if num == 1:
    return 1.0
  share = np.mean(rows.max(1) / rows.sum(1))
  return float((share - 1 / num) / (1 - 1 / num))


def _features(latents: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
  """What classifiers take, `[N, F]`, and the latent of each feature, `[F]`."""
  if not _is_discrete(latents):
    spread = np.maximum(latents.std(0), 1e-12)
    return (latents - latents.mean(0)) / spread, np.arange(latents.shape[1])
  parts = [code[:, None] == np.unique(code)[None] for code in latents.T]
  owner = np.repeat(np.arange(len(parts)), [part.shape[1] for part in parts])
  return np.concatenate(parts, 1).astype(float), owner


def _forests(
  latents: np.ndarray, properties: np.ndarray, seed: int
) -> tuple[np.ndarray, float]:
  """Importances `[J, P]` and the mean accuracy on the second half."""
  from sklearn.ensemble import RandomForestClassifier

  features, owner = _features(latents)
  half = len(features) // 2
  importances = np.zeros((latents.shape[1], properties.shape[1]))
  right = []
  for p, values in enumerate(properties.T):
    forest = RandomForestClassifier(
      _TREES, max_features=None, random_state=seed
    )
    forest.fit(features[:half], values[:half])
    np.add.at(importances[:, p], owner, forest.feature_importances_)
    right.append(forest.score(features[half:], values[half:]))
  return importances, float(np.mean(right))


def _explicitness(
  latents: np.ndarray, properties: np.ndarray, entropies: np.ndarray
) -> float:
  from sklearn import metrics
  from sklearn.linear_model import LogisticRegression

  features, _ = _features(latents)
  half = len(features) // 2
  found = []
  for values, entropy in zip(properties.T, entropies, strict=True):
    model = LogisticRegression(max_iter=1000)
    model.fit(features[:half], values[:half])
    seen = np.isin(values[half:], model.classes_)
    left = metrics.log_loss(
      values[half:][seen],
      model.predict_proba(features[half:][seen]),
      labels=model.classes_,
    )
    found.append(max(0.0, 1 - left / entropy))
  return float(np.mean(found))
