// One request for an answer, streamed. Nothing stands between the engine's chunks and the page but the browser.

import { ApiError, eventsOf, request } from "./api";
import type { Answer, Options, Turn } from "./conversations";
import { sentence } from "./store";

export interface Question {
  model: string;
  options: Options;
  /** Those before, and the one to be answered last. */
  turns: Turn[];
  /** Which of the answers of each turn belongs to this model. */
  column: number;
  thinking: boolean | null;
}

export async function askModel(question: Question, onAnswer: (answer: Answer) => void, signal: AbortSignal): Promise<void> {
  const body = bodyOf(question);
  const answer: Answer = { model: question.model, content: "", thinking: "", toolCalls: [], asked: body };
  const began = performance.now();
  const passed = () => (performance.now() - began) / 1000;
  const tell = () => onAnswer({ ...answer });
  let frame = 0;
  // A screen shows sixty pictures a second, and a fast engine sends more chunks.
  const tellSoon = () => {
    frame ||= requestAnimationFrame(() => {
      frame = 0;
      tell();
    });
  };
  tell();
  try {
    const response = await request("POST", "v1/chat/completions", body, signal);
    let isWhole = false;
    for await (const data of eventsOf(response)) {
      if (data === "[DONE]") {
        isWhole = true;
        break;
      }
      take(JSON.parse(data), answer, passed);
      tellSoon();
    }
    if (!isWhole && !answer.error) answer.error = sentence(new ApiError(0, ""));
  } catch (error) {
    if (signal.aborted) answer.finish = "stopped";
    else answer.error = sentence(error);
  }
  cancelAnimationFrame(frame);
  answer.seconds = passed();
  tell();
}

function take(chunk: any, answer: Answer, passed: () => number): void {
  if (chunk.error) {
    answer.error = chunk.error.message ?? chunk.detail;
    return;
  }
  const choice = chunk.choices?.[0];
  const delta = choice?.delta ?? {};
  if (delta.content || delta.reasoning_content || delta.tool_calls) answer.firstTokenS ??= passed();
  answer.content += delta.content ?? "";
  answer.thinking += delta.reasoning_content ?? "";
  if (delta.tool_calls) answer.toolCalls = [...answer.toolCalls, ...delta.tool_calls];
  if (choice?.finish_reason) answer.finish = choice.finish_reason;
  if (chunk.usage) {
    answer.promptTokens = chunk.usage.prompt_tokens;
    answer.tokens = chunk.usage.completion_tokens;
  }
}

function bodyOf({ model, options, turns, column, thinking }: Question): Record<string, unknown> {
  const body: Record<string, unknown> = { model, messages: messagesOf(options.system, turns, column), stream: true };
  if (thinking !== null) body.enable_thinking = thinking;
  if (options.temperature) body.temperature = Number(options.temperature);
  if (options.topP) body.top_p = Number(options.topP);
  if (options.maxTokens) body.max_tokens = Number(options.maxTokens);
  if (options.seed) body.seed = Number(options.seed);
  const stop = options.stop.split("\n").filter(Boolean);
  if (stop.length) body.stop = stop;
  const tools = toolsOf(options.tools);
  if (tools?.length) body.tools = tools;
  return body;
}

/** The tools as a list; null if the text is no JSON list. */
export function toolsOf(text: string): unknown[] | null {
  if (!text.trim()) return [];
  try {
    const found = JSON.parse(text);
    return Array.isArray(found) ? found : null;
  } catch {
    return null;
  }
}

function messagesOf(system: string, turns: Turn[], column: number): object[] {
  const messages: object[] = [];
  if (system.trim()) messages.push({ role: "system", content: system });
  turns.forEach((turn, number) => {
    messages.push({ role: "user", content: contentOf(turn) });
    const answer = turn.answers[column] ?? turn.answers[0];
    if (number < turns.length - 1 && answer?.content) messages.push({ role: "assistant", content: answer.content });
  });
  return messages;
}

function contentOf(turn: Turn): unknown {
  if (!turn.images.length) return turn.text;
  return [{ type: "text", text: turn.text }, ...turn.images.map((url) => ({ type: "image_url", image_url: { url } }))];
}
