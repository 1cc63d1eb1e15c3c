"""Which JSON texts does a parser not give back as it got them? Those that a body must survive.

Python's `json`, to name one, makes 1.1 of 1.10, keeps one of two equal keys, and an infinity of 1e400.
"""

from hypothesis import strategies as st

HARD = [
    "1.10",
    "-0",
    "-0.0E+0",
    "1e400",
    "1" * 30,
    "9" * 4000,
    '{"a":1,"a":2}',
    '{ "b" : [ 1 ,\n\t2 ] , "a":{ } }',
    r'"\u00e9\u0000\/\ud83d\ude00"',
    '"é🜚\u2028\x7f"',
    r'"a \"quote\", a\nline and a \\"',
    '" 1.10"',
    "[" * 256 + "]" * 256,
    "null",
    "true",
]
"""Each is one JSON value, and one that the service takes."""

_SPACES = st.text(" \t\r\n", max_size=2)
_NUMBERS = st.from_regex(r"-?(0|[1-9][0-9]{0,40})(\.[0-9]{1,30})?([eE][+-]?[0-9]{1,4})?", fullmatch=True, alphabet=None)
_PIECES = st.one_of(
    st.sampled_from([r"\"", r"\\", r"\/", r"\n", r"\t", r"\u00e9", r"\u00E9", r"\u0000", r"\ud83d\ude00", "\x7f"]),
    st.characters(min_codepoint=0x20, exclude_categories=["Cs"], exclude_characters='"\\'),
)
_STRINGS = st.lists(_PIECES, max_size=8).map(lambda pieces: f'"{"".join(pieces)}"')


def _within(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    padded = st.tuples(_SPACES, inner, _SPACES).map("".join)
    # Few different keys, so that some are doubled.
    members = st.tuples(_SPACES, st.sampled_from(['"a"', r'"\u0061"', '""']), _SPACES, padded)
    return st.one_of(
        st.lists(padded, max_size=4).map(lambda items: f"[{','.join(items)}]"),
        st.lists(members, max_size=4).map(
            lambda items: "{" + ",".join(f"{before}{key}{after}:{value}" for before, key, after, value in items) + "}"
        ),
    )


TEXTS = st.recursive(st.one_of(st.sampled_from(["null", "true", "false"]), _NUMBERS, _STRINGS), _within, max_leaves=10)
"""Any JSON value in any spelling, without spaces around it."""
