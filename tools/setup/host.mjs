import { SetupError } from './say.mjs'

const minimumNode = [20, 19]
const supportedArchitectures = ['x64', 'arm64']

/** Refuses a host on which the rest cannot work, before anything is installed. */
export function checkHost() {
  if (process.platform !== 'linux') {
    throw new SetupError(`the real OpenBao and TPM programs run on Linux; this is ${process.platform}`)
  }
  if (!supportedArchitectures.includes(process.arch)) {
    throw new SetupError(`OpenBao is packaged for ${supportedArchitectures.join(' and ')}; this is ${process.arch}`)
  }
  const [major, minor] = process.versions.node.split('.').map(Number)
  if (major < minimumNode[0] || (major === minimumNode[0] && minor < minimumNode[1])) {
    throw new SetupError(
      `Node ${minimumNode.join('.')} or newer is needed to begin (it then installs its own); this is ${process.version}`,
    )
  }
}
