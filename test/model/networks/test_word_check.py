"""What a tokenizer makes of instructions that it cannot tell apart is told once."""

import pytest

from trajforecast_model.networks.text_encoder import BertTextEncoder, TextEncoderConfig
from trajforecast_model.networks.word_check import WordCheck, load_tokenizer


@pytest.fixture(scope="module")
def tokenizer():
    return load_tokenizer("minilm")


@pytest.mark.parametrize(
    "instructions, says",
    [
        (["打开抽屉"], "knows no word of '打开抽屉'"),
        (["\u200b"], "knows no word"),
        (["put 抽屉 down"], "does not know all words of 'put 抽屉 down'"),
        (["打开抽屉", "推倒瓶罐"], "cannot tell apart '打开抽屉' and '推倒瓶罐'"),
        (["go " * 23], None),
        (["go " * 24], "reads 25 tokens, and not the end of 'go go"),
        (["go " * 23 + "left", "go " * 23 + "right"], "cannot tell apart"),
        (["push it", "Push  it "], None),
        (["open it", "close it"], None),
        (["Schließe die Tür", "Öffne die Tür"], None),
    ],
)
def test_instructions_that_are_not_understood(tokenizer, instructions, says):
    check = WordCheck(tokenizer, "minilm", 25)
    lines = check.doubts(instructions)
    assert not lines if says is None else any(says in line for line in lines), lines
    assert check.doubts(instructions) == [], "said once"


def test_a_new_instruction_is_compared_with_earlier_ones(tokenizer):
    check = WordCheck(tokenizer, "minilm", 25)
    check.doubts(["打开抽屉"])
    assert any("cannot tell apart '打开抽屉' and '推倒瓶罐'" in line for line in check.doubts(["推倒瓶罐"]))


def test_the_text_encoder_warns_whoever_asks_it(capsys):
    encoder = BertTextEncoder(TextEncoderConfig(source="minilm", pooling="mean", dim=384))
    encoder(["打开抽屉"])
    encoder(["打开抽屉", "push it"])
    assert capsys.readouterr().err.count("knows no word of '打开抽屉'") == 1
    heard = []
    encoder.warn = heard.append
    encoder.check(["推倒瓶罐"])
    assert any("cannot tell apart" in line for line in heard) and not capsys.readouterr().err
