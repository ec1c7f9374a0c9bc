// As much of Markdown as models write: made into elements, never into HTML text, so that nothing of it is run.

import type { ComponentChildren } from "preact";
import { Copy } from "./parts";

const INLINE = /(`+)(.+?)\1|\*\*(.+?)\*\*|__(.+?)__|\*([^*\s][^*]*?)\*|\[([^\]]+)\]\((https?:\/\/[^\s)]+)\)|(https?:\/\/[^\s<>()]+)/;

function inline(text: string): ComponentChildren[] {
  const found: ComponentChildren[] = [];
  let rest = text;
  for (let match = INLINE.exec(rest); match; match = INLINE.exec(rest)) {
    if (match.index) found.push(rest.slice(0, match.index));
    const [whole, , code, bold, alsoBold, slanted, name, link, bare] = match;
    if (code) found.push(<code>{code}</code>);
    else if (bold ?? alsoBold) found.push(<strong>{inline(bold ?? alsoBold)}</strong>);
    else if (slanted) found.push(<em>{inline(slanted)}</em>);
    else {
      found.push(
        <a href={link ?? bare} target="_blank" rel="noreferrer noopener">
          {name ?? bare}
        </a>,
      );
    }
    rest = rest.slice(match.index + whole.length);
  }
  found.push(rest);
  return found;
}

const FENCE = /^\s*```(\S*)/;
const HEADING = /^(#{1,4})\s+(.*)/;
const ITEM = /^\s*(?:[-*+]|(\d+)[.)])\s+(.*)/;
const ROW = /^\s*\|(.+)\|\s*$/;

export function Markdown({ text }: { text: string }) {
  const blocks: ComponentChildren[] = [];
  const lines = text.split("\n");
  let at = 0;
  const while_ = (test: RegExp) => {
    const taken: string[] = [];
    while (at < lines.length && test.test(lines[at])) taken.push(lines[at++]);
    return taken;
  };
  while (at < lines.length) {
    const line = lines[at];
    const fence = FENCE.exec(line);
    const heading = HEADING.exec(line);
    const item = ITEM.exec(line);
    if (fence) {
      at += 1;
      const code: string[] = [];
      while (at < lines.length && !/^\s*```\s*$/.test(lines[at])) code.push(lines[at++]);
      at += 1;
      blocks.push(<CodeBlock language={fence[1]} text={code.join("\n")} />);
    } else if (heading) {
      at += 1;
      blocks.push(<p class="md-heading">{inline(heading[2])}</p>);
    } else if (item) {
      const items = while_(ITEM).map((each) => <li>{inline(ITEM.exec(each)![2])}</li>);
      blocks.push(item[1] ? <ol start={Number(item[1])}>{items}</ol> : <ul>{items}</ul>);
    } else if (ROW.test(line)) {
      blocks.push(<Table rows={while_(ROW)} />);
    } else if (/^\s*>/.test(line)) {
      blocks.push(<blockquote>{inline(while_(/^\s*>/).map((each) => each.replace(/^\s*>\s?/, "")).join("\n"))}</blockquote>);
    } else if (!line.trim()) {
      at += 1;
    } else {
      const words = [line];
      at += 1;
      while (at < lines.length && lines[at].trim() && ![FENCE, HEADING, ITEM, ROW].some((each) => each.test(lines[at]))) words.push(lines[at++]);
      blocks.push(<p>{inline(words.join("\n"))}</p>);
    }
  }
  return <div class="markdown">{blocks}</div>;
}

function CodeBlock({ language, text }: { language: string; text: string }) {
  return (
    <div class="code">
      <div class="code-head">
        <span>{language}</span>
        <Copy text={text} />
      </div>
      <pre tabindex={0}>
        <code>{text}</code>
      </pre>
    </div>
  );
}

function Table({ rows }: { rows: string[] }) {
  const cells = rows.map((row) => ROW.exec(row)![1].split("|").map((cell) => cell.trim()));
  const hasHead = cells.length > 1 && cells[1].every((cell) => /^:?-+:?$/.test(cell));
  const body = hasHead ? cells.slice(2) : cells;
  return (
    <div class="table-wrap" tabindex={0}>
      <table>
        {hasHead && (
          <thead>
            <tr>
              {cells[0].map((cell) => (
                <th scope="col">{inline(cell)}</th>
              ))}
            </tr>
          </thead>
        )}
        <tbody>
          {body.map((row) => (
            <tr>
              {row.map((cell) => (
                <td>{inline(cell)}</td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
