import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { EVENT_FIELDS, LOG_EVENT_FIELDS } from './events.ts'

const document = readFileSync(join(__dirname, '../../../../docs/formats/audit-log.md'), 'utf8')
const CALLER = '`uid` count?, `gid` count?, `pid` count?'

describe('docs/formats/audit-log.md', () => {
  it.each(Object.entries({ ...LOG_EVENT_FIELDS, ...EVENT_FIELDS }))('has the fields of %s', (kind, fields) => {
    const listed = Object.entries(fields).map(([name, type]) => `\`${name}\` ${type}`)
    expect(document).toContain(`| \`${kind}\` | ${listed.join(', ').replace(CALLER, 'caller')} |`)
  })
})
