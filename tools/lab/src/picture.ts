// Turns the output of a real `npm start -- --once` into a picture: `node tools/lab/src/picture.ts < output > docs/lab.svg`.
import { text } from 'node:stream/consumers'

const FONT_SIZE = 14
const LINE_HEIGHT = 20
const CHARACTER_WIDTH = 8.43
const PADDING = 20
const BAR_HEIGHT = 34

function escape(line: string): string {
  return line.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;')
}

const lines = ['$ npm start -- --once', '', ...(await text(process.stdin)).trimEnd().split('\n')]
const width = Math.ceil(Math.max(...lines.map(line => line.length)) * CHARACTER_WIDTH + 2 * PADDING)
const height = lines.length * LINE_HEIGHT + BAR_HEIGHT + PADDING
const dots = ['#ff5f57', '#febc2e', '#28c840'].map(
  (colour, index) => `<circle cx="${20 + index * 18}" cy="17" r="6" fill="${colour}"/>`,
)
const rows = lines.map((line, index) => {
  const colour = line.includes('✓') ? '#a6e3a1' : line.startsWith('$') ? '#89b4fa' : '#cdd6f4'
  return `<text x="${PADDING}" y="${BAR_HEIGHT + (index + 1) * LINE_HEIGHT}" fill="${colour}" xml:space="preserve">${escape(line)}</text>`
})
process.stdout.write(
  `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" role="img" aria-label="A run of npm start">
<rect width="100%" height="100%" rx="8" fill="#1e1e2e"/>
${dots.join('')}
<g font-family="ui-monospace, Menlo, Consolas, 'DejaVu Sans Mono', monospace" font-size="${FONT_SIZE}">
${rows.join('\n')}
</g>
</svg>
`,
)
