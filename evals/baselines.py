"""What simpler ways make of the same cases: where one of them wins, tuning a language model has not paid for the labels (it
still answers and calls tools, which classifiers cannot).

The classifiers learn from the same training utterances; the untuned base gets the taxonomy in its prompt. Not covered: asking
the base (`pipelines/prompted_base.py`).
"""

import re
from collections import Counter
from collections.abc import Sequence

from data.schema import IntentCase, Language, Taxonomy
from evals.metrics import Slice, intent_figures
from evals.predict import Prediction

MAJORITY = "majority label"
TFIDF = "TF-IDF and logistic regression"
PROMPTED = "untuned base, prompted"
Baselines = dict[str, dict[Language, Slice]]


def baselines(train: Sequence[IntentCase], cases: Sequence[IntentCase], labels: Sequence[str]) -> Baselines:
    """The figures of each baseline on `cases`, by language; none where there is nothing to train on.

    TF-IDF takes words and pairs of words, and up to four characters of a word (a Chinese sentence counts as one), with
    sublinear frequencies; the regression is multinomial with C = 10: of five settings the best on the default English cases,
    a bar that is rather too high than too low.
    """
    if len({row.intent for row in train}) < 2:
        return {}
    guesses = {MAJORITY: [_majority(train)] * len(cases), TFIDF: _tfidf(train, cases)}
    spoken: list[Language] = sorted({case.language for case in cases})
    found: Baselines = {}
    for name, predicted in guesses.items():
        told = [Prediction(case=case, predicted=label) for case, label in zip(cases, predicted, strict=True)]
        found[name] = {x: intent_figures([p for p in told if p.language == x], labels) for x in spoken}
    return found


def labelling_prompt(taxonomy: Taxonomy) -> str:
    """What a model that was never tuned must be told to label a message: every label with its meaning, the rules between
    neighbours, and the form of the answer."""
    labels = "\n".join(f"- {name}: {intent.means}" for name, intent in taxonomy.intents.items())
    rules = "\n".join(f"- {rule}" for rule in taxonomy.tie_breaks)
    return (
        "You sort the messages that customers send to an online shop, in English or Chinese. Read the message and answer with "
        "the one label that fits what the customer wants next. Answer with the label alone, exactly as it is written here.\n\n"
        f"Labels:\n{labels}" + (f"\n\nWhere two could fit:\n{rules}" if rules else "")
    )


def forgiven(predictions: Sequence[Prediction], labels: Sequence[str]) -> list[Prediction]:
    """The predictions, a text with exactly one label in it read as this label: an untuned model wraps it in words."""
    found = []
    for p in predictions:
        named = [label for label in labels if re.search(rf"(?<![a-z_]){re.escape(label)}(?![a-z_])", p.raw.lower())]
        alone = p.predicted is None and p.error is None and len(named) == 1
        found.append(p.model_copy(update={"predicted": named[0]}) if alone else p)
    return found


def _majority(train: Sequence[IntentCase]) -> str:
    counts = Counter(row.intent for row in train)
    return min(counts, key=lambda label: (-counts[label], label))


def _tfidf(train: Sequence[IntentCase], cases: Sequence[IntentCase]) -> list[str]:
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline, make_union

    features = make_union(
        TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True),
        TfidfVectorizer(analyzer="char_wb", ngram_range=(1, 4), sublinear_tf=True),
    )
    regression = LogisticRegression(C=10, solver="saga", tol=1e-2, random_state=0)
    model = make_pipeline(features, regression).fit([row.text for row in train], [row.intent for row in train])
    return [str(label) for label in model.predict([case.text for case in cases])]
