import { runProgram } from '@sealwright/program'
import { runSealctl } from './program.ts'

await runProgram({
  name: 'sealctl',
  exitCodes: {},
  main: async signal =>
    await runSealctl(process.argv.slice(2), {
      ...{ stdin: process.stdin, stdout: process.stdout, stderr: process.stderr },
      now: () => new Date(),
      signal,
      interrupt: () => {
        process.kill(process.pid, 'SIGINT')
      },
    }),
})
