// What the programs use of prom-client. Its own index loads a push gateway and a way to add up worker processes, and with them HTTP, TLS and
// zlib: 6 MiB in every process. A name that is not here fails the build.
export { default as collectDefaultMetrics } from 'prom-client/lib/defaultMetrics.js'
export { default as Counter } from 'prom-client/lib/counter.js'
export { default as Gauge } from 'prom-client/lib/gauge.js'
export { default as Histogram } from 'prom-client/lib/histogram.js'
export { default as Registry } from 'prom-client/lib/registry.js'
