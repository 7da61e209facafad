"""The inner loops of `scoring.compiled`, compiled by numba: bytes -> words -> features -> logits.

What they count is defined by `scoring.features` and scikit-learn; here it is counted faster, in the same order, so that
the logits are the same to the last bit. A feature's name is never built: its hash goes on from the state in which the
hash of its first words was left, so that most names cost a few bytes.

Every function takes and gives plain arrays, and goes sentence by sentence: what one gets is the same in any batch.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numba import njit

# Columns of the table of words (`scoring.compiled.Vocabulary`). A state is that of a hash that is under way.
STEM, STEM_BYTES, WORD, WORD_BYTES = range(4)  # where in the pool, how long
STEM_STATE = 4  # of "s STEM"; a state has four columns
WORD_STATE = 8  # of "g WORD>"
GROUP, LIGHT, SINGLE, PHRASES, PHRASES_END, FITS, FITS_END = range(12, 19)
COLUMNS: Final = 19

# Column of the table of weights; those of the levels come first.
IDF: Final = 4
WEIGHTS: Final = 8

# Columns of the table of groups.
NAME, NAME_BYTES = range(2)
NEAR_STATE = (2, 6)  # of "v GROUP <" and of "v GROUP >"
GROUP_STATE = 10  # of "g GROUP>"
GROUP_COLUMNS: Final = 14

# What the tokeniser makes of a byte, and words that it knows by themselves.
OTHER, LETTER, DIGIT, MARK, ACTOR_BYTE = range(5)
THE, ACTOR_WORD, NUMBER = range(3)

MOST_CUES: Final = 60
MOST_PROBES: Final = 256
"""Places of the table of tokens that are looked at for one: a feed may be made of words that all want the same."""

NEW, CROWDED = -1, -2
_ANY: Final = 0xFFFFFFFF


def _jit(function: Any) -> Any:
    """Compile at the first call; the machine code is kept beside the source, or in the user's cache."""
    try:
        return njit(cache=True, nogil=True, error_model="numpy")(function)
    except RuntimeError:  # no folder to keep it in: it is compiled in every process
        return njit(nogil=True, error_model="numpy")(function)


@_jit
def mix(h: int, k: int) -> int:
    """Take four more bytes into a hash (MurmurHash3, 32 bits: Appleby 2011)."""
    k = (k * 0xCC9E2D51) & _ANY
    k = ((k << 15) | (k >> 17)) & _ANY
    h ^= (k * 0x1B873593) & _ANY
    h = ((h << 13) | (h >> 19)) & _ANY
    return (h * 5 + 0xE6546B64) & _ANY


@_jit
def feed(h: int, k: int, held: int, pool: Any, at: int, size: int) -> tuple[int, int, int]:
    """Take a piece of the pool into a hash; `k` are the `held` bits that do not yet make four bytes."""
    while size > 0:
        k |= pool[at] << held
        taken = min(size, 4)
        held += 8 * taken
        if held >= 32:
            h = mix(h, k & _ANY)
            k >>= 32
            held -= 32
        at += 1
        size -= 4
    return h, k, held


@_jit
def mix_byte(h: int, k: int, held: int, byte: int) -> tuple[int, int, int]:
    """Take one byte into a hash."""
    k |= byte << held
    held += 8
    if held == 32:
        return mix(h, k), 0, 0
    return h, k, held


@_jit
def begin(h: int, k: int, held: int, text: Any, start: int, end: int) -> tuple[int, int, int]:
    """Take bytes of a text into a hash; give the state in which the hash is left."""
    for i in range(start, end):
        h, k, held = mix_byte(h, k, held, text[i])
    return h, k, held


@_jit
def bucket(h: int, k: int, size: int, mask: int) -> int:
    """End a hash of `size` bytes; give the column of the feature."""
    k = (k * 0xCC9E2D51) & _ANY
    k = ((k << 15) | (k >> 17)) & _ANY
    h ^= (k * 0x1B873593) & _ANY
    h ^= size
    h ^= h >> 16
    h = (h * 0x85EBCA6B) & _ANY
    h ^= h >> 13
    h = (h * 0xC2B2AE35) & _ANY
    h ^= h >> 16
    if h >= 0x80000000:  # scikit-learn takes the absolute value of a signed number
        h = 0x100000000 - h
    return h & mask


@_jit
def columns(text: Any, offsets: Any, mask: int, out: Any) -> None:
    """Give the columns of features by their names, one behind the other in `text`."""
    for i in range(len(out)):
        start, end = offsets[i], offsets[i + 1]
        h, k, _ = begin(0, 0, 0, text, start, end)
        out[i] = bucket(h, k, end - start, mask)


@_jit
def _keep(text: Any, start: int, end: int, pieces: Any, used: int) -> int:
    """Pack bytes into a piece, four a number; give how many numbers are used by now."""
    for i in range(start, end):
        if (i - start) % 4 == 0:
            pieces[used] = 0
            used += 1
        pieces[used - 1] |= text[i] << (8 * ((i - start) % 4))
    return used


@_jit
def learn(
    words: Any, word_at: Any, stems: Any, stem_at: Any, rows: Any, pieces: Any, base: int, mask: int
) -> int:
    """Fill in what the hashes need of new words; give how many numbers their pieces take.

    Parameters
    ----------
    words, word_at, stems, stem_at : ndarray of uint8, ndarray of int32
        The words, and their stems with a blank before each.
    rows : ndarray of int64, shape (words, COLUMNS)
        Out.
    pieces : ndarray of int64
        Out: to be put behind the pool, which holds `base` numbers.
    mask : int
        Columns of the classifier less one.
    """
    used = 0
    for i in range(len(rows)):
        row = rows[i]
        start, end = word_at[i], word_at[i + 1]
        row[WORD], row[WORD_BYTES] = base + used, end - start
        used = _keep(words, start, end, pieces, used)
        h, k, held = mix_byte(0, 0, 0, 103)  # "g"
        h, k, held = mix_byte(h, k, held, 32)
        h, k, held = begin(h, k, held, words, start, end)
        h, k, held = mix_byte(h, k, held, 62)  # ">"
        s = WORD_STATE
        row[s], row[s + 1], row[s + 2], row[s + 3] = h, k, held, end - start + 3
        start, end = stem_at[i], stem_at[i + 1]
        row[STEM], row[STEM_BYTES] = base + used, end - start
        used = _keep(stems, start, end, pieces, used)
        h, k, held = mix_byte(0, 0, 0, 115)  # "s"
        h, k, held = begin(h, k, held, stems, start, end)
        s = STEM_STATE
        row[s], row[s + 1], row[s + 2], row[s + 3] = h, k, held, end - start + 1
        row[SINGLE] = bucket(h, k, end - start + 1, mask)
    return used


@_jit
def _hash(text: Any, start: int, end: int) -> int:
    h = 2166136261
    for i in range(start, end):  # FNV-1a
        h = ((h ^ text[i]) * 16777619) & _ANY
    return h ^ (h >> 15)


@_jit
def _pair(one: int, other: int) -> int:
    return (one * 0x9E3779B1 ^ other) & _ANY


@_jit
def _marked(filter_: Any, h: int) -> Any:
    size = len(filter_) - 1
    return filter_[h & size] and filter_[(h >> 9) & size]


@_jit
def find(text: Any, start: int, end: int, slots: Any, spans: Any, known: Any) -> Any:
    """Give the number of a token that was met before, `NEW`, or `CROWDED` where too many others stand in its way."""
    size = len(slots) - 1
    at = _hash(text, start, end) & size
    for _ in range(MOST_PROBES):
        token = slots[at]
        if token < 0:
            return NEW
        low = spans[token, 0]
        if spans[token, 1] - low == end - start:
            same = True
            for i in range(end - start):
                if known[low + i] != text[start + i]:
                    same = False
                    break
            if same:
                return token
        at = (at + 1) & size
    return CROWDED


@_jit
def enter(slots: Any, spans: Any, known: Any, first: int, end: int) -> None:
    """Put new tokens into the table, by number; one that finds no place stays `CROWDED`."""
    size = len(slots) - 1
    for token in range(first, end):
        at = _hash(known, spans[token, 0], spans[token, 1]) & size
        for _ in range(MOST_PROBES):
            if slots[at] < 0:
                slots[at] = token
                break
            at = (at + 1) & size


@_jit
def tokenise(
    text: Any,
    offsets: Any,
    rows: Any,
    kinds: Any,
    marks: Any,
    slots: Any,
    spans: Any,
    known: Any,
    words: Any,
    ids: Any,
    counts: Any,
    actors: Any,
    unknown: Any,
) -> int:
    """Split sentences of ASCII into words, as `scoring.features.words` does.

    Parameters
    ----------
    text, offsets : ndarray of uint8, ndarray of int32
        The sentences in lower case, one behind the other, and where each begins.
    rows : ndarray of int64
        The sentences to split.
    kinds, marks : ndarray of uint8, ndarray of int32, shape (128,)
        What a byte is; the word of a mark.
    slots, spans, known, words : ndarray
        The tokens that were met before: hash table, where each lies in `known`, its words.
    ids, counts : ndarray of int32
        Out: the words of a sentence, from its offset on; how many, `CROWDED` for one that is not split here.
    actors : ndarray of int32
        Out: a bit for each kind of actor (`scoring.features.mask`).
    unknown : ndarray of int64, shape (n, 3)
        Out: sentence, start and end of tokens that are not known yet.

    Returns
    -------
    int
        How many tokens are unknown.
    """
    missing = 0
    for row in rows:
        at, end = offsets[row], offsets[row + 1]
        first = at
        out = at
        seen = 0
        crowded = False
        while at < end:
            byte = text[at]
            kind = kinds[byte]
            start = at
            at += 1
            if kind == OTHER:
                continue
            if kind == LETTER:
                while at < end:
                    if kinds[text[at]] == LETTER:
                        at += 1
                    elif (
                        (text[at] == 45 or text[at] == 39)
                        and at + 1 < end
                        and kinds[text[at + 1]] == LETTER
                    ):
                        at += 2
                    else:
                        break
                behind = out > first and ids[out - 1] == ACTOR_WORD
                if behind and at - start == 1 and byte == 115:
                    continue  # the s of a possessive
                token = find(text, start, at, slots, spans, known)
                if token == CROWDED:
                    crowded = True
                    break
                if token == NEW:
                    if missing < len(unknown):
                        unknown[missing] = row, start, at
                    missing += 1
                    continue
                ids[out] = words[token, 0]
                out += 1
                if words[token, 1] >= 0:
                    ids[out] = words[token, 1]
                    out += 1
            elif kind == DIGIT:
                while at < end and (kinds[text[at]] == DIGIT or text[at] == 46 or text[at] == 44):
                    at += 1
                ids[out] = NUMBER
                out += 1
            elif kind == MARK:
                if byte == 39 and out > first and ids[out - 1] == ACTOR_WORD:
                    continue
                ids[out] = marks[byte]
                out += 1
            else:
                seen |= 1 << byte
                if out > first and ids[out - 1] == THE:
                    out -= 1
                ids[out] = ACTOR_WORD
                out += 1
        counts[row] = CROWDED if crowded else out - first
        actors[row] = seen
    return missing


@_jit
def may_name(text: Any, offsets: Any, letters: Any, alone: Any, together: Any, out: Any) -> None:
    """Tell which sentences may name an actor, by a look at single words and pairs of words.

    Parameters
    ----------
    text, offsets : ndarray of uint8, ndarray of int32
        Sentences, one behind the other, and where each begins.
    letters : ndarray of uint8, shape (256,)
        1 for a lower-case letter or a digit, 2 for a capital; 3 for what is not ASCII.
    alone, together : ndarray of bool
        Bloom filters of the words that are a name, and of the pairs of words that one may begin with (`mark`).
    out : ndarray of bool
        Out: False where there is surely none.
    """
    for row in range(len(out)):
        at, end = offsets[row], offsets[row + 1]
        last, found = 0, False
        while at < end and not found:
            kind = letters[text[at]]
            if kind == 0:
                at += 1
                continue
            start = at
            while at < end and 1 <= letters[text[at]] <= 2:
                at += 1
            if kind == 3 or (
                # "U.S." is one word: leave such to those who know
                kind == 2
                and at - start == 1
                and at + 1 < end
                and text[at] == 46
                and letters[text[at + 1]] == 2
            ):
                found = True
                break
            here = _hash(text, start, at)
            found = _marked(alone, here) or _marked(together, _pair(last, here))
            last = here
        out[row] = found


@_jit
def mark(text: Any, offsets: Any, filter_: Any) -> None:
    """Enter words, or pairs of words parted by a blank, into a Bloom filter."""
    size = len(filter_) - 1
    for row in range(len(offsets) - 1):
        start, end = offsets[row], offsets[row + 1]
        blank = start
        while blank < end and text[blank] != 32:
            blank += 1
        h = _hash(text, start, blank)
        if blank < end:
            h = _pair(h, _hash(text, blank + 1, end))
        filter_[h & size] = True
        filter_[(h >> 9) & size] = True


@_jit
def _skeleton(
    ids: Any, low: int, high: int, table: Any, fits: Any, starts: Any, phrases: Any, parts: Any,
    cue_group: Any, cue_at: Any,
) -> int:  # fmt: skip
    """Reduce words to cue groups, as `scoring.features.skeleton` does."""
    cues = 0
    at = low
    while at < high:
        word = ids[at]
        group, taken = table[word, GROUP], 1
        for p in range(table[word, PHRASES], table[word, PHRASES_END]):
            phrase = starts[p]
            begin, end = phrases[phrase, 1], phrases[phrase, 2]
            if at + end - begin > high:
                continue
            whole = True
            for k in range(1, end - begin):
                wanted, other, met = parts[begin + k], ids[at + k], False
                for f in range(table[other, FITS], table[other, FITS_END]):
                    if fits[f] == wanted:
                        met = True
                        break
                if not met:
                    whole = False
                    break
            if whole:
                group, taken = phrases[phrase, 0], end - begin
                break
        if group >= 0:
            cue_group[cues] = group
            cue_at[cues] = at - low
            cues += 1
        at += taken
    return cues


@_jit
def _word_features(
    ids: Any, low: int, high: int, table: Any, pool: Any, edges: Any, mask: int, out: Any
) -> int:
    """Stem n-grams."""
    n = 0
    size = high - low
    for i in range(size):
        word = ids[low + i]
        out[n] = table[word, SINGLE]
        n += 1
        h, k, held = (
            table[word, STEM_STATE],
            table[word, STEM_STATE + 1],
            table[word, STEM_STATE + 2],
        )
        length = table[word, STEM_STATE + 3]
        if i + 1 == size:
            h, k, held = feed(h, k, held, pool, edges[1, NAME], 2)  # " >"
            out[n] = bucket(h, k, length + 2, mask)
            n += 1
            break
        for step in range(1, 3):
            if i + step < size:
                other = ids[low + i + step]
                h, k, held = feed(h, k, held, pool, table[other, STEM], table[other, STEM_BYTES])
                length += table[other, STEM_BYTES]
                out[n] = bucket(h, k, length, mask)
                n += 1
    # "s < FIRST", or "s < >" where there is no word
    h, k, held = edges[0, 2], edges[0, 3], edges[0, 4]
    if size:
        at, length = table[ids[low], STEM], table[ids[low], STEM_BYTES]
    else:
        at, length = edges[1, NAME], 2
    h, k, held = feed(h, k, held, pool, at, length)
    out[n] = bucket(h, k, edges[0, 5] + length, mask)
    return n + 1


@_jit
def _cue_features(
    cue_group: Any, cues: int, tables: Any, side: Any, seen: Any, out: Any, n: int
) -> int:
    """N-grams of the skeleton, of what is said, and groups anywhere one after the other."""
    singles, pairs, triples, chains, chains3, after = tables
    groups = len(singles)
    start, end = groups, groups + 1  # the edges
    last = start
    for i in range(cues):
        group = cue_group[i]
        following = cue_group[i + 1] if i + 1 < cues else end
        out[n] = singles[group]
        out[n + 1] = pairs[last, group]
        out[n + 2] = triples[last, group, following]
        n += 3
        last = group
    out[n] = pairs[last, end]
    n += 1
    # each pair once, however often it occurs
    top = min(cues, MOST_CUES)
    for i in range(top):
        for j in range(i + 1, top):
            a, b = cue_group[i], cue_group[j]
            if not seen[a, b]:
                seen[a, b] = True
                out[n] = after[a, b]
                n += 1
    for i in range(top):
        for j in range(top):
            seen[cue_group[i], cue_group[j]] = False
    one, two = start, -1
    for i in range(cues):
        group = cue_group[i]
        if side[group]:
            continue
        out[n] = chains[one, group]
        n += 1
        if two >= 0 and two != start:
            out[n] = chains3[two, one, group]
            n += 1
        two, one = one, group
    out[n] = chains[one, end]
    return n + 1


@_jit
def _near_features(
    ids: Any, low: int, high: int, cue_group: Any, cue_at: Any, cues: int, table: Any, groups: Any,
    quiet: Any, pool: Any, mask: int, out: Any, n: int,
) -> int:  # fmt: skip
    """Words beside cues, and stems near them."""
    for i in range(cues - 1):
        word, group = ids[low + cue_at[i]], cue_group[i + 1]
        s = WORD_STATE
        h, k, held = table[word, s], table[word, s + 1], table[word, s + 2]
        h, k, held = feed(h, k, held, pool, groups[group, NAME], groups[group, NAME_BYTES])
        out[n] = bucket(h, k, table[word, s + 3] + groups[group, NAME_BYTES], mask)
        word, group = ids[low + cue_at[i + 1]], cue_group[i]
        s = GROUP_STATE
        h, k, held = groups[group, s], groups[group, s + 1], groups[group, s + 2]
        h, k, held = feed(h, k, held, pool, table[word, WORD], table[word, WORD_BYTES])
        out[n + 1] = bucket(h, k, groups[group, s + 3] + table[word, WORD_BYTES], mask)
        n += 2
    for i in range(cues):
        group = cue_group[i]
        if quiet[group]:
            continue
        for step in range(-3, 4):
            at = low + cue_at[i] + step
            if step == 0 or at < low or at >= high:
                continue
            word = ids[at]
            if table[word, LIGHT]:
                continue
            s = 2 if step < 0 else 6
            h, k, held = groups[group, s], groups[group, s + 1], groups[group, s + 2]
            h, k, held = feed(h, k, held, pool, table[word, STEM], table[word, STEM_BYTES])
            out[n] = bucket(h, k, groups[group, s + 3] + table[word, STEM_BYTES], mask)
            n += 1
    return n


@_jit
def _by_digit(values: Any, n: int, shift: int, out: Any, counts: Any) -> None:
    """One pass of a radix sort."""
    counts[:] = 0
    for i in range(n):
        counts[(values[i] >> shift) & 127] += 1
    total = 0
    for digit in range(128):
        here = counts[digit]
        counts[digit] = total
        total += here
    for i in range(n):
        digit = (values[i] >> shift) & 127
        out[counts[digit]] = values[i]
        counts[digit] += 1


@_jit
def _sort(values: Any, n: int, spare: Any, counts: Any) -> None:
    """Sort numbers of at most 21 bits, seven bits at a time; the third pass ends in `spare`."""
    _by_digit(values, n, 0, spare, counts)
    _by_digit(spare, n, 7, values, counts)
    _by_digit(values, n, 14, spare, counts)


@_jit
def _weigh(columns: Any, n: int, logs: Any, weights: Any, values: Any, out: Any) -> None:
    """Weigh sorted columns as TfidfTransformer does and add up their weights, in its order."""
    distinct = 0
    i = 0
    total = 0.0
    while i < n:
        column = columns[i]
        first = i
        while i < n and columns[i] == column:
            i += 1
        count = i - first
        log = logs[count] if count < len(logs) else np.log(float(count)) + 1.0
        value = log * weights[column, IDF]
        total += value * value
        columns[distinct] = column
        values[distinct] = value
        distinct += 1
    norm = np.sqrt(total)
    if norm == 0.0:
        norm = 1.0
    a = b = c = d = 0.0
    for i in range(distinct):
        value = values[i] / norm
        row = weights[columns[i]]
        a += value * row[0]
        b += value * row[1]
        c += value * row[2]
        d += value * row[3]
    out[0], out[1], out[2], out[3] = a, b, c, d


@_jit
def logits(
    ids: Any,
    offsets: Any,
    counts: Any,
    actors: Any,
    table: Any,
    pool: Any,
    fits: Any,
    starts: Any,
    phrases: Any,
    parts: Any,
    groups: Any,
    edges: Any,
    side: Any,
    quiet: Any,
    cue_tables: Any,
    count_buckets: Any,
    logs: Any,
    weights: Any,
    out: Any,
) -> None:
    """Give the logits of sentences whose words are known, without the intercept.

    Parameters
    ----------
    ids, offsets, counts, actors : ndarray
        As `tokenise` gives them.
    table, pool, fits, starts, phrases, parts, groups, edges, side, quiet, cue_tables, count_buckets : ndarray
        As `scoring.compiled` lays them out.
    logs : ndarray of float64
        1 + log(count).
    weights : ndarray of float64, shape (features, 8)
        Of the model: four levels and `IDF`; a row is as long as what a processor fetches at once.
    out : ndarray of float64, shape (sentences, 4)
        Out.
    """
    longest = 1
    for row in range(len(counts)):
        longest = max(longest, counts[row])
    n_groups = len(groups)
    room = 24 * longest + n_groups * n_groups + 16
    columns, spare = np.empty(room, np.int32), np.empty(room, np.int32)
    values = np.empty(room, np.float64)
    cue_group, cue_at = np.empty(longest, np.int32), np.empty(longest, np.int32)
    seen = np.zeros((n_groups, n_groups), np.bool_)
    digits = np.empty(128, np.int32)
    mask = len(weights) - 1
    for row in range(len(counts)):
        low = offsets[row]
        high = low + counts[row]
        cues = _skeleton(ids, low, high, table, fits, starts, phrases, parts, cue_group, cue_at)
        n = _word_features(ids, low, high, table, pool, edges, mask, columns)
        n = _cue_features(cue_group, cues, cue_tables, side, seen, columns, n)
        n = _near_features(
            ids, low, high, cue_group, cue_at, cues, table, groups, quiet, pool, mask, columns, n
        )
        named = 0
        for i in range(cues):
            named += cue_group[i] == 0
        different = (actors[row] >> 1 & 1) + (actors[row] >> 2 & 1) + (actors[row] >> 3 & 1)
        columns[n] = count_buckets[0, min(named, 4)]
        columns[n + 1] = count_buckets[1, different]
        columns[n + 2] = count_buckets[2, min(counts[row] // 8, 6)]
        _sort(columns, n + 3, spare, digits)
        _weigh(spare, n + 3, logs, weights, values, out[row])
