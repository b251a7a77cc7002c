import { createServer } from 'node:https'
import { type AddressInfo } from 'node:net'

/**
 * Stands for the part of kube-apiserver that OpenBao's kubernetes login asks, since no real one can be had here: it answers a
 * TokenReview (authentication.k8s.io/v1) as kube-apiserver does. What it takes for a good token is one that ends in `.good`; a real
 * one checks the signature.
 */
export interface TokenReviewer {
  readonly address: string
  readonly close: () => Promise<void>
}

const TOKEN_REVIEW = { apiVersion: 'authentication.k8s.io/v1', kind: 'TokenReview' }

export const SERVICE_ACCOUNT = { namespace: 'openbao', name: 'sealwright', uid: 'a-uid' } as const

export async function startTokenReviewer(tls: {
  readonly cert: Uint8Array
  readonly key: Uint8Array
}): Promise<TokenReviewer> {
  const server = createServer({ cert: Buffer.from(tls.cert), key: Buffer.from(tls.key) }, (request, response) => {
    const pieces: Buffer[] = []
    request.on('data', (piece: Buffer) => pieces.push(piece))
    request.on('end', () => {
      const review = JSON.parse(Buffer.concat(pieces).toString()) as { spec: { token: string } }
      response.writeHead(201, { 'Content-Type': 'application/json' })
      response.end(JSON.stringify({ ...TOKEN_REVIEW, status: statusOf(review.spec.token) }))
    })
  })
  const listening = Promise.withResolvers<undefined>()
  server.listen({ port: 0, host: '127.0.0.1' }, () => {
    listening.resolve(undefined)
  })
  await listening.promise
  return {
    address: `https://127.0.0.1:${(server.address() as AddressInfo).port}`,
    close: async () => {
      const closed = Promise.withResolvers<undefined>()
      server.close(() => {
        closed.resolve(undefined)
      })
      server.closeAllConnections()
      await closed.promise
    },
  }
}

/** A token as kubelet projects it, but for its signature. */
export function serviceAccountToken(signature: 'good' | 'bad'): string {
  const { namespace, name, uid } = SERVICE_ACCOUNT
  const nowSeconds = Math.floor(Date.now() / 1000)
  const claims = {
    iss: 'kubernetes/serviceaccount',
    sub: userOf(),
    iat: nowSeconds,
    nbf: nowSeconds,
    exp: nowSeconds + 600,
    'kubernetes.io': { namespace, serviceaccount: { name, uid } },
  }
  return `${base64UrlJson({ alg: 'RS256', kid: 'k' })}.${base64UrlJson(claims)}.${signature}`
}

/** One part of a JWT (RFC 7515 §2). */
export function base64UrlJson(value: unknown): string {
  return Buffer.from(JSON.stringify(value)).toString('base64url')
}

function statusOf(token: string): object {
  if (!token.endsWith('.good')) return { authenticated: false, error: 'invalid bearer token' }
  return {
    authenticated: true,
    user: { username: userOf(), uid: SERVICE_ACCOUNT.uid, groups: ['system:serviceaccounts'] },
  }
}

function userOf(): string {
  return `system:serviceaccount:${SERVICE_ACCOUNT.namespace}:${SERVICE_ACCOUNT.name}`
}
