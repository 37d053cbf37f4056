"""The contexts are checked against plain strings, the counts against dictionaries, and the rest as of any n-gram."""

import dataclasses
from collections import Counter, defaultdict

import pytest
import torch
from texts import text_task

from sutrolib.measurement.measure import score_of
from sutrolib.models.language import word_ngrams
from sutrolib.models.language.learned_discounts import LeaveOneOutNGram, stats_of
from sutrolib.models.language.word_ngrams import KINDS, Reader, WordNGrams, _count, _left_out, _read_text, contexts_of
from sutrolib.models.saved import from_bytes, to_bytes
from sutrolib.problems.parity import SparseParity
from sutrolib.problems.text import NextCharacter, encode

TEXT = (
    "First Citizen:\nWe are accounted poor citizens, the patricians good; what's past is past!\n\nAll:\nSpeak, speak. "
    * 12
)
ALPHABET = "".join(sorted(set(TEXT)))
SMALL = WordNGrams(samples=500, batch=100, steps=5)


def plain_contexts(text):
    """The contexts of each kind after this text, as plain values, the shortest first."""
    letters = opener = word = before = mark = ""
    column = 0
    for c in text:
        if c.isalpha() or c in "'-":
            letters += c
        else:
            if letters:
                before, word = word, letters
            letters, opener = "", c
        column = 0 if c == "\n" else column + 1
        mark = c if c in ".,;:!?\n" else mark
    last = [text[len(text) - n :] for n in range(8)]
    place = min(column // 12, 4)
    return {
        "characters": [(x,) for x in last],
        "words": [
            *((x,) for x in last[:5]),
            (last[4], letters, opener),
            (last[4], letters, opener, word),
            (last[4], letters, opener, word, before),
        ],
        "lines": [*((x,) for x in last[:4]), (last[3], letters, opener), (last[3], letters, opener, place, mark)],
        "skips": [(), *((before, x) for x in last[:4]), (before, last[3], letters, opener)],
    }


def read(text):
    """The contexts of each kind that a reader has after each character from the eighth on."""
    reader, found = Reader(ALPHABET, 1), {kind: [] for kind in KINDS}
    for number, code in enumerate(encode(text, ALPHABET)):
        reader.read(code[None])
        if number >= 7:
            for kind, contexts in zip(KINDS, contexts_of(reader.state, len(ALPHABET)), strict=True):
                found[kind].append([int(context) for context in contexts])
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_two_contexts_are_equal_where_the_plain_ones_are(kind):
    text = TEXT[:300]
    plain = [plain_contexts(text[: end + 1])[kind] for end in range(7, len(text))]
    hashed = read(text)[kind]
    assert {len(contexts) for contexts in hashed} == {len(plain[0])}
    for level in range(len(plain[0])):
        pairs = {(p[level], h[level]) for p, h in zip(plain, hashed, strict=True)}
        assert len(pairs) == len({p for p, _ in pairs}) == len({h for _, h in pairs})
        assert all(0 <= h * len(ALPHABET) + len(ALPHABET) - 1 < 2**61 for _, h in pairs)


@pytest.mark.parametrize("kind", KINDS)
def test_each_context_is_a_part_of_the_next_one(kind):
    for shorter, longer in zip(*(list(zip(*read(TEXT[:400])[kind], strict=True))[i:] for i in (0, 1)), strict=False):
        parts = defaultdict(set)
        for a, b in zip(shorter, longer, strict=True):
            parts[b].add(a)
        assert {len(found) for found in parts.values()} == {1}


def test_a_text_is_read_in_streams_as_it_would_be_from_its_beginning(monkeypatch):
    monkeypatch.setattr(word_ngrams, "_STREAMS", 2)
    ids = encode(TEXT, ALPHABET)
    states, following = _read_text(ids, ALPHABET)
    length = (len(ids) - 64) // 2
    assert following.tolist() == ids[64 : 64 + 2 * length].tolist()
    reader, last = Reader(ALPHABET, 1), states
    for code in ids[:64]:
        reader.read(code[None])
    for place in range(2 * length):  # after 64 characters a word, a line and the marks here are known
        for kind in zip(*(contexts_of(s, len(ALPHABET)) for s in (reader.state, last[:, [place]])), strict=True):
            assert len({tuple(int(part) for part in contexts) for contexts in kind}) == 1
        reader.read(ids[64 + place][None])


def counted(kind):
    """Contexts (levels, positions), what follows, and the counts of a kind."""
    states, following = _read_text(encode(TEXT, ALPHABET), ALPHABET)
    contexts = contexts_of(states, len(ALPHABET))[list(KINDS).index(kind)]
    return contexts, following, _count(contexts, following, len(ALPHABET))


@pytest.mark.parametrize("kind", KINDS)
def test_the_longest_are_counted_and_the_others_by_what_they_are_the_end_of(kind):
    contexts, following, found = counted(kind)
    strings = [[(int(c), int(f)) for c, f in zip(context, following, strict=True)] for context in contexts]
    expected = [Counter(strings[-1])]
    for shorter, longer in zip(strings[-2::-1], strings[:0:-1], strict=True):
        ends = defaultdict(set)
        for a, b in zip(shorter, longer, strict=True):
            ends[a].add(b)
        expected.append({a: len(b) for a, b in ends.items()})
    for (keys, counts), wanted in zip(found, expected[::-1], strict=True):
        assert keys.tolist() == sorted(keys.tolist())
        got = {divmod(key, len(ALPHABET)): count for key, count in zip(keys.tolist(), counts.tolist(), strict=True)}
        assert got == wanted


@pytest.mark.parametrize("kind", KINDS)
def test_a_string_is_left_out_as_if_it_had_not_been_in_the_text(kind):
    contexts, following, found = counted(kind)
    characters, places = len(ALPHABET), torch.arange(0, len(following), 37)
    stats = [stats_of(keys, counts, characters) for keys, counts in found]
    ends = [context[places] * characters + following[places] for context in contexts]
    left = _left_out([keys for keys, _ in found], stats, ends)
    for number, place in enumerate(places.tolist()):
        kept = torch.arange(len(following)) != place
        again = _count([context[kept] for context in contexts], following[kept], characters)
        for level, (keys, counts) in enumerate(again):
            string = int(contexts[level][place] * characters + following[place])
            count = counts[keys == string].sum()
            total = counts[keys // characters == string // characters].sum()
            assert (left[level].count[number], left[level].total[number]) == (count, total)


def test_predictions_are_distributions_whatever_was_read():
    fitted = SMALL.fit(text_task(TEXT), 0)
    for text in ("", "qz", "\n\n\n", TEXT[:50], "Speak, speak. Speak" * 5):
        known = [c for c in text if c in ALPHABET]
        if known:
            p = fitted.predict(encode("".join(known), ALPHABET)[None]).exp()
            assert p.sum().item() == pytest.approx(1, abs=1e-5)
            assert (p > 0).all()


def test_what_always_follows_is_likely():
    fitted = SMALL.fit(text_task(TEXT), 0)
    p = fitted.predict(encode("We are accounted poor citizen", ALPHABET)[None]).exp()[0]
    assert p[ALPHABET.index("s")] > 0.9


def test_streams_do_not_know_each_other():
    fitted = SMALL.fit(text_task(TEXT), 0)
    rows = torch.stack([encode(TEXT[i : i + 20], ALPHABET) for i in (0, 31, 57)])
    alone = torch.cat([fitted.predict(row[None]) for row in rows])
    assert torch.allclose(fitted.predict(rows), alone, atol=1e-6)


def test_an_exponent_of_one_alone_is_that_n_gram():
    task = text_task(TEXT)
    alone = dataclasses.replace(SMALL, characters=1.0, words=0.0, lines=0.0, skips=0.0).fit(task, 0)
    rows = torch.stack([encode(TEXT[i : i + 20], ALPHABET) for i in (0, 31, 57)])
    other = LeaveOneOutNGram(order=8, samples=500, batch=100, steps=5).fit(task, 0)
    assert (alone.predict(rows).exp() - other.predict(rows).exp()).abs().max() < 0.15  # of almost the same counts


def test_it_is_saved_and_rebuilt():
    fitted = SMALL.fit(text_task(TEXT), 0)
    again = from_bytes(to_bytes(fitted))
    row = encode(TEXT[:30], ALPHABET)[None]
    assert torch.equal(again.predict(row), fitted.predict(row))
    assert again.nbytes == fitted.nbytes > 0


def test_what_was_not_read_is_no_context():
    task = text_task(TEXT)
    alone = dataclasses.replace(SMALL, characters=1.0, words=0.0, lines=0.0, skips=0.0).fit(task, 0)
    for code in encode("Sp", ALPHABET):
        found = torch.full((1, len(ALPHABET)), 1 / len(ALPHABET))
        for table, context in zip(alone.tables[:2], (torch.tensor([0]), code[None]), strict=True):
            found = table.interpolate(found, context * len(KINDS))
        assert torch.allclose(alone.predict(code[None, None]).exp(), found, atol=1e-6)


def test_what_is_no_text_or_too_short_is_refused():
    with pytest.raises(ValueError, match="n-grams of words and lines"):
        SMALL.fit(SparseParity().sample(0).for_training(), 0)
    with pytest.raises(ValueError, match="66 characters"):
        SMALL.fit(text_task("to be or not to be"), 0)
    with pytest.raises(ValueError, match="ids"):
        SMALL.fit(text_task(TEXT), 0).predict(torch.tensor([[len(ALPHABET)]]))
    with pytest.raises(ValueError, match="strings of 8 of 302 characters do not fit into 61 bits"):
        SMALL.fit(text_task("".join(map(chr, range(100, 402))) * 3), 0)


@pytest.mark.slow
def test_on_shakespeare_words_and_lines_are_better_than_characters_alone():
    task = NextCharacter().sample(0)
    words, characters = (model.fit(task.for_training(), 0) for model in (WordNGrams(), LeaveOneOutNGram()))
    assert score_of(task, words) > score_of(task, characters) + 0.02
