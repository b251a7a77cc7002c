/** The descriptor, in the process of the module, that its channel is at. Not stdin and stdout: vendors' modules print. */
export const PKCS11_CHANNEL_FD = 3
