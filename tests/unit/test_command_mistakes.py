"""What the command says where AWS, or the emulator, is not there."""

from __future__ import annotations

import pytest
from botocore.exceptions import BotoCoreError, EndpointConnectionError, NoCredentialsError

from trivium.cli import guarded


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (
            EndpointConnectionError(endpoint_url="http://127.0.0.1:9/"),
            'Could not connect to the endpoint URL: "http://127.0.0.1:9/"',
        ),
        (NoCredentialsError(), "Unable to locate credentials"),
    ],
)
def test_an_aws_that_does_not_answer_is_told_in_a_sentence(
    error: BotoCoreError, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def command() -> None:
        raise error

    assert guarded(command) == 2
    talked = " ".join(capsys.readouterr().err.split())
    assert talked == (
        f"AWS cannot be reached: {said}. Start the local stack with `trivium up`, or look at your "
        "AWS configuration."
    )
