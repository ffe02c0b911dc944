"""CSV and TSV: quoting, headers, broken rows, and what counts as a character."""

from __future__ import annotations

import gzip

import pytest

from acclimate.errors import DataError
from tests.corpus.conftest import Build, Read, Write


def test_rows_are_records(read: Read) -> None:
    one, two = read("a.csv", 'id,text,stars\r\nx,"one, ""two""\r\nthree",5\r\n,four,\r\n')
    # The line end within quotes is the text's: its CR goes to the ledger, as anywhere.
    assert (one.text, one.anchor, one.metadata) == ('one, "two"\nthree', "x", {"id": "x", "stars": "5"})
    assert (one.characters, one.removed) == (len('one, "two"\r\nthree'), {"carriage_return": 1})
    assert (two.text, two.anchor, two.metadata) == ("four", "L4", {"id": "", "stars": ""})


def test_tabs(read: Read) -> None:
    (piece,) = read("a.tsv", 'text\tn\n"a\tb", c\t1\n'.replace('", c', '"'))
    assert (piece.text, piece.metadata) == ("a\tb", {"n": "1"})
    assert [piece.text for piece in read("a.txt", "content\tn\na,b\t1\n", format="tsv")] == ["a,b"]


def test_another_field_and_a_title(read: Read) -> None:
    (piece,) = read("a.csv", "body, title \nwords,Head\n", text_field="body", title="prefix")
    assert piece.text == "Head\nwords"
    assert (piece.characters, piece.added) == (9, 1)


def test_byte_order_mark_blank_lines_and_no_last_line_end(read: Read) -> None:
    pieces = read("a.csv", "\ufefftext,n\n\na,1\n  \nb,2")
    assert [(piece.text, piece.anchor) for piece in pieces] == [("a", "L3"), ("b", "L5")]


def test_a_quote_within_a_field_is_a_quote(read: Read) -> None:
    assert [piece.text for piece in read("a.csv", 'text\n5" wide\n')] == ['5" wide']


def test_long_fields(read: Read) -> None:
    (piece,) = read("a.csv", f"text\n{'x' * 300_000}\n")
    assert len(piece.text) == 300_000


def test_broken_rows_are_passed_over_with_their_text(read: Read) -> None:
    pieces = read("a.csv", 'text,n\nok,1\n"a"b,2\na,b,c\nfine,3\n"open,4\nnever closed\n')
    assert [(piece.text, piece.dropped, piece.anchor) for piece in pieces] == [
        ("ok", None, "L2"),
        ('"a"b,2\n', "broken_csv", "L3"),
        ("a,b,c\n", "broken_csv", "L4"),
        ("fine", None, "L5"),
        ('"open,4\nnever closed\n', "broken_csv", "L6"),
    ]
    assert pieces[2].detail == "line 4: 3 fields, the header has 2"
    assert pieces[4].detail.startswith("line 6: ")


def test_a_row_in_another_encoding_is_passed_over(read: Read) -> None:
    pieces = read("a.csv", b"text,n\ncaf\xe9,1\nok,2\n")
    assert [(piece.text, piece.dropped) for piece in pieces] == [("", "undecodable_line"), ("ok", None)]
    assert [piece.text for piece in read("a.csv", b"text\ncaf\xe9\n", encoding="cp1252")] == ["café"]


@pytest.mark.parametrize(
    ("content", "settings", "message"),
    [
        ("body,n\na,1\n", {}, r"a.csv: no record has a text in .*there are `body`, `n`\. Name .* text_field"),
        ("text;n\na;1\n", {}, r"there are `text;n`\."),
        ("text,n\n", {"text_field": "body"}, r"in `body`; the fields there are `text`, `n`"),
        ("", {}, "a.csv is empty; its first line must name the fields"),
        ("text,n,n\n", {}, "names `n` twice"),
        ('"text,n\na,1\n', {}, "the header in line 1 cannot be read: unexpected end of data"),
    ],
)
def test_headers_that_name_no_text(read: Read, content: str, settings: dict[str, str], message: str) -> None:
    with pytest.raises(DataError, match=message):
        read("a.csv", content, **settings)
    # One that was merely found in a folder is counted.
    (piece,) = read("a.csv", content, named=False, **settings)
    assert (piece.dropped, piece.documents) == ("no_text", 1)


def test_a_corpus_of_csv(build: Build, write: Write) -> None:
    write("a.csv", "text,n\none,1\none,2\n,3\nx,y,z\n")
    folder = write("b.csv.gz", gzip.compress("text\n二\n".encode())).parent
    corpus = build(folder)
    assert {(document.id, document.text) for document in corpus.all_documents()} == {
        ("a.csv#L2", "one"),
        ("b.csv.gz#L2", "二"),
    }
    # Only the values of the text field count: one, one, nothing and 二, and the broken row as it stands.
    assert corpus.ledger.as_dict()["characters"] == {"in": 3 + 3 + 0 + 6 + 1, "added": 0, "kept": 4, "dropped": 9}
    assert {name: dropped.documents for name, dropped in corpus.ledger.reasons.items()} == {
        "broken_csv": 1,
        "empty": 1,
        "exact_duplicate": 1,
    }
    with pytest.raises(DataError, match="line 5: 3 fields"):
        build(folder, strict=True, output="strict")
