"""The verdict in words, English and Chinese: each sentence has its figure and interval in it.

It reads the plain data of `evaluation.json`, so that the command line, the report and the model card say the same. The
tables below are all that is said. A text is a tuple of segments: one whose figures were not measured is left out; one
that begins with `!name|` is there only where `name` was not measured.
"""

from __future__ import annotations

import string
from collections.abc import Mapping, Sequence
from typing import Any, Literal

Lang = Literal["en", "zh"]
Segments = tuple[str, ...]

LANGUAGES: tuple[Lang, ...] = ("en", "zh")

OUTCOMES: dict[str, dict[Lang, dict[str, str]]] = {
    "domain": {
        "en": {"helped": "Helped", "harmed": "Harmed", "no_difference": "Did not help", "no_claim": "No claim"},
        "zh": {"helped": "有帮助", "harmed": "变差了", "no_difference": "没有帮助", "no_claim": "不作结论"},
    },
    "general": {
        "en": {
            "helped": "Nothing forgotten",
            "harmed": "Forgotten",
            "no_difference": "No forgetting measured",
            "no_claim": "No claim",
        },
        "zh": {"helped": "没有遗忘", "harmed": "有遗忘", "no_difference": "未测出遗忘", "no_claim": "不作结论"},
    },
}

_TEXTS: dict[Lang, dict[str, str]] = {
    "en": {"domain": "on held-out documents", "general": "on general text"},
    "zh": {"domain": "在留出的文档上", "general": "在通用文本上"},
}
_VERBS: dict[Lang, dict[str, str]] = {
    "en": {"down": "fell from {before} to {after}", "up": "rose from {before} to {after}", "same": "stayed at {after}"},
    "zh": {"down": "从 {before} 降到 {after}", "up": "从 {before} 升到 {after}", "same": "仍为 {after}"},
}
_MEASURES: dict[Lang, dict[str, str]] = {
    "en": {
        "masked": "the loss {moved} nats per masked token",
        "judged": "the loss {moved} nats per judged token",
        "loss": "the loss {moved} nats per target token",
        "bits_per_byte": "bits per byte {moved}",
    },
    "zh": {
        "masked": "每个掩码 token 的损失{moved} nats",
        "judged": "每个判别 token 的损失{moved} nats",
        "loss": "每个目标 token 的损失{moved} nats",
        "bits_per_byte": "bits per byte {moved}",
    },
}
_SENTENCES: dict[Lang, dict[str, str]] = {
    "en": {
        "claim": "{outcome}: {where} {what} ({mean}; 95 % interval {low} to {high}).",
        "no_difference": "{outcome}: {where} {what} ({mean}; the 95 % interval {low} to {high} includes 0).",
        "no_claim": "{outcome}: {reasons}. (In figures: {where} {what}; {mean}; 95 % interval {low} to {high}.)",
        "no_figures": "{outcome} {where}: {reasons}.",
    },
    "zh": {
        "claim": "{outcome}：{where}，{what}（{mean}；95% 区间 {low} 到 {high}）。",
        "no_difference": "{outcome}：{where}，{what}（{mean}；95% 区间 {low} 到 {high} 包含 0）。",
        "no_claim": "{outcome}：{reasons}。（数字供参考：{where}，{what}；{mean}；95% 区间 {low} 到 {high}。）",
        "no_figures": "{where}{outcome}：{reasons}。",
    },
}
_JOINS: dict[Lang, str] = {"en": "; ", "zh": "；"}

# Why no claim is made; `judgement.py` gives these names.
REASONS: dict[str, dict[Lang, str]] = {
    "nothing_held_out": {
        "en": "nothing was held out of this text, since it has too few documents, so that there is no honest figure",
        "zh": "这批文本的文档太少，没有留出任何部分，因此得不到可信的数字",
    },
    "from_scratch": {
        "en": "the model started from random weights, so that the difference is all it learned, no gain over a base",
        "zh": "模型从随机权重开始训练，差值是它学到的全部，谈不上比基座模型好多少",
    },
    "head_not_warmed_up": {
        "en": "the model came without a head for this objective, and the new one was not warmed up, so that “before” "
        "is the ignorance of the new head",
        "zh": "模型原本没有这个目标所需的输出头，新加的头又没有预热，“训练前”的数字反映的只是新头的无知",
    },
    "head_still_warming": {
        "en": "the warm-up of the new head ended while its loss was still falling, so that a part of the difference is "
        "the head's",
        "zh": "新输出头的预热结束时损失还在下降，差值里有一部分是输出头自己的进步",
    },
    "tokens_added": {
        "en": "tokens were added to the vocabulary, which the model before had never seen",
        "zh": "词表里加了新 token，训练前的模型从未见过它们",
    },
    "interval_over_rows": {
        "en": "the interval was drawn from rows, which may share documents, so that it is too narrow to claim by",
        "zh": "区间是按行抽样得到的，不同的行可能来自同一篇文档，区间偏窄，不足以下结论",
    },
    "trained_on": {
        "en": "a part of this text was trained on, so that it cannot tell what was forgotten",
        "zh": "这批文本有一部分参与过训练，无法据此判断遗忘了多少",
    },
    "not_a_number": {
        "en": "a loss is no number",
        "zh": "有损失不是有效数字（NaN 或无穷大）",
    },
    "not_comparable": {
        "en": "the two models cannot be compared",
        "zh": "两个模型无法比较",
    },
}

# What to try next, by the names of `advice.CONDITIONS`.
ADVICE: dict[str, dict[Lang, Segments]] = {
    "diverged": {
        "en": (
            "!lowest|A loss became no number",
            "Training diverged: its loss was down to {lowest:.2f} and ended at {last:.2f}",
            ": lower `training.learning_rate`",
            " (its peak was {learning_rate:g})",
            ", or warm up for longer.",
        ),
        "zh": (
            "!lowest|损失变成了无效数字（NaN 或无穷大）",
            "训练发散了：训练损失曾降到 {lowest:.2f}，结束时却是 {last:.2f}",
            "。请调低 `training.learning_rate`",
            "（峰值为 {learning_rate:g}）",
            "，或延长学习率预热。",
        ),
    },
    "overfitting": {
        "en": (
            "Held-out loss got worse while training loss got better: it was lowest at step {best_step:.0f} "
            "({lowest:.2f}) and ended at {last:.2f} (step {last_step:.0f}). Too many epochs for this corpus",
            " ({passes:.1f} passes)",
            ": stop near step {best_step:.0f}, add documents, or set `training.load_best_model_at_end: true`.",
        ),
        "zh": (
            "训练损失在下降，留出文本的损失却在变差：第 {best_step:.0f} 步最低（{lowest:.2f}），"
            "到第 {last_step:.0f} 步为 {last:.2f}。对这份语料来说训练轮数太多",
            "（共 {passes:.1f} 轮）",
            "：请在第 {best_step:.0f} 步附近停止，或增加文档，或设置 `training.load_best_model_at_end: true`。",
        ),
    },
    "memorised": {
        "en": (
            "Training loss ended at {training:.2f}, far below the {held_out:.2f} of held-out documents",
            ", after {passes:.1f} passes over the corpus",
            ": the model learned these documents by heart. Train for fewer epochs or add documents; "
            "`training.eval_strategy: steps` shows when to stop.",
        ),
        "zh": (
            "训练损失最终为 {training:.2f}，远低于留出文档上的 {held_out:.2f}",
            "（语料共过了 {passes:.1f} 遍）",
            "：模型把这些文档背下来了。请减少轮数或增加文档；`training.eval_strategy: steps` 可以看出何时该停。",
        ),
    },
    "domain_harmed": {
        "en": (
            "The model became worse on the very documents it was trained for ({relative:+.1%}): lower "
            "`training.learning_rate`",
            " (its peak was {learning_rate:g})",
            ", and set `training.eval_strategy: steps` to see where it turns.",
        ),
        "zh": (
            "模型在它要适应的文档上反而变差了（{relative:+.1%}）：请调低 `training.learning_rate`",
            "（峰值为 {learning_rate:g}）",
            "，并设置 `training.eval_strategy: steps`，看看从哪一步开始变差。",
        ),
    },
    "still_falling": {
        "en": (
            "Loss was still falling: by {fall:.2f} nats ({relative:.1%}; standard error {error:.2f}) over the last "
            "third of the learning: train longer (`training.max_steps`, `training.num_train_epochs`).",
        ),
        "zh": (
            "损失仍在下降：在最后三分之一的学习量里降了 {fall:.2f} nats（{relative:.1%}；标准误 {error:.2f}）。"
            "可以训练更久（`training.max_steps`、`training.num_train_epochs`）。",
        ),
    },
    "nothing_gained": {
        "en": (
            "Whatever training changed is within {reach:.1%} of the loss: train for longer, or raise "
            "`training.learning_rate`",
            " (its peak was {learning_rate:g})",
            "; if neither helps, the model may know these documents' language already.",
        ),
        "zh": (
            "训练带来的变化不超过损失的 {reach:.1%}：请训练更久，或调高 `training.learning_rate`",
            "（峰值为 {learning_rate:g}）",
            "；如果都没有用，可能模型早已熟悉这类文档的语言。",
        ),
    },
    "general_forgotten": {
        "en": (
            "General loss rose by {relative:.0%}: ",
            "!replay|mix in general text (`replay: 0.1`)",
            "mix in more general text than `replay: {replay:g}`",
            ", lower `training.learning_rate`",
            " (its peak was {learning_rate:g})",
            "!adapter|, or train an adapter only (`adapter: lora`)",
            ".",
        ),
        "zh": (
            "通用文本的损失上升了 {relative:.0%}：",
            "!replay|请混入通用文本（`replay: 0.1`）",
            "请混入更多通用文本（现在 `replay: {replay:g}`）",
            "，或调低 `training.learning_rate`",
            "（峰值为 {learning_rate:g}）",
            "!adapter|，或只训练适配器（`adapter: lora`）",
            "。",
        ),
    },
    "terms_in_pieces": {
        "en": (
            "Your terms break into {pieces:.1f} pieces a word",
            " (words of general text into {general_pieces:.1f})",
            ": extend the vocabulary.",
        ),
        "zh": (
            "你的术语平均每个词被切成 {pieces:.1f} 块",
            "（通用文本每个词 {general_pieces:.1f} 块）",
            "：可以扩充词表。",
        ),
    },
    "interval_wide": {
        "en": (
            "The interval reaches {reach:.1%} of the loss from 0, so that a difference of that size would not be seen: "
            "score more held-out text ({units:.0f} documents now) by `corpus.held_out` and `evaluation.max_tokens`.",
        ),
        "zh": (
            "区间离 0 远达损失的 {reach:.1%}，这么大的差别也看不出来：请用 `corpus.held_out` 和 "
            "`evaluation.max_tokens` 评估更多留出文本（现在是 {units:.0f} 篇文档）。",
        ),
    },
    "few_held_out": {
        "en": (
            "Held-out documents: {units:.0f}",
            "Fewer than 5 documents are held out, so that {rows:.0f} rows were drawn instead",
            "Of {sampled_from:.0f} held-out documents only a few were scored",
            "; an honest interval wants 20 or more: ",
            "!sampled_from|give more documents, or raise `corpus.held_out`",
            "raise `evaluation.max_tokens` (it left out some of {sampled_from:.0f})",
            ".",
        ),
        "zh": (
            "留出的文档只有 {units:.0f} 篇",
            "留出的文档不到 5 篇，只好改为抽取 {rows:.0f} 行",
            "留出的 {sampled_from:.0f} 篇文档只评估了少数几篇",
            "；可信的区间需要 20 篇以上：",
            "!sampled_from|请增加文档，或调高 `corpus.held_out`",
            "请调高 `evaluation.max_tokens`（{sampled_from:.0f} 篇中有一些因此没有评估）",
            "。",
        ),
    },
    "head_not_warmed_up": {
        "en": (
            "The new head was not warmed up: give `evaluation.general` and train again, for an honest comparison of "
            "before and after.",
        ),
        "zh": ("新加的输出头没有预热：请给出 `evaluation.general` 后重新训练，前后对比才可信。",),
    },
    "head_still_warming": {
        "en": (
            "The new head was still learning when its warm-up ended after {steps:.0f} steps: raise "
            "`evaluation.head_warmup_steps`, or give more general text.",
        ),
        "zh": (
            "新输出头的预热在第 {steps:.0f} 步结束时仍未稳定：请调高 `evaluation.head_warmup_steps`，"
            "或给更多通用文本。",
        ),
    },
    "few_general": {
        "en": (
            "There is too little general text to tell what was forgotten: 10 documents or more are needed, of which "
            "half are held out (a file that is read by line has one for each 50 lines).",
        ),
        "zh": ("通用文本太少，看不出遗忘了什么：至少要 10 篇文档，其中一半留出（按行读取的文件每 50 行算一篇）。",),
    },
    "no_general_text": {
        "en": ("Nobody knows what was forgotten: give general text (`--general`, or `evaluation.general`).",),
        "zh": ("没有通用文本，无从得知遗忘了什么：请用 `--general` 或 `evaluation.general` 给出通用文本。",),
    },
}

_TITLES: dict[Lang, str] = {"en": "What to try next:", "zh": "下一步可以试试："}
_NOTHING_SAID: dict[Lang, str] = {"en": "There is no verdict.", "zh": "没有结论。"}


def verdict_text(verdict: Mapping[str, Any], lang: Lang = "en") -> str:
    """The judgements of a verdict (`VERDICT` of `evaluation.json`), a line each; without advice."""
    objective = verdict.get("objective")
    lines = [
        judgement_text(verdict[name], name, lang, objective) for name in ("domain", "general") if verdict.get(name)
    ]
    return "\n".join(lines) or _NOTHING_SAID[lang]


def whole_text(verdict: Mapping[str, Any], lang: Lang = "en") -> str:
    """The judgements and the advice of a verdict, for a terminal."""
    advice = [f"- {advice_text(one, lang)}" for one in verdict.get("advice") or ()]
    return "\n".join([verdict_text(verdict, lang), *([_TITLES[lang], *advice] if advice else [])])


def judgement_text(judgement: Mapping[str, Any], name: str, lang: Lang = "en", objective: str | None = None) -> str:
    """A judgement in a sentence.

    Args:
        judgement: `JUDGEMENT` of `evaluation.json`.
        name: the text that it is of: "domain" or "general".
        objective: says what a loss is counted by.
    """
    outcome = judgement["outcome"]
    words = {
        "outcome": OUTCOMES[name][lang][outcome],
        "where": _TEXTS[lang][name],
        "reasons": _JOINS[lang].join(reason_text(reason, lang) for reason in judgement.get("reasons") or ()),
    }
    difference = judgement.get("difference")
    if difference is None:
        return _SENTENCES[lang]["no_figures"].format(**words)
    digits = 2 if abs(difference["mean"]) >= 0.1 or outcome == "no_claim" else 3
    before, after = (f"{judgement[key]:.{digits}f}" for key in ("before", "after"))
    way = "same" if before == after else "down" if difference["mean"] < 0 else "up"
    moved = _VERBS[lang][way].format(before=before, after=after)
    figures = {key: f"{difference[key]:+.{digits}f}" for key in ("mean", "low", "high")}
    what = _MEASURES[lang][_counted_by(judgement["measure"], objective)].format(moved=moved)
    kind = outcome if outcome in ("no_difference", "no_claim") else "claim"
    return _SENTENCES[lang][kind].format(what=what, **words, **figures)


def reason_text(reason: str, lang: Lang = "en") -> str:
    """Why no claim is made; a note of the evaluation stands in its own words."""
    return REASONS[reason][lang] if reason in REASONS else reason.rstrip(".。")


def advice_text(advice: Mapping[str, Any], lang: Lang = "en") -> str:
    """What to try next, in a sentence or two.

    Args:
        advice: `ADVICE` of `evaluation.json`.
    """
    return _filled(ADVICE[advice["condition"]][lang], advice.get("figures") or {})


def _filled(segments: Sequence[str], figures: Mapping[str, float]) -> str:
    parts = []
    for segment in segments:
        absent, bar, text = segment.partition("|")
        if bar and absent.startswith("!"):
            parts += [] if absent[1:] in figures else [text.format(**figures)]
        elif all(name is None or name in figures for _, name, _, _ in string.Formatter().parse(segment)):
            parts.append(segment.format(**figures))
    return "".join(parts)


def _counted_by(measure: str, objective: str | None) -> str:
    if measure != "loss":
        return measure
    return {"mlm": "masked", "mlm_nsp": "masked", "mlm_sop": "masked", "mntp": "masked", "rtd": "judged"}.get(
        objective or "", "loss"
    )
