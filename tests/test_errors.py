"""The closest name, and the two lines of every error."""

from duckprop.errors import DataError, did_you_mean


def test_the_wrong_case_and_a_slip_find_the_name():
    known = ("CHEESE", "COFFEE", "Sümpfe")
    assert did_you_mean("Cheese", known) == " (did you mean 'CHEESE'?)"
    assert did_you_mean("cofee", known) == " (did you mean 'COFFEE'?)"
    assert did_you_mean("SÜMPFE", known) == " (did you mean 'Sümpfe'?)"
    assert did_you_mean("bicycle", known) == did_you_mean("x", ()) == ""


def test_an_error_is_its_fact_and_its_remedy():
    error = DataError("this is so", "do that")
    assert (str(error), error.fact, error.remedy, error.exit_code) == (
        "this is so\ndo that",
        "this is so",
        "do that",
        3,
    )
