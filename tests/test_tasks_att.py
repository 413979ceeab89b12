import pytest
from hypothesis import given, settings

from convexsnn.tasks import DFA, TaskSettings, load_task, read_att, write_att
from test_tasks_dfa import automata, follow, words


@given(dfa=automata())
@settings(max_examples=60, deadline=None)
def test_att_round_trip(dfa, tmp_path_factory):
    path = tmp_path_factory.mktemp("att") / "a.att"
    if not dfa.accepting:
        with pytest.raises(ValueError, match="accepting is empty"):
            write_att(dfa, path)
        return
    write_att(dfa, path)
    back = read_att(path)
    assert back.symbols == dfa.symbols
    for word in words(5, len(dfa.symbols)):
        assert back.accepts(word) == follow(dfa, word)


def test_att_file_as_task(tmp_path):
    path = tmp_path / "even.att"
    path.write_text("even even 0\neven odd 1 1\n\nodd\todd\t0\nodd even 1\neven 0\n")
    task = load_task(f"dfa:file:{path}", TaskSettings(n_train=20, n_val=5, n_test=5, timesteps=6))
    assert (task.train.y == (task.train.X[:, :, 1].sum(axis=1) % 2 == 0)).all()
    assert task.automaton.states == ("even", "odd")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0 1 a\n0 0 a\n1\n", r"line 2, '0 0 a': state 0 already has a transition for a \(line 1\)"),
        ("0 1 a\n1 0 a b\n1\n", "line 2.*outputs and weights"),
        ("0 1 a a 0.5\n1\n", "line 1.*outputs and weights"),
        ("0 1 <eps>\n1\n", "line 1.*reads nothing"),
        ("0 1 a\n1 0.5\n", "line 2.*final weight 0.5"),
        ("0 1 a\n", "no final state"),
        ("0\n", "no transition"),
        ("", "no transition"),
    ],
)
def test_att_errors(tmp_path, text, message):
    path = tmp_path / "bad.att"
    path.write_text(text)
    with pytest.raises(ValueError, match=message):
        read_att(path)


def test_att_unreadable(tmp_path):
    with pytest.raises(ValueError, match="cannot be read"):
        read_att(tmp_path / "none.att")
    (tmp_path / "binary.att").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ValueError, match="cannot be read"):
        read_att(tmp_path / "binary.att")
    with pytest.raises(ValueError, match="cannot be a name"):
        write_att(DFA(("q 1",), ("a",), ((0,),), 0, frozenset({0})), tmp_path / "x.att")


def test_att_file_with_a_byte_order_mark(tmp_path):
    path = tmp_path / "bom.att"
    path.write_text("0 0 a\n0 1 b\n1 1 a\n1 0 b\n0\n", encoding="utf-8-sig")
    assert read_att(path).states == ("0", "1")
