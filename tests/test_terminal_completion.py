"""What the terminal offers to complete: the right names in the right place, never an error."""

import pytest
from conftest import CATEGORIES
from hypothesis import given, settings
from hypothesis import strategies as st
from prompt_toolkit.completion import CompleteEvent
from prompt_toolkit.document import Document

import duckprop
from duckprop.cli.terminal.completer import DeskCompleter
from duckprop.cli.terminal.completion import candidates
from duckprop.cli.terminal.context import place_of
from duckprop.cli.terminal.desk import Desk
from duckprop.cli.terminal.lexing import is_complete, tokens
from duckprop.registry import Registry

TABLES = """
    CREATE TABLE customers (id INTEGER, features INTEGER[], "home town" VARCHAR);
    CREATE VIEW adults AS SELECT id AS adult_id FROM customers;
    CREATE SCHEMA archive;
    CREATE TABLE archive.visits (visited DATE, id INTEGER);
"""


@pytest.fixture
def desk(con):
    con.execute(TABLES)
    desk = Desk(con)
    yield desk
    desk.choices.close()


def offered(desk, marked):
    """Return the texts offered at the bar in a text, in their order."""
    at = marked.index("|")
    return [one.text for one in candidates(marked.replace("|", "", 1), at, desk.names, desk.choices)]


@pytest.mark.parametrize(
    ("text", "is_ready"),
    [
        ("SELECT 1;", True),
        ("SELECT 1", False),
        ("SELECT ';", False),
        ("SELECT ';';", True),
        ("SELECT 'it''s;", False),
        ('SELECT ";', False),
        ("SELECT $$;", False),
        ("SELECT $a$;$b$;", False),
        ("SELECT $$;$$;", True),
        ("SELECT E'\\';", False),
        ("SELECT 1 -- ;", False),
        ("SELECT 1; -- done", True),
        ("SELECT 1; /* ", False),
        ("SELECT 1; SELECT 2", False),
        ("", True),
    ],
)
def test_enter_runs_a_statement_only_when_it_is_whole(text, is_ready):
    assert is_complete(text) == is_ready


def test_tokens_say_where_they_are_and_what_is_left_open():
    text = "SELECT \"a b\", 'it''s' -- x"
    found = list(tokens(text))
    assert [token.name for token in found] == ["SELECT", "a b", ",", "it's", "-- x"]
    assert all(text[token.start : token.end] == token.text for token in found)
    assert [token.is_open for token in found] == [False, False, False, False, True]


@pytest.mark.parametrize(
    "marked",
    [
        "SELECT propensity(features, '|",
        "SELECT propensity(features, '|') FROM customers",
        "SELECT features.propensity('|') FROM customers",
        "SELECT duckprop.propensity(features, '|')",
        "SELECT propensities(features, ['shoes', '|",
        "SELECT propensity_topk(features, 3, categories := ['|",
        "SELECT propensity_topk(features, 3, exclude := ['toys', '|'], model := 'shop@1')",
        "SELECT propensity_explain(features, '|', 3)",
        "SELECT count(*) FROM t WHERE category = '|",
        "SELECT 1; SELECT round(propensity(list_append(features, 3), '|",
    ],
)
def test_categories_where_a_category_belongs(desk, marked):
    found = [text.strip("'") for text in offered(desk, marked)]
    assert found == list(CATEGORIES)


@pytest.mark.parametrize(
    "marked",
    [
        "SELECT propensity('|",
        "SELECT upper('|",
        "SELECT propensity_topk(features, '|",
        "SELECT propensity_topk(features, 3, exclude := ['a'], min_propensity := '|",
        "SELECT ('|",
    ],
)
def test_no_categories_elsewhere(desk, marked):
    assert offered(desk, marked) == []


def test_a_category_is_found_by_any_part_and_quoted_as_sql(con, desk, write_bundle):
    Registry().publish(write_bundle(categories=("dog's food", "FROZEN PIZZA", "pizza sauce")), "odd")
    con.execute("SET VARIABLE propensity_model = 'odd'")
    desk.refresh()
    assert offered(desk, "SELECT propensity([1], 'pizz|") == ["'pizza sauce'", "'FROZEN PIZZA'"]
    assert offered(desk, "SELECT propensity([1], 'dog''|") == ["'dog''s food'"]
    assert offered(desk, "SELECT propensity([1], 'frozen p|')") == ["'FROZEN PIZZA"]
    assert offered(desk, "SELECT propensity([1], '|', model := 'shop')")[0] == "'books"


def test_thousands_of_categories_are_searched_and_a_page_of_them_is_offered(con, desk, write_bundle):
    Registry().publish(write_bundle(categories=tuple(f"c{number}" for number in range(5000))), "wide")
    con.execute("SET VARIABLE propensity_model = 'wide'")
    desk.refresh()
    assert offered(desk, "SELECT propensity([1], 'c4999|") == ["'c4999'"]
    assert 100 < len(offered(desk, "SELECT propensity([1], '|")) < 1000


@pytest.mark.parametrize(
    "marked",
    ["SELECT propensity([1], 'x', model := '|", "SELECT propensity([1], 'x', '|", "SET VARIABLE propensity_model = '|"],
)
def test_models_where_a_model_belongs(desk, marked):
    Registry().promote("shop", "champion", 1)
    desk.refresh()
    assert offered(desk, marked) == ["'shop@champion'", "'shop@1'", "'shop'"]


@pytest.mark.parametrize(
    ("marked", "first"),
    [
        ("SELECT ho| FROM customers", '"home town"'),
        ("SELECT c.i| FROM customers AS c", "id"),
        ("SELECT a.| FROM customers c JOIN adults a ON true", "adult_id"),
        ("SELECT vis| FROM archive.visits", "visited"),
        ("FROM archive.|", "visits"),
        ("FROM cus|", "customers"),
        ("SELECT 1 FROM customers JOIN adu|", "adults"),
        ("SELECT propens|", "propensity("),
        ("SEL|", "SELECT"),
        ("sel|", "select"),
        ("SELECT propensity_topk(features, 3, ex| FROM customers", "exclude := "),
        ("SELECT propensity_topk(features, 3, exclude := ['a'], mod|", "model := "),
        ("FROM propensity_categories(m|", "model := "),
        ("SET memory_l|", "memory_limit"),
        ("SELECT adult|", "adults"),
    ],
)
def test_the_likeliest_name_comes_first(desk, marked, first):
    assert offered(desk, marked)[0] == first


def test_an_argument_is_offered_once_and_only_to_functions_that_take_names(desk):
    given = offered(desk, "SELECT propensity_topk(features, 3, exclude := [], |")
    assert "exclude := " not in given
    assert "categories := " in given
    assert not [text for text in offered(desk, "SELECT round(id, |") if ":=" in text]


def test_functions_come_with_signature_and_comment(desk):
    ours = candidates("SELECT propensity_cove", 22, desk.names, desk.choices)[0]
    assert ours.meta.startswith("propensity_coverage(features, model := NULL): FLOAT in [0, 1]")
    theirs = candidates("SELECT list_contai", 18, desk.names, desk.choices)[0]
    assert "list_contains(list, element)" in theirs.meta
    assert "true if the list contains" in theirs.meta
    assert not [text for text in offered(desk, "SELECT __duck|") if "duckprop" in text]


def test_names_follow_what_statements_change(desk):
    desk.run("CREATE TEMP TABLE fresh (new_column INTEGER); CREATE MACRO twice(x) AS 2 * x")
    desk.refresh()
    assert offered(desk, "FROM fre|")[0] == "fresh"
    assert offered(desk, "SELECT new_c| FROM fresh") == ["new_column"]
    assert "twice(" in offered(desk, "SELECT twic|")
    desk.run("CREATE SCHEMA other; USE other")
    desk.refresh()
    elsewhere = offered(desk, "FROM custom|")[0]
    assert elsewhere != "customers"
    assert desk.con.execute(f"FROM {elsewhere}").fetchall() == []
    desk.run("DROP TABLE fresh")
    desk.refresh()
    assert "fresh" not in offered(desk, "FROM fre|")


def test_comments_and_finished_words_are_left_alone(desk):
    assert offered(desk, "SELECT 1 -- sel|") == []
    assert offered(desk, "SELECT 1 /* sel| */") == []
    assert place_of("SELECT 1", 3).in_string is False


def test_relations_and_columns_in_the_texts_of_table_macros(desk):
    assert offered(desk, "FROM propensity_scores('cus|") == ["'customers'"]
    assert offered(desk, "FROM propensity_scores('customers', id := 'home|") == ["'home town'"]


PIECES = ["SELECT ", "FROM ", "propensity(", "customers", ":=", "--", "/*", "$$", "\n", *"'\"()[],.;"]


@pytest.fixture(scope="module")
def shared(small_bundle):
    with duckprop.connect(model=str(small_bundle)) as con:
        con.execute(TABLES)
        desk = Desk(con)
        yield desk
        desk.choices.close()


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from(PIECES) | st.text(max_size=3), max_size=12), st.floats(0, 1))
def test_nothing_that_can_be_typed_is_an_error(shared, pieces, share):
    text = "".join(pieces)
    candidates(text, int(share * len(text)), shared.names, shared.choices)
    is_complete(text)


def completions(desk, text, is_asked_for=False):
    event = CompleteEvent(completion_requested=is_asked_for)
    return [one.text for one in DeskCompleter(desk).get_completions(Document(text), event)]


def test_the_menu_waits_for_a_letter_unless_tab_asks(desk):
    assert completions(desk, "SELECT ") == []
    assert "propensity(" in completions(desk, "SELECT ", is_asked_for=True)
    assert completions(desk, "SELECT propensity(features, '")[0] == "'books'"


def test_a_parenthesis_that_is_there_is_not_written_twice(desk):
    document = Document("SELECT propensity_cov(features)", 21)
    found = DeskCompleter(desk).get_completions(document, CompleteEvent())
    assert [one.text for one in found] == ["propensity_coverage"]


def test_commands_complete_their_names_and_arguments(desk, tmp_path, monkeypatch):
    assert completions(desk, "\\f") == ["\\format"]
    assert completions(desk, "\\format m") == ["markdown"]
    assert completions(desk, "\\d cus") == ["customers"]
    assert "propensity_topk" in completions(desk, "\\h propensity_top")
    assert "shop@1" in completions(desk, "\\dc sh")
    (tmp_path / "query.sql").touch()
    monkeypatch.chdir(tmp_path)
    assert completions(desk, "\\i que") == ["ry.sql"]


def test_a_broken_registry_offers_nothing_and_says_nothing(desk, home, capfd):
    for card in home.rglob("duckprop.json"):
        card.write_text("{")
    desk.refresh()
    assert completions(desk, "SELECT propensity(features, '") == []
    assert desk.choices.categories() == []
    assert capfd.readouterr() == ("", "")
