/**
 * Makes docs/reference/cli.md from the help of the commands. A test compares the two.
 *
 *     npx ts-node --transpile-only scripts/docs/cli-reference.ts
 */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { helpOf } from '../../lib/cli/main'

const intro = `# The command line

<!-- Made by scripts/docs/cli-reference.ts from the commands' own help. Do not edit. -->

Results go to standard output; notes, errors and progress to standard error. With \`--json\` standard output holds one JSON
object a line and nothing else: \`event\` says what the other fields are, and the last one of a command that failed is
\`{"event":"error","kind":...,"message":...}\`. Exit codes: [exit-codes.md](exit-codes.md). \`LORIKEET_DEBUG=1\` adds the stack to
an error.
`

export async function renderCliReference(): Promise<string> {
  const overview = await helpOf([])
  const names = [...overview.matchAll(/^ {2}lorikeet (\S+)/gm)].map(([, name]) => name!)
  const sections = await Promise.all(names.map(async (name) => `## ${name}\n\n${fence(await helpOf([name]))}`))
  return [intro, fence(overview), ...sections].join('\n')
}

function fence(text: string): string {
  return `\`\`\`text\n${text.trimEnd()}\n\`\`\`\n`
}

if (require.main === module)
  void renderCliReference().then((text) => writeFileSync(join(__dirname, '../../docs/reference/cli.md'), text))
