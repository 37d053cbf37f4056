import pytest
from matplotlib import pyplot as plt
from matplotlib.colors import to_hex

from sutrolib.search_charts import FAILED, LIMIT, PASSED, draw_checks


@pytest.fixture(autouse=True)
def _closed():
    yield
    plt.close("all")


def test_every_check_of_every_model_has_its_word_and_a_failed_one_its_colour():
    outcomes = {
        "sound": {"fresh seeds": "passed", "noise": "0 of 4", "scaled": "not tested"},
        "cheat": {"fresh seeds": "failed", "noise": "4 of 4"},
    }
    ax = draw_checks(outcomes, "title").axes[0]
    words = [text.get_text() for text in ax.texts]
    assert words == ["passed", "0 of 4", "-", "failed", "4 of 4", "-"]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["fresh seeds", "noise", "scaled"]
    assert [label.get_text() for label in ax.get_xticklabels()] == list(outcomes)
    colours = dict(zip(words, (to_hex(patch.get_facecolor()).upper() for patch in ax.patches), strict=True))
    assert (colours["passed"], colours["failed"], colours["0 of 4"]) == (PASSED, FAILED, LIMIT)
