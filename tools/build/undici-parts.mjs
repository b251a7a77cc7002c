// What the programs use of undici. Its own index loads caches, mocks, web sockets and a `fetch` too: 13 MiB in every process. A name that is
// not here fails the build.
import api from 'undici/lib/api/index.js'
import Dispatcher from 'undici/lib/dispatcher/dispatcher.js'

export { default as buildConnector } from 'undici/lib/core/connect.js'
export { default as errors } from 'undici/lib/core/errors.js'
export { default as Client } from 'undici/lib/dispatcher/client.js'
export { default as Pool } from 'undici/lib/dispatcher/pool.js'

// As its index does.
Object.assign(Dispatcher.prototype, api)
