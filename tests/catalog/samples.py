"""Chat templates in the manners of the families that xinfer knows, each as short as the manner allows."""

HERMES_TOOLS = (
    "{%- if tools %}{%- for tool in tools %}{{ tool | tojson }}{%- endfor %}"
    r"""{{- '<tool_call>\n{\"name\": <name>, \"arguments\": <object>}\n</tool_call>' }}{%- endif %}"""
)
XML_TOOLS = (
    "{%- if tools %}<tool_call><function=name><parameter=key>value</parameter></function></tool_call>{%- endif %}"
)
GLM_TOOLS = "{%- if tools %}<tool_call>name<arg_key>key</arg_key><arg_value>value</arg_value></tool_call>{%- endif %}"
TURNS = (
    "{%- for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}<|im_start|>assistant\n"
)

PLAIN = TURNS
QWEN3 = (
    HERMES_TOOLS + TURNS + "{%- if enable_thinking is defined and enable_thinking is false %}<think>\n\n</think>\n\n"
    "{% endif %}"
)
DEEPSEEK_V31 = (
    "{% if not thinking is defined %}{% set thinking = false %}{% endif %}"
    + TURNS
    + "{% if thinking %}<think>{% else %}</think>{% endif %}"
)
KIMI_K25 = TURNS + "{% if thinking is defined and thinking is false %}<think></think>{% else %}<think>{% endif %}"
BAICHUAN_M2 = (
    TURNS + "{%- if thinking_mode is defined %}{%- if thinking_mode == 'on' %}<think>\n"
    "{% elif thinking_mode == 'off' %}<think>\n\n{% endif %}{% endif %}"
)
MINIMAX_M3 = (
    TURNS + "{%- if thinking_mode == 'enabled' %}<mm:think>{% elif thinking_mode == 'disabled' %}</mm:think>{% endif %}"
)
SEED_OSS = (
    "{%- if not thinking_budget is defined %}{%- set thinking_budget = -1 %}{%- endif %}"
    "{%- if thinking_budget == 0 %}Answer at once.{%- endif %}" + TURNS + "{# <seed:think> #}"
)
GEMMA_4 = "{%- if enable_thinking is defined and enable_thinking %}<|think|>{%- endif %}" + TURNS
DEEPSEEK_R1 = TURNS + "<think>\n"
REFUSES_OFF = (
    "{%- if enable_thinking is defined and not enable_thinking %}{{ raise_exception('no') }}{%- endif %}" + DEEPSEEK_R1
)

OF_FAMILY = {
    "Baichuan-M2": BAICHUAN_M2,
    "Deepseek-V3.1": DEEPSEEK_V31,
    "DeepSeek-V3.2": DEEPSEEK_V31,
    "Kimi-K2.5": KIMI_K25,
    "MiniMax-M3": MINIMAX_M3,
    "gemma-4": GEMMA_4,
    "seed-oss": SEED_OSS,
}
"""The manner of each family with a switch; those left out are told in the manner of Qwen3."""
