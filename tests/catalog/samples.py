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
    "{%- if thinking_budget == 0 %}Answer at once.{%- elif thinking_budget != -1 %}Think for {{ thinking_budget }}."
    "{%- endif %}" + TURNS + "{# <seed:think> #}"
)
GEMMA_4 = "{%- if enable_thinking is defined and enable_thinking %}<|think|>{%- endif %}" + TURNS
DEEPSEEK_R1 = TURNS + "<think>\n"
REFUSES_OFF = (
    "{%- if enable_thinking is defined and not enable_thinking %}{{ raise_exception('no') }}{%- endif %}" + DEEPSEEK_R1
)
QWEN36 = "{%- if preserve_thinking is defined and preserve_thinking %}{# keeps thoughts #}{%- endif %}" + QWEN3
EFFORT_38 = (
    "{%- set effort = reasoning_effort | default('xhigh') %}"
    "{%- if effort not in ('xhigh', 'medium', 'low') %}{{ raise_exception('no') }}{%- endif %}"
    "{%- if effort != 'medium' %}Effort: {{ effort }}.{%- endif %}"
)
QWEN38 = EFFORT_38 + QWEN36
QWEN38_MAX = "{%- if preserve_thinking is defined %}{# keeps thoughts #}{%- endif %}" + EFFORT_38 + REFUSES_OFF
GLM_47 = (
    GLM_TOOLS
    + "{%- if clear_thinking is defined and not clear_thinking %}{# keeps thoughts #}{%- endif %}"
    + TURNS
    + "{{- '<think></think>' if (enable_thinking is defined and not enable_thinking) else '<think>' -}}"
)
GLM_52 = (
    "{%- set effort = 'high' if reasoning_effort is defined and reasoning_effort == 'high' else 'max' -%}"
    "{%- if enable_thinking is not defined or enable_thinking -%}Reasoning Effort: {{ effort }}{%- endif -%}" + GLM_47
)
GLM_53 = (
    "{%- set effort = reasoning_effort if reasoning_effort is defined and reasoning_effort in ['low', 'high'] else 'max' -%}"
    "{%- if clear_thinking is defined and not clear_thinking %}{# keeps thoughts #}{%- endif -%}"
    "Reasoning Effort: {{ effort }}" + TURNS + "<think>"
)
GPT_OSS = "Reasoning: {{ reasoning_effort if reasoning_effort is defined else 'medium' }}\n" + TURNS
LING = (
    "{%- if enable_thinking is defined %}{%- set thinking_option = 'on' if enable_thinking else 'off' %}"
    "{%- elif thinking_option is not defined %}{%- set thinking_option = 'on' %}{%- endif %}"
    "detailed thinking {{ thinking_option }}"
    + TURNS
    + "{{ '<think>' if thinking_option == 'on' else '<think></think>' }}"
)
MINICPM5 = (
    TURNS + "{%- if enable_thinking is defined %}{%- if enable_thinking is false %}<think>\n\n</think>\n\n"
    "{% elif enable_thinking is true %}<think>\n{% endif %}{% endif %}"
)
DEEPSEEK_V4 = (
    "{%- set on = (enable_thinking or thinking) if enable_thinking is defined or thinking is defined else true %}"
    "{%- if on and reasoning_effort | default('high') != 'high' %}Effort: {{ reasoning_effort }}.{%- endif %}"
    "{%- if drop_thinking | default(true) %}{# drops thoughts #}{%- endif %}"
    + TURNS
    + "{{ '<think>' if on else '</think>' }}"
)
KIMI_K3 = (
    "{%- if thinking_effort is defined %}Effort: {{ thinking_effort }}.{%- endif %}"
    + TURNS
    + "{% if thinking is not defined or thinking %}<|open|>think<|sep|>{% endif %}"
)

GLM_WITH_A_SWITCH = ("GLM-4.7", "GLM-4.7-Flash", "glm-5", "glm-5.1")
DEEPSEEKS_V4 = (
    *("DeepSeek-V4-Flash", "DeepSeek-V4-Flash-0731", "DeepSeek-V4-Pro"),
    *("DeepSeek-V4.1-Flash", "DeepSeek-V4.1-Flash-1017"),
)
OF_FAMILY = {
    **dict.fromkeys(("Deepseek-V3.1", "DeepSeek-V3.2", "DeepSeek-V3.2-Exp"), DEEPSEEK_V31),
    **dict.fromkeys(DEEPSEEKS_V4, DEEPSEEK_V4),
    **dict.fromkeys(GLM_WITH_A_SWITCH, GLM_47),
    **dict.fromkeys(("qwen3.8", "qwen3.8-Flash-Next"), QWEN38),
    **dict.fromkeys(("minicpm5-1b", "minicpm5-2b"), MINICPM5),
    **dict.fromkeys(("Ling-3.0-flash", "Ling-3.0-tiny"), LING),
    "Baichuan-M2": BAICHUAN_M2,
    "gemma-4": GEMMA_4,
    "glm-5.2": GLM_52,
    "glm-5.3": GLM_53,
    "gpt-oss": GPT_OSS,
    "Kimi-K2.5": KIMI_K25,
    "Kimi-K3": KIMI_K3,
    "MiniMax-M3": MINIMAX_M3,
    "qwen3.6": QWEN36,
    "qwen3.8-max": QWEN38_MAX,
    "seed-oss": SEED_OSS,
}
"""The manner of each family with a switch or another word about thinking; those left out are told in the manner of Qwen3."""
