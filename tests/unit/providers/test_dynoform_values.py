"""Property values between the wire and plain Python."""

from hypothesis import given
from hypothesis import strategies as st

from providers.dynoform.values import SECRET, SIGNATURE, UNKNOWN, contains_unknown, from_wire, to_wire

plain = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text("abcxyz", min_size=1, max_size=5), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(st.dictionaries(st.text("abcxyz", min_size=1, max_size=5), plain, max_size=5))
def test_values_come_back_as_they_went(values: dict[str, object]) -> None:
    assert from_wire(to_wire(values)).values == values


def test_secrets_are_marked_on_the_wire_and_noted_when_they_come_back() -> None:
    wire = to_wire({"token": "s3cret", "name": "web"}, {"token"})
    assert wire["token"][SIGNATURE] == SECRET
    assert wire["name"] == "web"
    back = from_wire(wire)
    assert back.values == {"token": "s3cret", "name": "web"}
    assert back.secret == {"token"}


def test_a_secret_deep_inside_makes_the_property_secret() -> None:
    wire = to_wire({"api": {}})
    wire["api"]["token"] = {SIGNATURE: SECRET, "value": "s3cret"}
    back = from_wire(wire)
    assert back.values == {"api": {"token": "s3cret"}}
    assert back.secret == {"api"}


def test_unknown_values_are_found_wherever_they_are() -> None:
    back = from_wire(to_wire({"a": UNKNOWN, "b": [1, {"c": UNKNOWN}], "d": "known"})).values
    assert back["a"] is UNKNOWN
    assert contains_unknown(back["b"])
    assert not contains_unknown(back["d"])
