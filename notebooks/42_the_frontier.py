# %% [markdown]
# # The frontier: what loss for what work, and where do networks overtake counting?
#
# **Question.** For a given amount of training work, which is better on Shakespeare: counting
# (n-grams), a network, or both together? And what does nanoGPT's own network reach at the work of
# its published recipe?
#
# **Step.** No axis moves: the *problem* is nanoGPT's text in three lengths, the *metric* is work
# (operations, counted or modelled, and modelled cache energy), the *process* is by hand. It shows
# what stands behind the final exam ([40_final_exam](40_final_exam.ipynb)), where everything is
# compared at one loss.
#
# Every point is a training of its own, with a schedule of its own length. Time is not compared:
# several trainings ran at once. The exponents of the products are those of the exam.

# %% tags=["parameters"]
scale: str = "cpu"  # smoke or cpu
seeds: int = 5  # of each training (full profile), 5 to 100
profile: str = "quick"  # quick, anew or full

# %%
from sutrolib.exam import frontier
from sutrolib.exam.entries import CLOSED, OPEN, scale_of
from sutrolib.exam.frontier_plots import FAMILIES, draw_frontier
from sutrolib.exam.trainings import WORK, load_trainings
from sutrolib.notebook import start

nb = start("42_the_frontier")

# %% [markdown]
# ## Expectation

# %%
equal_loss = "closed: loss at the published recipe's work, nats"
nb.expect(equal_loss, 1.48, 1.6, "tried before: 1.524 at the published recipe's time")
overtaken = "corpora on which a network is better than every n-gram, of 3"
nb.expect(overtaken, 0, 2, "the n-grams know each text by heart, and networks need updates")
factor = "work of the cheapest such network / of the best n-gram, smallest factor"
nb.expect(factor, 10, 1e5, "counting is one pass over the text")
gain = "nats that a network saves in the best n-gram, largest on a corpus"
nb.expect(gain, 0.03, 0.3, "a product of both is the best entry of the open division")
nb.kinds("modelled", counted=[equal_loss, overtaken, gain])
nb.show_expectations()

# %% [markdown]
# ## The record

# %%
exam = scale_of(scale)
if not nb.quick:
    frontier.run_frontier(exam, seeds, lambda left, name, _: print(f"{name}; {left} left"))
made = frontier.points(load_trainings(exam.name, frontier.CONTENT))
nb.require(bool(made), f"no frontier was run at scale {scale}: use the profile full")
corpora = list(dict.fromkeys(p.corpus for p in made if p.corpus != frontier.EQUAL))
print(f"{len(made)} points, {sum(len(p.losses) for p in made)} losses, {len(corpora)} corpora")

# %% [markdown]
# ## At the published recipe's own work
#
# The closed recipe (nanoGPT's network) with as many updates as fit into a share of the published
# recipe's work, in operations or cache energy, whichever is less favourable.

# %%
rows = []
for p in (p for p in made if p.corpus == frontier.EQUAL):
    rows.append((p.family, p.size, f"{p.loss}", len(p.losses)))
nb.table(("share of the published work", "training", "loss, nats (counted)", "seeds"), rows)

# %% [markdown]
# ## Loss against work

# %%
labels = {"operations": "operations of training (counted or modelled)"}
labels["cache-energy"] = "cache energy of training, J (modelled)"
for reading in WORK:
    figure = draw_frontier(made, reading, labels[reading])
    alt = f"Loss against {labels[reading]}, by corpus. {figure.get_suptitle()}"
    nb.show(figure, reading.replace("-", "_"), alt)

# %% [markdown]
# ## Where they cross
#
# From what work on is a network, or a product, better than the best n-gram, with its whole 95 %
# interval? Work is compared with that of this n-gram.

# %%
rows = []
for corpus in corpora:
    for family in (CLOSED, OPEN):
        words = [frontier.crossing_in_words(made, corpus, family, reading) for reading in WORK]
        rows.append((corpus, FAMILIES[family], *words))
nb.table(("corpus", "family", *(f"{reading} (modelled)" for reading in WORK)), rows)

# %% [markdown]
# ## The table behind the figure

# %%
rows = []
for p in sorted(made, key=lambda p: (p.corpus, p.work["operations"])):
    work = (f"{p.work[reading]:.3g}" for reading in WORK)
    rows.append((p.corpus, FAMILIES.get(p.family, p.family), p.size, f"{p.loss}", *work))
header = ("corpus", "family", "size", "loss, nats (counted)", "operations", "cache energy, J (modelled)")
nb.table(header, rows)

# %% [markdown]
# ## What we saw

# %%
best = {c: {f: frontier.best_first(made, c, f)[0] for f in FAMILIES} for c in corpora}
found = [frontier.crossing(made, c, CLOSED, r) for c in corpora for r in WORK]
times = [
    p.work[r] / best[p.corpus][frontier.NGRAM].work[r]
    for p in found if p for r in WORK
]
saved = {c: b[frontier.NGRAM].loss.value - b[OPEN].loss.value for c, b in best.items()}
equal = [p for p in made if (p.corpus, p.family) == (frontier.EQUAL, "1")]
results = {
    equal_loss: equal[0].loss.value if equal else None,
    overtaken: len({p.corpus for p in found if p}),
    factor: min(times, default=None),
    gain: max(saved.values()),
}

# %%
words = []
for c in corpora:
    losses = ", ".join(f"{FAMILIES[f]} {p.loss.value:.3f}" for f, p in best[c].items())
    words.append(f"{c}: {losses}")
finding = f"Lowest losses within reach, nats: {'; '.join(words)}. {figure.get_suptitle()}."
finding = finding.replace("\n", " ")
if equal:
    finding += f" At the published recipe's own work, its network reaches {equal[0].loss} nats."
then = "Next: [43_which_process_finds_it](43_which_process_finds_it.ipynb)."
nb.conclude(finding, results, then, figure="operations")
