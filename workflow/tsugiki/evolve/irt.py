"""What a model would score on all documents, estimated from its answers to a few: item response theory.

A model of ability theta answers document i with probability sigmoid(a_i . theta - b_i): the multidimensional
two-parameter logistic model (Reckase, "Multidimensional item response theory", 2009, chapter 4). The estimators are those
of Maia Polo et al., "tinyBenchmarks", ICML 2024, arXiv 2402.14992, section 3.3, and, for merged models, of Mencattini et al.,
"MERGE3", ICML 2025, arXiv 2502.10436, section 4.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

EASE = 2.0
"""Standard deviation of the prior of difficulties; that of abilities, discriminations and shares is 1."""


@dataclass(frozen=True)
class Items:
    """What is known of documents and of the models that told it.

    Attributes:
        discrimination: shape (documents, dimensions): a of the formula above.
        difficulty: shape (documents,): b.
        abilities: shape (models, dimensions): theta of each model.
    """

    discrimination: Floats
    difficulty: Floats
    abilities: Floats

    def expected(self, abilities: Floats) -> Floats:
        """The expected answers of models; shape (models, dimensions) to (models, documents)."""
        from scipy.special import expit

        return np.asarray(expit(abilities @ self.discrimination.T - self.difficulty))


def fit(answers: Floats, dimensions: int) -> Items:
    """The most probable parameters of documents and models, given what these answered.

    Maximum a posteriori with independent normal priors: without them, a document that all answered alike would have no
    finite difficulty.

    Args:
        answers: shape (models, documents): 0 (wrong) to 1 (right), NaN where a model was not asked.
        dimensions: Of ability.
    """
    from scipy.optimize import minimize  # imported here: ranking starts without it
    from scipy.special import expit

    models, documents = answers.shape
    asked = ~np.isnan(answers)
    known = np.where(asked, answers, 0.0)
    overall = min(max(float(known.sum() / max(1, asked.sum())), 0.01), 0.99)
    usual = -float(np.log(overall / (1 - overall)))
    # a start apart from the origin, where the gradient is zero: principal components of what the mean leaves
    rest = np.where(asked, answers - known.sum(axis=0) / np.maximum(1, asked.sum(axis=0)), 0.0)
    left, sizes, right = np.linalg.svd(rest, full_matrices=False)
    rank = min(dimensions, len(sizes))
    abilities, discrimination = np.zeros((models, dimensions)), np.zeros((documents, dimensions))
    abilities[:, :rank] = left[:, :rank] * np.sqrt(models)
    discrimination[:, :rank] = 4 * right[:rank].T * sizes[:rank] / np.sqrt(models)

    def split(parameters: Floats) -> tuple[Floats, Floats, Floats]:
        theta, a, b = np.split(parameters, [models * dimensions, (models + documents) * dimensions])
        return theta.reshape(models, dimensions), a.reshape(documents, dimensions), b

    def loss(parameters: Floats) -> tuple[float, Floats]:
        theta, a, b = split(parameters)
        logits = theta @ a.T - b
        misfit = np.where(asked, expit(logits) - known, 0.0)
        value = float(np.where(asked, np.logaddexp(0.0, logits) - known * logits, 0.0).sum())
        value += 0.5 * float((theta**2).sum() + (a**2).sum() + (((b - usual) / EASE) ** 2).sum())
        slopes = (
            misfit @ a + theta,
            misfit.T @ theta + a,
            -misfit.sum(axis=0) + (b - usual) / EASE**2,
        )
        return value, np.concatenate([one.ravel() for one in slopes])

    start = np.concatenate([abilities.ravel(), discrimination.ravel(), np.full(documents, usual)])
    found = minimize(
        loss,
        start,
        jac=True,
        method="L-BFGS-B",
        options={"maxiter": 2000, "maxfun": 3000, "ftol": 1e-12, "gtol": 1e-6},
    )
    theta, a, b = split(found.x)
    return Items(a, b, theta)


def ability(items: Items, answers: Floats, of: Floats | None = None) -> Floats:
    """The most probable ability of a model that answered some documents.

    Args:
        items: What is known of the documents.
        answers: shape (documents,); NaN where it was not asked.
        of: Abilities that its own is a mixture of, shape (parents, dimensions), in shares that need not be positive nor
            sum to 1: near 1/parents each before anything is asked (MERGE3, equation 5). Any ability, if absent.

    Returns:
        shape (dimensions,).
    """
    from scipy.optimize import minimize
    from scipy.special import expit

    asked = ~np.isnan(answers)
    basis = np.eye(items.abilities.shape[1]) if of is None else of
    centre = np.zeros(len(basis)) if of is None else np.full(len(basis), 1 / len(basis))
    slopes = items.discrimination[asked] @ basis.T
    difficulty, known = items.difficulty[asked], answers[asked]

    def loss(shares: Floats) -> tuple[float, Floats]:
        logits = slopes @ shares - difficulty
        value = float((np.logaddexp(0.0, logits) - known * logits).sum())
        value += 0.5 * float(((shares - centre) ** 2).sum())
        return value, slopes.T @ (expit(logits) - known) + shares - centre

    found = minimize(loss, centre, jac=True, method="BFGS", options={"gtol": 1e-8})
    return np.asarray(found.x @ basis)


def performance(items: Items, answers: Floats, theta: Floats) -> float:
    """The mean over all documents: of the answers where there are some, elsewhere as expected (p-IRT).

    Args:
        items: What is known of the documents.
        answers: shape (documents,); NaN where the model was not asked.
        theta: Its ability, shape (dimensions,).
    """
    expected = items.expected(theta[np.newaxis])[0]
    return float(np.where(np.isnan(answers), expected, answers).mean())


def trust(whole: Floats, estimates: Floats, asked: npt.NDArray[np.bool_]) -> float:
    """The share c of the plain mean in gp-IRT: c mean + (1 - c) p-IRT.

    b^2 / (v/n + b^2), for an error b of p-IRT, and the variance v/n of a mean over n documents (tinyBenchmarks, appendix).

    Args:
        whole: shape (models, documents): models that were asked all documents.
        estimates: shape (models,): p-IRT of the same from their answers to some documents alone.
        asked: bool, shape (documents,): these documents.

    Returns:
        A half if there are no such models, or all of them answer all documents alike.
    """
    if not len(whole):
        return 0.5
    error = float(np.mean((estimates - whole.mean(axis=1)) ** 2))
    noise = float(whole.var(axis=1).mean()) / int(asked.sum())
    return error / (noise + error) if noise + error > 0 else 0.5


def estimated(
    parents: Floats,
    others: Floats,
    earlier: Floats,
    its: Floats,
    *,
    estimator: Literal["p_irt", "mp_irt", "gmp_irt"],
    dimensions: int,
) -> Floats:
    """What models would score on all documents, by their answers to a few.

    Answers are 0 (wrong) to 1 (right), NaN where a model was not asked; shape (models, documents) each.

    Args:
        parents: Answers of the models that those are merged from, at least one.
        others: Those of further models that were asked all documents, or most.
        earlier: Those of any others. Documents' parameters are fitted on all three.
        its: Those of the models in question, which were all asked the same documents.
        estimator: `p_irt`, of any ability; `mp_irt`, of a mixture of the parents' abilities; `gmp_irt`, that and the plain
            mean, weighted as in `trust`.
        dimensions: Of ability.

    Returns:
        shape (models,).
    """
    items = fit(np.concatenate([parents, others, earlier]), dimensions)
    mixed = None if estimator == "p_irt" else items.abilities[: len(parents)]

    def performances(answers: Floats) -> Floats:
        return np.array(
            [performance(items, one, ability(items, one, mixed)) for one in answers],
            dtype=np.float64,
        )

    found = performances(its)
    if estimator == "gmp_irt":
        asked = ~np.isnan(its[0])
        whole = others[~np.isnan(others).any(axis=1)]
        share = trust(whole, performances(np.where(asked, whole, np.nan)), asked)
        found = share * np.nanmean(its, axis=1) + (1 - share) * found
    return found
