import { type SealContext } from '@sealwright/node-seals'
import { siblingProgram } from '@sealwright/program'

/** The program for PKCS#11 modules lies beside this file, and beside the bundle that this file becomes part of. */
export const SEAL_CONTEXT: SealContext = { pkcs11Program: siblingProgram(import.meta.filename, 'pkcs11-process') }
