/**
 * The C header as a document: its comments are the text, its declarations the code beneath. For the site of
 * `npm run docs`.
 */

/**
 * @param {string} header the text of include/rmsprop.h
 * @returns {string} Markdown, with a heading for each declaration
 */
export function manualOf(header) {
  const sections = header.split(/\n(?=\/\* )/).map((section) => {
    const [, comment, code] = /^\/\* (.*?)\s*\*\/(.*)$/s.exec(section) ?? ['', '', section];
    const text = comment.replaceAll(/^ \* ?/gm, '');
    const [, declared, summary] = /^(\w+(?:\.h)?) - (.*)/.exec(text) ?? [];
    const [, named] = /(?:enum|typedef struct|#define) (\w+)/.exec(code) ?? [];
    const heading = declared ?? named;
    return [
      heading === undefined ? '' : `${declared?.endsWith('.h') ? '#' : '##'} ${heading}\n`,
      declared === undefined ? prose(text) : `${summary}\n\n${prose(text.slice(text.indexOf('\n') + 1))}`,
      code.trim() === '' ? '' : `\`\`\`c\n${code.trim()}\n\`\`\`\n`,
    ].filter(Boolean).join('\n');
  });
  return `${sections.join('\n')}\n`;
}

/**
 * @param {string} text of a comment
 * @returns {string} the same in Markdown: what is indented stays as it is
 */
function prose(text) {
  return text.trim().split(/\n\s*\n/).map((paragraph) => (
    /^ {2}/m.test(paragraph) ? `\`\`\`text\n${paragraph}\n\`\`\`` : paragraph.replaceAll(/([<*_])/g, '\\$1')
  )).join('\n\n').concat('\n');
}
