"""From examples to token ids, with a flag for each token that is learned."""

import re
from dataclasses import dataclass

from transformers import PreTrainedTokenizerFast

from tiny_chat.dialogue import Dialogue, Example, Text

_REPLY = re.compile(r"(?<=<\|im_start\|>assistant\n)(<think>\n\n</think>\n\n)?(.*?<\|im_end\|>)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Tokens:
    """Token ids and, for each, whether predicting it counts."""

    ids: list[int]
    learned: list[bool]


class Renderer:
    """Turns examples into tokens exactly as the model will meet them when it is served."""

    def __init__(self, tokenizer: PreTrainedTokenizerFast) -> None:
        self._tokenizer = tokenizer

    def render(self, example: Example) -> Tokens:
        """The tokens of a text, all learned, or of a dialogue, of which the replies are learned."""
        if isinstance(example, Text):
            ids = self._encode(example.text + "<|endoftext|>")
            return Tokens(ids, [False] + [True] * (len(ids) - 1))
        return self._dialogue(example)

    def text(self, dialogue: Dialogue) -> str:
        """The dialogue as the chat template writes it."""
        messages, tools = list(dialogue.messages), list(dialogue.tools) or None
        return str(self._tokenizer.apply_chat_template(messages, tools=tools, tokenize=False))

    def _dialogue(self, dialogue: Dialogue) -> Tokens:
        text, ids, learned, position = self.text(dialogue), list[int](), list[bool](), 0
        replies = list(_REPLY.finditer(text))
        for reply in replies:
            start, end = reply.span(2)
            prompt, answer = self._encode(text[position:start]), self._encode(text[start:end])
            ids += prompt + answer
            learned += [False] * len(prompt) + [True] * len(answer)
            if reply is not replies[-1] and not reply.group(2).startswith("<think>"):
                # Earlier replies stand without their thought; learning their first token would teach not to think.
                learned[-len(answer)] = False
            position = end
        return Tokens(ids, learned)

    def _encode(self, text: str) -> list[int]:
        return list(self._tokenizer.encode(text, add_special_tokens=False))
