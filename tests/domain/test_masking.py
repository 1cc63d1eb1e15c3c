"""Is a password never shown, whatever stands around it, and is any other text shown as it is?"""

import pytest

from muster.domain.masking import mask_address


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("postgresql://me:s3/c@r:et@db:1/x?a=1", "postgresql://me:***@db:1/x?a=1"),
        ("postgresql://me@corp:s3 cr'et@db/x", "postgresql://me@corp:***@db/x"),
        ("me:s3 cr'e\"t@broker", "me:***@broker"),
        ('[{"url":"me:s3cret@idp"},{"url":"b"}]', '[{"url":"me:***@idp"},{"url":"b"}]'),
        ('{"a":"x","b":"me:s3:cret@a@b c"} me:s3cret@d', '{"a":"x","b":"me:***@b c"} me:***@d'),
        ("https://x/cb?access_token=s3cret&a=1", "https://x/cb?access_token=***&a=1"),
        ("https://x/cb?a=1&client_secret=s3cret#b", "https://x/cb?a=1&client_secret=***"),
        ("https://x/cb#access_token=s3cret", "https://x/cb#access_token=***"),
        ("https://x?api_key=s3cret&API-KEY=s3cret&apikey=s3cret", "https://x?api_key=***&API-KEY=***&apikey=***"),
        ("host=db password='s3 cret' user=me", "host=db password=*** user=me"),
        ("password='it\\'s s3cret' user=me", "password=*** user=me"),
        ("password = 's3 cret", "password = ***"),
        ("password=s3\\ cret user=me", "password=*** user=me"),
        ('passphrase="s3 cret" user=me', "passphrase=*** user=me"),
        ("postgresql://db/x?sslpassword=s3'cr et'", "postgresql://db/x?sslpassword=*** et'"),
        ("password=s3cret\\", "password=***"),
    ],
)
def test_passwords_are_masked(text: str, shown: str) -> None:
    assert mask_address(text) == shown


@pytest.mark.parametrize(
    "text",
    [
        "",
        "sqlite:///x.db",
        "postgresql://me@db:5432/x?sslmode=require",
        "postgresql://a:1,b:2/x?target_session_attrs=any",
        "https://muster.example.org/?token_ttl=1&max-tokens=2&secretary=3",
        '{"scope":"a b","keys":["x"]}',
        "somebody@example.org",
    ],
)
def test_what_holds_no_password_is_as_it_was(text: str) -> None:
    assert mask_address(text) == text


@pytest.mark.parametrize(
    "piece",
    [
        "a",
        "a:",
        ":",
        "://",
        "://a:",
        "@",
        ":@",
        "a:b@",
        " a:b@",
        "'",
        "password=",
        "token",
        "token ",
        "token='",
        "\\",
        "a-",
    ],
)
@pytest.mark.parametrize("around", ["{}", "{}@", "@{}", "://{}", "x?password='{}", "x?password={}"])
def test_a_long_text_takes_no_longer_than_its_length(piece: str, around: str) -> None:
    text = around.format(piece * (200_000 // len(piece)))

    mask_address(text)
