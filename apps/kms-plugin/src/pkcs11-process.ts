import { Socket } from 'node:net'
import { PKCS11_CHANNEL_FD, servePkcs11 } from '@sealwright/pkcs11'

// The process that a vendor's PKCS#11 module runs in: whatever the module does, it does it here, and not beside the keys.
const channel = new Socket({ fd: PKCS11_CHANNEL_FD })
await servePkcs11(channel, channel)
// A thread that hangs in the module would keep the process from ending in any other way.
process.kill(process.pid, 'SIGKILL')
