"""The reward of the TLDR task of MAGRPO (arXiv 2508.04652) as a Python function: two summaries of one post, scored for their form.

    magrpo train examples/rewards/tldr-python.yaml

The signature is that of CoMLRL: a list of completions per agent, and a list of rewards back. Equal to `rules: paper` of the task
`tldr`.
"""
import re

TRANSITION_WORDS = [
    """
    furthermore; moreover; additionally; also; besides; in addition; what is more; not only; as well as; along with;
    coupled with; together with; likewise; similarly; equally important; by the same token; in the same way;
    correspondingly; in like manner; comparatively; analogously
    """,  # elaboration
    """
    for example; for instance; specifically; particularly; namely; such as; including; especially; in particular;
    to illustrate; as an illustration; case in point; to demonstrate; as evidence; to exemplify; notably; markedly;
    chiefly; mainly; primarily; above all; most importantly
    """,  # examples
    """
    that is; in other words; to put it simply; to clarify; indeed; in fact; actually; clearly; obviously;
    to put it another way; to rephrase; more precisely; specifically speaking; what this means is; the point is;
    essentially; basically; fundamentally; at its core; in essence; simply put; stated differently
    """,  # explanation
    """
    therefore; thus; consequently; as a result; hence; accordingly; for this reason; due to this; because of this; so;
    then; thereby; wherefore; thence; ergo; as a consequence; in consequence; it follows that; this leads to;
    this results in; this causes; this brings about; owing to; on account of; thanks to; resulting from
    """,  # cause effect
    """
    however; nevertheless; nonetheless; on the other hand; in contrast; while; whereas; although; even though;
    despite this; but; yet; still; conversely; on the contrary; rather; instead; alternatively; otherwise;
    in opposition; by contrast; contrarily; notwithstanding; regardless; all the same; even so; be that as it may;
    in any case; at any rate
    """,  # contrast
    """
    first; second; third; next; then; after that; finally; lastly; initially; subsequently; meanwhile; to begin with;
    to start with; in the beginning; at first; at the outset; primarily; secondly; thirdly; following this; afterward;
    later; later on; in the meantime; simultaneously; concurrently; at the same time; in conclusion; to conclude;
    ultimately; in the end; to summarize; in summary
    """,  # sequence
    """
    indeed; certainly; surely; undoubtedly; without doubt; definitely; absolutely; positively; unquestionably;
    indubitably; of course; naturally; obviously; clearly; evidently; manifestly; undeniably; admittedly; granted;
    to be sure; in fact; as a matter of fact; notably; significantly
    """,  # emphasis
    """
    in summary; in conclusion; to summarize; to conclude; in short; in brief; briefly; to sum up; on the whole;
    overall; all in all; in essence; essentially; basically; fundamentally; in the final analysis; after all;
    ultimately; in the end; when all is said and done; the bottom line is
    """,  # summary
    """
    similarly; likewise; in the same way; equally; just as; comparable to; in comparison; by the same token;
    correspondingly; in like manner; along the same lines; in similar fashion; analogously; by analogy; just like;
    much like; as with
    """,  # comparison
    """
    although; though; even though; while; whereas; despite; in spite of; regardless of; notwithstanding; admittedly;
    granted; even if; be that as it may; nevertheless; nonetheless; however; yet; still; all the same
    """,  # concession
    """
    if; unless; provided that; assuming that; supposing that; in case; in the event that; on condition that;
    given that; as long as; so long as; only if; even if; whether or not; should; were; had; otherwise; or else
    """,  # condition
    """
    when; while; as; after; before; until; since; during; meanwhile; simultaneously; at the same time; concurrently;
    previously; formerly; earlier; later; afterward; subsequently; eventually; finally; recently; lately; nowadays;
    currently; presently; immediately
    """,  # time
]
CATEGORIES = [[" ".join(entry.split()) for entry in text.split(";")] for text in TRANSITION_WORDS]

STOP_WORDS = set(
    """
    a all also an and any are as at bad be been being both but by can could did do does each few first for from good
    great had has have he her here him his how i if in is it its just last left little long low many may me might more
    most much must my new no not now of old on only or other our own right same shall should so some such than that
    the their them then there these they this those to too us very was we were what when where which who why will with
    would you your
    """.split()
)


def ramp(value, low, high):
    return (value - low) / (high - low)


def unique_words(text):
    return set(re.findall(r"\w+", text.lower()))


def length_score(ratio):
    """1 from 1.6 to 3.2, falling to 0 at 1.1 and 5.0; None outside."""
    if not 1.1 <= ratio <= 5.0:
        return None
    if ratio < 1.6:
        return ramp(ratio, 1.1, 1.6)
    return 1 - ramp(ratio, 3.2, 5.0) if ratio > 3.2 else 1.0


def jaccard(first, second):
    a, b = unique_words(first) - STOP_WORDS, unique_words(second) - STOP_WORDS
    return len(a & b) / len(a | b) if a | b else 1.0


def transitions(text):
    lower = text.lower()
    count = sum(any(entry in lower for entry in category) for category in CATEGORIES)
    return min(1.0, 0.4 + min(0.6, 0.05 * (count - 1))) if count else 0.0


def score(brief, detailed):
    """Points of four levels; one that fails ends the scoring."""
    if not all(8 <= len(text.split()) <= 256 for text in (brief, detailed)):
        return 0.0
    total = 0.5
    length = length_score(len(detailed) / len(brief))
    if length is None:
        return total
    total += length
    distinct = len(unique_words(brief))
    ratio = len(unique_words(detailed)) / distinct if distinct else 0.0
    if ratio < 1.3:
        return total
    total += 0.5 * min(1.0, ramp(ratio, 1.3, 2.0))
    return total + 0.6 * (min(jaccard(brief, detailed), 0.03) / 0.03) + 0.4 * transitions(detailed)


def tldr_reward(completions1, completions2):
    """One reward for each pair of completions."""
    return [score(brief, detailed) for brief, detailed in zip(completions1, completions2)]


def with_parts(item, completions):
    """The same with parts, in magrpo's own signature."""
    brief, detailed = completions
    return {"total": score(brief, detailed), "parts": {"words_1": len(brief.split()), "words_2": len(detailed.split())}}
