import { Aes256Gcm, CipherSuite, HkdfSha256 } from '@hpke/core'
import { XWing } from '@hpke/hybridkem-x-wing'

// The types of these packages name some of the browser's, which are not known here: so keys are `unknown` in between.
const kem = new XWing()
const suite = new CipherSuite({ kem, kdf: new HkdfSha256(), aead: new Aes256Gcm() })

/** An encapsulation by `@hpke/hybridkem-x-wing` with this randomness, 64 bytes. */
export async function otherEncapsulate(publicKey: Uint8Array, eseed: Uint8Array) {
  const recipientPublicKey: unknown = await kem.deserializePublicKey(publicKey)
  const { enc, sharedSecret } = await kem.encap({ recipientPublicKey, ekm: eseed })
  return { enc: new Uint8Array(enc), sharedSecret: new Uint8Array(sharedSecret) }
}

/** One message sealed by `@hpke/core`. */
export async function otherSeal(publicKey: Uint8Array, info: Uint8Array, plaintext: Uint8Array) {
  const recipientPublicKey: unknown = await kem.deserializePublicKey(publicKey)
  const sender = await suite.createSenderContext({ recipientPublicKey, info })
  const ciphertext = new Uint8Array(await sender.seal(plaintext))
  return { enc: new Uint8Array(sender.enc), ciphertext }
}

/** One message opened by `@hpke/core`. */
export async function otherOpen(
  seed: Uint8Array,
  info: Uint8Array,
  sealed: { readonly enc: Uint8Array; readonly ciphertext: Uint8Array },
) {
  const recipientKey: unknown = await kem.deserializePrivateKey(Uint8Array.from(seed))
  const recipient = await suite.createRecipientContext({ recipientKey, enc: sealed.enc, info })
  return new Uint8Array(await recipient.open(sealed.ciphertext))
}
