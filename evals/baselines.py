"""What simpler classifiers make of the same cases, from the same training utterances: where one of them wins, tuning a language
model has not paid for the labels (it still answers and calls tools, which they cannot).

Not covered: the untuned base with prompting.
"""

from collections import Counter
from collections.abc import Sequence

from data.schema import IntentCase, Language
from evals.metrics import Slice, intent_figures
from evals.predict import Prediction

MAJORITY = "majority label"
TFIDF = "TF-IDF and logistic regression"
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
